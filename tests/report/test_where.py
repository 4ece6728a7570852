"""Where the time went: computed by hand, and adding up exactly whatever the run."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from agentsim.domain.records import STEP_COLUMNS, Run
from agentsim.report.cover import Cover
from agentsim.report.metrics import METRICS
from agentsim.report.where import agent_time, divide_steps, gpu_time
from report.runs import S, columns, request, run, session, step, two_turns


def seconds(spent_ns: dict[str, Any]) -> dict[str, float]:
    return {cause: float(np.sum(ns)) / S for cause, ns in spent_ns.items()}


def test_two_turns_divide_as_on_paper() -> None:
    made = two_turns()
    assert seconds(gpu_time(made)) == {
        "prefill": 6.0,
        "decode": 7.0,
        "recomputation": 0.0,
        "overhead": 0.0,
        "idle_tools": 6.0,
        "idle_nobody": 0.0,
        "idle_between_steps": 1.0,
    }
    assert seconds(agent_time(made)) == {
        "api": 0.0,
        "queue": 1.0,
        "prefill": 6.0,
        "decode": 7.0,
        "recomputation": 0.0,
        "tools": 6.0,
    }


def test_what_the_cost_model_leaves_of_a_step_is_overhead() -> None:
    steps = columns(STEP_COLUMNS, [step(0, 10), step(10, 11)])
    parts = {"prefill_s": np.array([4.0, 0.0]), "decode_s": np.array([2.0, 0.25])}
    divided = divide_steps(steps, parts)
    assert divided["overhead"].tolist() == [4 * S, 0.75 * S]


def test_recomputation_has_its_tokens_share_of_the_prefill() -> None:
    steps = columns(STEP_COLUMNS, [step(0, 10, prefill_tokens=8, recomputed_tokens=2)])
    parts = {"prefill_s": np.array([4.0]), "decode_s": np.array([5.0])}
    divided = divide_steps(steps, parts)
    assert {name: ns.tolist() for name, ns in divided.items()} == {
        "prefill": [3 * S],
        "recomputation": [1 * S],
        "decode": [5 * S],
        "overhead": [1 * S],
    }


def test_without_a_cost_model_a_mixed_step_divides_by_tokens() -> None:
    mixed = step(0, 10, num_tokens=10, prefill_tokens=6, recomputed_tokens=2)
    divided = divide_steps(columns(STEP_COLUMNS, [mixed]), None)
    assert {name: ns.tolist() for name, ns in divided.items()} == {
        "prefill": [4 * S],
        "recomputation": [2 * S],
        "decode": [4 * S],
        "overhead": [0],
    }


def test_a_step_that_delivers_nothing_is_overhead() -> None:
    divided = divide_steps(columns(STEP_COLUMNS, [step(0, 10, new_tokens=0)]), None)
    assert (divided["decode"].tolist(), divided["overhead"].tolist()) == ([0], [10 * S])


def test_what_runs_after_the_last_answer_does_not_count() -> None:
    steps = [step(0, 4), step(4, 7, new_tokens=0)]
    made = run([request("s", "a", (0, 0, 1, 4))], steps, [session("s", 0, 4)])
    assert sum(gpu_time(made).values()) == 4 * S
    assert gpu_time(made)["decode"] == 4 * S


def test_idle_before_any_agent_starts_is_not_waiting_for_tools() -> None:
    made = run([request("s", "a", (5, 5, 6, 7))], [step(5, 6), step(6, 7)], [session("s", 3, 7)])
    spent = seconds(gpu_time(made))
    assert (spent["idle_nobody"], spent["idle_tools"]) == (3.0, 2.0)


def test_each_replica_has_its_own_idle_time() -> None:
    requests = [request("s", "a", (0, 0, 1, 4)), request("t", "a", (0, 0, 1, 2), replica=1)]
    steps = [step(0, 4), step(0, 2, replica=1)]
    made = run(requests, steps, [session("s", 0, 4), session("t", 0, 2)])
    spent = gpu_time(made)
    assert sum(spent.values()) == 2 * 4 * S
    assert spent["idle_between_steps"] == 2 * S


def test_a_session_with_two_calls_at_once_divides_that_time_evenly() -> None:
    calls = [request("s", "a", (0, 0, 2, 4)), request("s", "b", (0, 4, 5, 6), agent="sub")]
    spent = seconds(agent_time(run(calls, [step(0, 6)], [session("s", 0, 7)])))
    # 0-2: a prefills, b is queued; 2-4: a decodes, b is queued; then b alone; 6-7 nothing.
    expected = {"queue": 1 + 1, "prefill": 1 + 1, "decode": 1 + 1, "tools": 1.0}
    assert spent == {**expected, "api": 0.0, "recomputation": 0.0}


def test_the_way_to_the_scheduler_is_no_queue() -> None:
    """Half a second for the request and 2 ms a prompt token, of two until the first step."""
    made = run([request("s", "a", (0, 2, 3, 4))], [step(2, 4)], [session("s", 0, 4)])
    api = {"request_ns": S // 2, "prompt_token_ns": 2e6, "stream_ns": 0}
    made = replace(made, facts={**made.facts, "api_server": api})
    spent = seconds(agent_time(made))
    assert (spent["api"], spent["queue"], spent["prefill"], spent["decode"]) == (0.7, 1.3, 1.0, 1.0)
    assert METRICS["queue"].sample(made).mean() == 1.3


def test_recovering_from_a_preemption_is_taken_out_of_decode() -> None:
    call = request("s", "a", (0, 0, 1, 9), recovering_ns=3 * S)
    made = run([call], [step(0, 9)], [session("s", 0, 9)])
    spent = seconds(agent_time(made))
    assert (spent["prefill"], spent["decode"], spent["recomputation"]) == (1.0, 5.0, 3.0)


intervals = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 6)), max_size=8)


@given(intervals, st.lists(st.integers(0, 20), min_size=2, max_size=2).map(sorted))
def test_a_cover_measures_the_union_of_its_intervals(
    spans: list[tuple[int, int]], window: list[int]
) -> None:
    starts = np.array([start for start, _ in spans], np.int64)
    ends = np.array([start + length for start, length in spans], np.int64)
    covered = {tick for start, length in spans for tick in range(start, start + length)}
    low, high = (np.array([edge]) for edge in window)
    assert Cover.of(starts, ends).within(low, high).tolist() == [
        len(covered & set(range(window[0], window[1])))
    ]


@st.composite
def any_run(draw: st.DrawFn) -> Run:
    """A run with overlapping calls, mixed steps and gaps; times on a coarse grid of odd lengths."""
    requests, sessions = [], []
    last = 0
    for name in "abc"[: draw(st.integers(1, 3))]:
        start = draw(st.integers(0, 9))
        ends = [start]
        for call in range(draw(st.integers(0, 4))):
            waits = draw(st.tuples(*[st.integers(0, 7)] * 4))
            times = np.cumsum((start, *waits))[1:]
            ends.append(int(times[-1]))
            requests.append(request(name, str(call), tuple(times * 1.000000007)))
        sessions.append(session(name, start * 1.000000007, max(ends) * 1.000000007))
        last = max(last, *ends)
    steps, now = [], 0
    for number in range(draw(st.integers(0, 9))):
        begin = now + draw(st.integers(0, 3))
        now = begin + draw(st.integers(1, 5))
        tokens = draw(st.lists(st.integers(0, 99), min_size=3, max_size=3).map(sorted))
        names = ("recomputed_tokens", "prefill_tokens", "num_tokens")
        counts = dict(zip(names, tokens, strict=True))
        steps.append(step(begin * 1.000000003, now * 1.000000003, step=number, **counts))
    return run(requests, steps, sessions)


@given(any_run())
def test_the_parts_of_the_gpus_time_add_up_to_the_runtime_exactly(made: Run) -> None:
    spent = gpu_time(made)
    assert sum(spent.values()) == made.makespan_ns
    assert min(spent.values()) >= 0


@given(any_run(), st.integers(1, 9))
def test_any_attribution_of_step_times_adds_up_exactly(made: Run, scale: int) -> None:
    lasts = (made.steps["end_ns"] - made.steps["start_ns"]) / S
    parts = {name: lasts * scale / 7 for name in ("prefill_s", "decode_s")}
    spent = gpu_time(made, lambda _: parts)
    assert sum(spent.values()) == made.makespan_ns
    assert min(spent.values()) >= 0


@given(any_run())
def test_the_parts_of_a_sessions_time_add_up_to_it_exactly(made: Run) -> None:
    spent = agent_time(made)
    whole = made.sessions["finished_ns"] - made.sessions["started_ns"]
    assert np.array_equal(sum(spent.values()), whole)
    assert all((part >= 0).all() for part in spent.values())
