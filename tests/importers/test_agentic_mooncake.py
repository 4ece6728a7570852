"""Dynamo's graphs of requests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agentsim.errors import TraceError
from importers.samples import sample
from importers.sessions import MS, calls_of, read, rows_in


def test_what_waits_for_one_another_is_a_session() -> None:
    trace, report = read(sample("agentic-mooncake"))
    assert [session.id for session in trace] == ["a", "z"]
    assert report.sub_agents == 2
    calls = calls_of(trace.find("a"))
    assert calls["b/0"].after == ("main/0",)
    assert calls["main/1"].after == ("main/0", "b/1", "c/0")
    assert (calls["b/1"].delay_ns, calls["b/1"].trigger) == (2001 * MS, "tool")
    assert (calls["b/0"].delay_ns, calls["c/0"].delay_ns) == (0, 5 * MS)
    assert trace.find("z").at_ns == 40_500_000
    assert calls["main/1"].block_tokens == 64


def node(name: str, **more: Any) -> dict[str, Any]:
    return {"request_id": name, "input_length": 10, "output_length": 1, **more}


def test_sessions_that_meet_later_become_one(tmp_path: Path) -> None:
    path = rows_in(
        tmp_path / "t.jsonl",
        node("r0", session_id="r", timestamp=0),
        node("q0", session_id="q", timestamp=5),
        node("r1", session_id="r", wait_for=["r0", "q0"]),
        node("q1", session_id="q", wait_for=["q0"], delay=1),
    )
    trace, report = read(path)
    (session,) = trace
    assert len(session.calls) == 4
    assert not report.warnings
    join = next(call for call in session.calls if len(call.after) == 2)
    assert join.delay_ns is None


def test_the_second_version_has_its_block_size_and_hashes_of_its_own(tmp_path: Path) -> None:
    head = {"schema": "dynamo.agentic_mooncake", "version": 2, "block_size": 8,
            "hash_id_scope": "local", "source": {"format": "x", "digest": "y"}}  # fmt: skip
    rows = [
        node(f"{play}{n}", play_id=play, session_id=f"{play}-main", model="m", hash_ids=[0, n + 1],
             not_before_ms=100 if play == "p" else 350,
             dependencies=[] if not n else [{"request_id": f"{play}0", "trigger": "completion",
                                             "delay_ms": 20, "relation": "sequence"}])
        for play in "pq" for n in range(2)
    ]  # fmt: skip
    trace, report = read(rows_in(tmp_path / "t.jsonl", head, *rows))
    assert [session.id for session in trace] == ["p", "q"]
    assert trace.find("q").at_ns == 250 * MS
    one, two = trace.find("p").calls
    assert (two.after, two.delay_ns) == (("main/0",), 20 * MS)
    assert one.blocks is not None
    assert one.blocks[0] != trace.find("q").calls[0].blocks[0]  # type: ignore[index]
    assert not report.warnings


def test_waits_that_cannot_be_held_are_told(tmp_path: Path) -> None:
    rows = [
        node("a", play_id="p"),
        node("b", play_id="p", dependencies=[
            {"request_id": "a", "trigger": "dispatch", "delay_ms": 20}]),
        node("c", play_id="p", dependencies=[
            {"request_id": "a", "delay_ms": 20}, {"request_id": "b", "delay_ms": 30}]),
        node("d", play_id="p", wait_for=["later"]),
    ]  # fmt: skip
    trace, report = read(rows_in(tmp_path / "t.jsonl", *rows))
    assert trace.num_calls == 4
    assert set(report.warnings) == {
        "waits for the start of another request; taken as for its answer",
        "several waits with times of their own; the longest counts from the last answer",
        "calls that wait for one not logged before",
    }


def test_a_request_without_an_id_is_told(tmp_path: Path) -> None:
    path = rows_in(tmp_path / "t.jsonl", node("a", wait_for=[]), {"input_length": 3})
    with pytest.raises(TraceError, match=r"t.jsonl:2: field 'request_id': expected a string"):
        read(path)
