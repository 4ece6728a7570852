"""Every scenario of the oracle as sessions with a clock: step by step and in strides alike.

The goldens hold the decisions of single steps (`test_goldens`). Here the same loads run through the
replica, where time, strides and arrivals in the middle of them come in.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agentsim.engine.rules import Rules
from engine.runs import GridCost, serve
from oracle.sessions import sessions_of

SCENARIOS = sorted((Path(__file__).parent / "scenarios").glob("*.json"))
#: how long steps take: all alike, so that arrivals fall on their ends; or longer with their work
COSTS = {"equal": GridCost(1000, 10**9), "growing": GridCost(1000, 7)}


@pytest.mark.parametrize("cost", COSTS)
@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_strides_take_the_same_decisions(path: Path, cost: str) -> None:
    scenario = json.loads(path.read_text("utf-8"))
    rules, sessions = Rules(**scenario.get("config", {})), sessions_of(scenario["requests"])
    exact, fast = (
        serve(sessions, rules, COSTS[cost], acceptance=0.5, exact=exact, check=False).tables()
        for exact in (True, False)
    )
    assert exact == fast
