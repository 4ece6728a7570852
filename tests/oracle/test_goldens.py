"""The scheduler against recorded decisions of the real one (vLLM 0.32.0), step by step.

`scenarios/` and `goldens/` are the scheduler oracle; `differed/` holds pairs that a random search
(`test_differential.py`) once found to differ. `real_vllm.py` gives every golden anew.
"""

import gzip
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from agentsim.engine.scenario import run_scenario
from oracle.compare import compare

HERE = Path(__file__).parent
DIFFERED = HERE / "differed"
SCENARIOS = sorted([*(HERE / "scenarios").glob("*.json"), *DIFFERED.glob("*.json")])


def golden_of(scenario: Path) -> Path:
    """Where the golden of a scenario is kept."""
    folder = DIFFERED if scenario.parent == DIFFERED else HERE / "goldens"
    return folder / f"{scenario.stem}.jsonl.gz"


def test_every_golden_has_a_scenario() -> None:
    """No golden lies unused, and none is missing."""
    kept = {*(HERE / "goldens").glob("*.gz"), *DIFFERED.glob("*.gz")}
    assert kept == {golden_of(scenario) for scenario in SCENARIOS}


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_same_decisions_as_vllm(path: Path) -> None:
    """Every field of every step, and the summary, are those of the real scheduler."""
    scenario = json.loads(path.read_text(encoding="utf-8"))
    with gzip.open(golden_of(path), "rt", encoding="utf-8") as file:
        theirs = [json.loads(line) for line in file]
    difference = compare(run_scenario(scenario), theirs)
    assert difference is None, difference


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_laws(path: Path) -> None:
    """Whatever the rules: limits hold, no block is lost, and each request gets its tokens once."""
    scenario = json.loads(path.read_text(encoding="utf-8"))
    header, *steps, summary = run_scenario(scenario)
    config = header["config"]
    outputs: Counter[str] = Counter()
    for line in steps:
        assert sum(line["scheduled"].values()) <= config["max_num_batched_tokens"]
        assert line["running"] <= (config["max_num_active_seqs"] or config["max_num_seqs"])
        for count in ("free_after_schedule", "free_after_step", "cached_blocks"):
            assert 0 <= line[count] <= header["usable_blocks"]
        outputs.update(line["sampled"])
    assert steps[-1]["free_after_step"] == header["usable_blocks"]
    for request in scenario["requests"]:
        story = summary["requests"][request["id"]]
        assert story["prompt_tokens"] == sum(length for _, length in request["prompt"])
        assert story["output_tokens"] == outputs[request["id"]] == _output_tokens(request, config)


def _output_tokens(request: dict[str, Any], config: dict[str, Any]) -> int:
    prompt: int = sum(length for _, length in request["prompt"])
    return min(int(request["output_len"]), int(config["max_model_len"]) - prompt)
