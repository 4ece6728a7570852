"""Small runs made by hand, whose every figure can be computed on paper."""

from __future__ import annotations

from typing import Any

import numpy as np

from agentsim.domain.records import REQUEST_COLUMNS, SESSION_COLUMNS, STEP_COLUMNS, Columns, Run

S = 1_000_000_000


def columns(names: dict[str, tuple[str, str]], rows: list[dict[str, Any]]) -> Columns:
    """Columns of rows given by name; what a row leaves out is 0, "" or, for a first token, -1."""
    made: Columns = {}
    for name, (dtype, _) in names.items():
        values = [row.get(name, "" if dtype == "str" else 0) for row in rows]
        made[name] = np.array(values, dtype=np.str_ if dtype == "str" else np.int64)
    return made


def request(session: str, call: str, times_s: tuple[float, ...], **more: Any) -> dict[str, Any]:
    """A finished request: times of submission, first step, first token and last token."""
    names = ("submitted_ns", "scheduled_ns", "first_token_ns", "finished_ns")
    times = {name: round(time * S) for name, time in zip(names, times_s, strict=True)}
    plain = {"agent": "main", "status": "finished", "prompt_tokens": 100, "output_tokens": 2}
    return {"session": session, "call": call, **plain, **times, **more}


def step(start_s: float, end_s: float, **more: Any) -> dict[str, Any]:
    """A step with one decoding sequence."""
    plain = {"num_tokens": 1, "num_seqs": 1, "new_tokens": 1, "running": 1, "used_blocks": 10}
    return {"start_ns": round(start_s * S), "end_ns": round(end_s * S), **plain, **more}


def session(name: str, start_s: float, end_s: float, **more: Any) -> dict[str, Any]:
    """A session run by agent 0."""
    return {
        "session": name,
        "started_ns": round(start_s * S),
        "finished_ns": round(end_s * S),
        **more,
    }


def run(
    requests: list[dict[str, Any]],
    steps: list[dict[str, Any]],
    sessions: list[dict[str, Any]],
    **more: Any,
) -> Run:
    """A run of these rows."""
    return Run(
        columns(REQUEST_COLUMNS, requests),
        columns(STEP_COLUMNS, steps),
        columns(SESSION_COLUMNS, sessions),
        **more,
    )


def two_turns(**facts: Any) -> Run:
    """One agent, two calls, 20 seconds.

    Seconds 0-2 tools, call a 2-8 (queue 2-3, prefill 3-5, decode 5-8), tools 8-12, call b 12-20
    (queue 12-12, prefill 12-16, decode 16-20).
    """
    requests = [
        request("s", "a", (2, 3, 5, 8), output_tokens=4, prompt_tokens=100),
        request("s", "b", (12, 12, 16, 20), output_tokens=3, prompt_tokens=300, cached_tokens=100),
    ]
    prefill = {"prefill_tokens": 100, "num_tokens": 100}
    steps = [
        step(3, 5, step=0, used_blocks=10, **prefill),
        step(5, 6, step=1, used_blocks=20),
        step(6, 7, step=2, used_blocks=20),
        step(7, 8, step=3, used_blocks=30),
        step(12, 16, step=4, used_blocks=30, **prefill),
        step(16, 18, step=5, used_blocks=40),
        step(18, 20, step=6, used_blocks=50),
    ]
    plain = {"num_gpu_blocks": 101, "block_size": 16}
    gaps = {"itl_ns": np.array([1 * S, 2 * S]), "itl_weight": np.array([3, 2])}
    return run(requests, steps, [session("s", 0, 20, num_calls=2)], facts=plain | gaps | facts)
