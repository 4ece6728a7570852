"""Every scenario of the oracle as sessions with a clock: step by step and in strides alike.

The goldens hold the decisions of single steps (`test_goldens`). Here the same loads run through the
replica, where time, strides and arrivals in the middle of them come in.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agentsim.domain.trace import Call, Session
from agentsim.engine.rules import Rules
from engine.runs import GridCost, serve

SCENARIOS = sorted((Path(__file__).parent / "scenarios").glob("*.json"))
#: how long steps take: all alike, so that arrivals fall on their ends; or longer with their work
COSTS = {"equal": GridCost(1000, 10**9), "growing": GridCost(1000, 7)}


def sessions_of(requests: list[dict[str, Any]]) -> list[Session]:
    """A session for each request that waits for no other, with all that follow from it."""
    roots: dict[str, str] = {}
    calls: dict[str, list[Call]] = {}
    for request in requests:
        after, name = request.get("after"), request["id"]
        root = roots[name] = roots[after["request"]] if after else name
        family = {other for other, its_root in roots.items() if its_root == root}
        segments = [
            # the output of another session is not its own here, but it is the same for all
            (s if not s.startswith("out:") or s[4:] in family else f"of:{s}", length)
            for s, length in request["prompt"]
        ]
        steps = after["gap_steps"] if after else request["arrival_step"]
        calls.setdefault(root, []).append(
            Call(
                id=name,
                input_tokens=sum(length for _, length in segments),
                output_tokens=request["output_len"],
                after=(after["request"],) if after else (),
                delay_ns=1000 * steps,
                segments=tuple(segments),
                priority=request.get("priority"),
                finish="length" if request.get("finish", "length") == "length" else "stop",
            )
        )
    return [Session(id=root, calls=tuple(its_calls)) for root, its_calls in calls.items()]


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
