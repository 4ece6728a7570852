"""BurstGPT, with and without sessions."""

from __future__ import annotations

from pathlib import Path

from importers.samples import sample
from importers.sessions import S, read


def test_conversations_are_sessions_and_other_requests_stand_alone() -> None:
    trace, report = read(sample("burstgpt"))
    assert len(trace) == 3
    first, second = trace.find("1722ac82").calls
    assert (first.model, first.measured and first.measured.e2e_ns) == ("GPT-4", 43 * S)
    assert (second.after, second.delay_ns) == (("main/0",), 70 * S)
    assert report.standing["wait"]["measured"] == 4
    assert report.warnings["failed requests, without an answer"].count == 1


def test_older_files_have_neither_session_nor_length(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text(
        "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n"
        "5,ChatGPT,472,18,490,Conversation log\n45,ChatGPT,1087,230,1317,Conversation log\n"
    )
    trace, report = read(path)
    assert [session.at_ns for session in trace] == [0, 40 * S]
    assert report.standing["end"]["missing"] == 2
