"""Every goal of speed, as ratios within one run; opt in with ``pytest -m benchmark``."""

import importlib

import pytest
from measure import Absent

pytestmark = pytest.mark.benchmark

NAMES = (
    "start",
    "studies",
    "weka",
    "million",
    "laws",
    "sweep",
    "against_sched_sim",
    "against_dynamo",
    "against_vllm",
)


@pytest.mark.parametrize("name", NAMES)
def test_goals_are_reached(name: str) -> None:
    """Each row of the benchmark keeps its goal."""
    try:
        rows = importlib.import_module(name).rows()
    except Absent as error:
        pytest.skip(str(error))
    missed = [str(row) for row in rows if not row.is_kept]
    assert not missed, "\n".join(missed)
