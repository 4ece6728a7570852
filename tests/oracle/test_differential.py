"""The scheduler against the real one (vLLM 0.32.0) on random scenarios; opt in with `-m vllm`.

Environment variables:

- `AGENTSIM_VLLM_PYTHON`: a Python interpreter that has vLLM; by default this one.
- `AGENTSIM_ORACLE_SEEDS`: which scenarios, as `0:200` (the default), `17` or `3,40:60`.

A scenario that differs is written with its golden to the test's folder; the message says where.
Move the pair to `differed/`, and `test_goldens.py` keeps it for good.
"""

import gzip
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agentsim.engine.scenario import run_scenario
from oracle.compare import compare
from oracle.process import RealVllm, chosen_seeds, real_vllm
from oracle.scenarios_random import random_scenario

Json = dict[str, Any]

pytestmark = pytest.mark.vllm


@pytest.fixture(scope="module")
def vllm() -> Iterator[RealVllm]:
    """The real scheduler, or a skip that says what is missing."""
    yield from real_vllm(Path(__file__).with_name("real_vllm.py"), "--serve")


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
