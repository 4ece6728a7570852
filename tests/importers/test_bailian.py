"""Chats that go on from one another."""

from __future__ import annotations

from pathlib import Path

from importers.samples import sample
from importers.sessions import S, calls_of, read, rows_in


def test_a_chat_goes_on_in_the_session_of_its_root() -> None:
    trace, report = read(sample("bailian"))
    assert [session.id for session in trace] == ["159", "160"]
    calls = calls_of(trace.find("159"))
    assert [call.after for call in calls.values()] == [(), ("main/0",), ("main/1",)]
    assert calls["main/1"].at_ns == round(29.386 * S)
    assert calls["main/1"].block_tokens == 16
    assert calls["main/1"].blocks is not None
    assert calls["main/1"].blocks[:3] == (1089, 1090, 1091)
    assert trace.find("160").at_ns == round(0.886 * S)
    # one time a request: the service time of the one before is estimated and taken off
    assert report.standing["wait"]["estimated"] == 2


def test_a_parent_that_is_not_in_the_file_is_told(tmp_path: Path) -> None:
    row = {"chat_id": 5, "parent_chat_id": 4, "timestamp": 1.0, "input_length": 3,
           "output_length": 1, "type": "text", "turn": 2, "hash_ids": [9]}  # fmt: skip
    trace, report = read(rows_in(tmp_path / "t.jsonl", row))
    assert trace.find("5").calls[0].after == ()
    assert list(report.warnings) == ["chats that go on from one not logged before"]
