"""Scenarios of the oracle as sessions, whose steps take 1000 ns or more each."""

from __future__ import annotations

from typing import Any

from agentsim.domain.trace import Call, Session


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
