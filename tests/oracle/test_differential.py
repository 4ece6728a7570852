"""The scheduler against the real one (vLLM 0.32.0) on random scenarios; opt in with `-m vllm`.

Environment variables:

- `AGENTSIM_VLLM_PYTHON`: a Python interpreter that has vLLM; by default this one.
- `AGENTSIM_ORACLE_SEEDS`: which scenarios, as `0:200` (the default), `17` or `3,40:60`.

A scenario that differs is written with its golden to the test's folder; the message says where.
Move the pair to `differed/`, and `test_goldens.py` keeps it for good.
"""

import gzip
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agentsim.engine.scenario import run_scenario
from oracle.compare import compare
from oracle.scenarios_random import random_scenario

Json = dict[str, Any]

pytestmark = pytest.mark.vllm


def chosen_seeds(text: str) -> list[int]:
    """The seeds that a text such as `3,40:60` names."""
    seeds: list[int] = []
    for part in text.split(","):
        start, colon, stop = part.partition(":")
        seeds += range(int(start), int(stop) if colon else int(start) + 1)
    return seeds


class RealVllm:
    """The real scheduler in a process of its own, which answers scenario after scenario."""

    def __init__(self, interpreter: str) -> None:
        script = Path(__file__).with_name("real_vllm.py")
        self.process = subprocess.Popen(
            [interpreter, "-W", "ignore", str(script), "--serve"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )

    def run(self, scenario: Json) -> list[Json]:
        """The lines of a scenario's golden."""
        assert self.process.stdin is not None and self.process.stdout is not None
        print(json.dumps(scenario), file=self.process.stdin, flush=True)
        text = self.process.stdout.readline()
        assert text, "the process with vLLM has ended; its stderr says why"
        answer = json.loads(text)
        assert "lines" in answer, answer["error"]
        lines: list[Json] = answer["lines"]
        return lines

    def close(self) -> None:
        """End the process."""
        self.process.communicate()


@pytest.fixture(scope="module")
def vllm() -> Iterator[RealVllm]:
    """The real scheduler, or a skip that says what is missing."""
    interpreter = os.environ.get("AGENTSIM_VLLM_PYTHON", "")
    if not interpreter and importlib.util.find_spec("vllm") is None:
        pytest.skip("no vLLM here: install it or name an interpreter in AGENTSIM_VLLM_PYTHON")
    real = RealVllm(interpreter or sys.executable)
    yield real
    real.close()


@pytest.mark.parametrize("seed", chosen_seeds(os.environ.get("AGENTSIM_ORACLE_SEEDS", "0:200")))
def test_same_decisions_as_vllm(seed: int, vllm: RealVllm, tmp_path: Path) -> None:
    """Every field of every step, and the summary, are those of the real scheduler."""
    scenario = random_scenario(seed)
    theirs = vllm.run(scenario)
    difference = compare(run_scenario(scenario), theirs)
    if difference is not None:
        keep(scenario, theirs, tmp_path)
    assert difference is None, f"kept in {tmp_path}\n{difference}"


def keep(scenario: Json, golden: list[Json], folder: Path) -> None:
    """Write a scenario and its golden as the goldens' test reads them."""
    (folder / f"{scenario['name']}.json").write_text(json.dumps(scenario), encoding="utf-8")
    text = "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in golden)
    (folder / f"{scenario['name']}.jsonl.gz").write_bytes(gzip.compress(text.encode(), mtime=0))
