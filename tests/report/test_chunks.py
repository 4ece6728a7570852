"""However a run is divided into chunks, its figures are those of the whole."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentsim.domain.records import Columns, Run
from agentsim.domain.table import Table, TableWriter
from agentsim.errors import UserError
from agentsim.report.bill import Quoted
from agentsim.report.cost import self_hosted
from agentsim.report.cover import Cover
from agentsim.report.energy import PowerModel, energy_of
from agentsim.report.gpu_prices import given_gpu_price
from agentsim.report.metrics import METRICS, FloatArray, served
from agentsim.report.prefill import prefill_text
from agentsim.report.summary import summarize
from agentsim.report.where import agent_time
from report.runs import request, run, session, step


def quoted(value: float) -> Quoted:
    return Quoted(value, "", "given", "", "test")


POWER = PowerModel(quoted(20.0), quoted(70.0), quoted(1.0), quoted(0.5))
STATUSES = ("finished", "cut", "skipped", "too-long")


@st.composite
def any_run(draw: st.DrawFn) -> Run:
    """Sessions with overlapping calls, and steps of up to three replicas."""
    replicas = st.integers(0, draw(st.integers(0, 2)))
    requests, sessions, steps = [], [], []
    for name in "abcdefg"[: draw(st.integers(1, 7))]:
        start = draw(st.integers(0, 20))
        ends = [start]
        for call in range(draw(st.integers(0, 4))):
            times = np.cumsum([start, *draw(st.tuples(*[st.integers(0, 7)] * 4))])[1:]
            ends.append(int(times[-1]))
            more = {
                "replica": draw(replicas),
                "status": draw(st.sampled_from(STATUSES)),
                "recovering_ns": draw(st.integers(0, 3)),
                "preemptions": draw(st.integers(0, 2)),
                "drafted_tokens": draw(st.integers(0, 2)),
                "prompt_tokens": draw(st.integers(0, 9)),
                "output_tokens": draw(st.integers(0, 3)),
            }
            requests.append(request(name, str(call), tuple(times), **more))
        sessions.append(session(name, start, max(ends), slot=draw(st.integers(0, 2))))
    now: dict[int, int] = {}
    for _ in range(draw(st.integers(0, 12))):
        replica = draw(replicas)
        begin = now.get(replica, 0) + draw(st.integers(0, 5))
        now[replica] = begin + draw(st.integers(1, 6))
        tokens = sorted(draw(st.tuples(*[st.integers(0, 99)] * 3)))
        names = ("recomputed_tokens", "prefill_tokens", "num_tokens")
        more = dict(zip(names, tokens, strict=True))
        blocks = draw(st.integers(0, 50))
        steps.append(step(begin, now[replica], replica=replica, used_blocks=blocks, **more))
    facts = {"num_gpu_blocks": 101, "block_size": 16}
    return run(requests, steps, sessions, facts=facts)


def divided(whole: Run, num_steps: int, num_sessions: int, held_bytes: int) -> Run:
    """The same run in chunks of so many steps and so many sessions, in memory or in files."""
    steps = TableWriter(whole.steps.dtypes, held_bytes=held_bytes)
    for begin in range(0, whole.steps.num_rows, num_steps):
        steps.append({name: c[begin : begin + num_steps] for name, c in whole.steps.items()})
    requests = TableWriter(whole.requests.dtypes, held_bytes=held_bytes)
    sessions = TableWriter(whole.sessions.dtypes, held_bytes=held_bytes)
    for begin in range(0, whole.sessions.num_rows, num_sessions):
        part = {name: c[begin : begin + num_sessions] for name, c in whole.sessions.items()}
        sessions.append(part)
        names = part["session"].tolist()
        requests.append(whole.requests.columns(where={"session": names}))
    tables = {"requests": requests.close(), "steps": steps.close(), "sessions": sessions.close()}
    return replace(whole, **tables)


def thirds(steps: Columns) -> dict[str, FloatArray]:
    """Parts of each step, as a cost model might have them."""
    lasts = (steps["end_ns"] - steps["start_ns"]) / 1e9
    names = ("prefill_s", "decode_s", "compute_s", "memory_s", "proposal")
    return {name: lasts / (3 + i) for i, name in enumerate(names)}


@settings(max_examples=40)
@given(any_run(), st.integers(1, 5), st.integers(1, 3), st.sampled_from([0, 100, 10**9]))
def test_the_figures_of_a_divided_run_are_those_of_the_whole(
    whole: Run, num_steps: int, num_sessions: int, held_bytes: int
) -> None:
    parts = divided(whole, num_steps, num_sessions, held_bytes)
    assert parts.makespan_ns == whole.makespan_ns
    for parts_of in (None, thirds):
        found, expected = (
            msgspec.to_builtins(summarize(made, parts_of)) for made in (parts, whole)
        )
        for key in ("speculation", "latency"):  # sums of floats
            assert flat(found.pop(key)) == pytest.approx(flat(expected.pop(key)), rel=1e-12)
        assert found == expected
    spent, expected = agent_time(parts), agent_time(whole)
    assert all(np.array_equal(spent[phase], expected[phase]) for phase in expected)
    assert served(parts).sum() == served(whole).sum()
    power, expected = (energy_of(made, thirds, 3, POWER, quoted(1.0)) for made in (parts, whole))
    assert power.kwh == pytest.approx(expected.kwh, rel=1e-12)
    price = given_gpu_price(1.0)
    assert self_hosted(parts, 1, price, quoted(0.0)) == self_hosted(whole, 1, price, quoted(0.0))
    for metric in METRICS.values():
        assert metric.sample(parts).count == metric.sample(whole).count
    if whole.requests["prompt_tokens"].any():
        assert prefill_text(parts) == prefill_text(whole)


def flat(found: object) -> dict[str, float]:
    """Numbers by their path."""
    if isinstance(found, dict):
        return {f"{k}/{path}": x for k, v in found.items() for path, x in flat(v).items()}
    return {"": float(found)} if isinstance(found, int | float) else {}


def test_sessions_and_requests_divided_apart_are_taken_as_a_whole() -> None:
    calls = [request(name, "a", (0, 0, 1, 2)) for name in "abc"]
    whole = run(calls, [], [session(name, 0, 4) for name in "abc"])
    parts = divided(whole, 1, 1, 10**9)
    mixed = replace(parts, sessions=whole.sessions)
    assert agent_time(mixed)["tools"].tolist() == agent_time(whole)["tools"].tolist() == [2e9] * 3


def test_a_request_of_no_session_is_named() -> None:
    made = run([request("x", "a", (0, 0, 1, 2))], [], [session("s", 0, 2)])
    with pytest.raises(UserError, match="names session 'x'"):
        agent_time(made)


intervals = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 6)), max_size=5)


@given(st.lists(intervals, max_size=6), st.integers(0, 40))
def test_a_union_of_covers_covers_what_any_of_them_does(
    parts: list[list[tuple[int, int]]], when: int
) -> None:
    covers = []
    for spans in parts:
        starts = np.array([start for start, _ in spans], np.int64)
        covers.append(Cover.of(starts, starts + np.array([n for _, n in spans], np.int64)))
    spans = [span for part in parts for span in part]
    covered = {tick for start, length in spans for tick in range(start, start + length)}
    union = Cover.union(covers)
    assert union.until(np.array([when])).tolist() == [sum(tick < when for tick in covered)]
    assert (union.starts[1:] > union.ends[:-1]).all()


def test_tables_are_made_of_dicts_of_columns() -> None:
    made = run([], [], [session("s", 0, 2), session("t", 0, 3)])
    assert isinstance(made.sessions, Table)
    assert made.makespan_ns == 3_000_000_000
    assert run([], [], []).makespan_ns == 0
