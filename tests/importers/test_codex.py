"""Codex CLI rollouts: a recorded one against the rounds TraceLab made of it, and the traps."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from agentsim.domain.trace import Call, Trace
from agentsim.workload.importers.reading import import_logs
from agentsim.workload.importers.report import ImportReport
from importers.samples import sample

S, MS = 10**9, 10**6


def moment_ns(text: str) -> int:
    """A time with milliseconds."""
    return round(datetime.fromisoformat(text).timestamp() * 1000) * MS


def test_a_rollout_gives_the_rounds_that_tracelab_made_of_it(shared: Path) -> None:
    folder = shared / "traces" / "tracelab" / "raw"
    with open(folder / "codex-rounds.jsonl", encoding="utf-8") as lines:
        rounds = [json.loads(line) for line in lines if line.strip()]
    trace, report = import_logs([str(folder / "codex-session.jsonl")])
    (session,) = trace
    assert report.calls == len(rounds) == 9
    origin_ns = None
    for index, (call, want) in enumerate(zip(session.calls, rounds, strict=True)):
        assert call.model == want["model"]
        assert (call.input_tokens, call.output_tokens) == (
            want["input_tokens_total"],
            want["output_tokens"],
        )
        assert call.measured is not None
        assert call.measured.cached_tokens == want["prefix_tokens"]
        assert [(tool.name, tool.duration_ns) for tool in call.tools] == [
            (tool["tool_name"], tool["tool_wall_latency_ms"] * MS) for tool in want["tools"]
        ]
        kinds = ("user_message", "tool_result")
        inputs = [e for e in want["timing_events"] if e["event_type"] in kinds]
        (report_at,) = (
            moment_ns(e["timestamp"])
            for e in want["timing_events"]
            if e["event_type"] == "usage_report"
        )
        start_ns = moment_ns(inputs[-1]["timestamp"])
        origin_ns = start_ns if origin_ns is None else origin_ns
        assert call.at_ns == start_ns - origin_ns
        assert call.measured.e2e_ns == report_at - start_ns
        assert call.trigger == ("user" if inputs[-1]["event_type"] == "user_message" else "tool")
        assert call.after == ((f"main/{index - 1}",) if index else ())


def test_a_provider_that_misses_its_cache_does_not_break_the_prefix(shared: Path) -> None:
    """10,152 tokens of prompt with 3,456 cached, right after 10,058 with 9,856."""
    path = shared / "traces" / "tracelab" / "raw" / "codex-session.jsonl"
    (session,) = import_logs([str(path)])[0]
    call = session.calls[3]
    assert call.measured is not None
    assert call.measured.cached_tokens == 3456
    assert (call.extends, call.keep >= 10058) == ("main/2", True)


@pytest.fixture(scope="module")
def imported() -> tuple[Trace, ImportReport]:
    return import_logs([str(sample("codex"))])


@pytest.fixture(scope="module")
def calls(imported: tuple[Trace, ImportReport]) -> dict[str, Call]:
    (session,) = imported[0]
    return {call.id: call for call in session.calls}


def warned(report: ImportReport, word: str) -> int:
    return sum(each.count for kind, each in report.warnings.items() if word in kind)


def test_events_without_or_with_the_same_total_are_no_calls(calls: dict[str, Call]) -> None:
    main = [call for call in calls.values() if call.agent == "main"]
    assert [call.input_tokens for call in main] == [9000, 9800, 10000, 10300, 10500, 8000]


def test_a_result_before_the_answer_is_complete_belongs_to_the_next_call(
    calls: dict[str, Call],
) -> None:
    first = calls["main/0"]
    assert first.measured is not None
    assert first.measured.e2e_ns == round(3.9 * S)
    assert [tool.duration_ns for tool in first.tools] == [round(0.6 * S), round(2.5 * S)]
    assert calls["main/1"].delay_ns == 2 * S


def test_a_call_starts_no_earlier_than_the_answer_before_it(tmp_path: Path) -> None:
    """A tool that is done before the token count: its result waits for the answer's end."""

    def event(second: float, kind: str, **payload: Any) -> str:
        time = f"2026-01-01T00:00:{second:06.3f}Z"
        return json.dumps({"timestamp": time, "type": kind, "payload": payload}) + "\n"

    def counts(second: float, total: int, last: int) -> str:
        usage = [{"input_tokens": given, "output_tokens": 5} for given in (total, last)]
        info = {"total_token_usage": usage[0], "last_token_usage": usage[1]}
        return event(second, "event_msg", type="token_count", info=info)

    path = tmp_path / "rollout.jsonl"
    path.write_text(
        event(0, "session_meta", id="s")
        + event(1, "event_msg", type="user_message", message="zebra")
        + event(2, "response_item", type="function_call", name="x", call_id="c")
        + event(2.1, "response_item", type="function_call_output", call_id="c", output="quokka")
        + counts(3, 100, 100)
        + event(4, "response_item", type="message", role="assistant", content=[])
        + counts(5, 300, 200)
    )
    (session,) = import_logs([str(path)])[0]
    second = session.calls[1]
    assert (second.after, second.at_ns, second.delay_ns) == (("main/0",), 2 * S, 0)
    assert session.calls[0].tools[0].duration_ns == S // 10


def test_a_compaction_keeps_the_instructions_only(calls: dict[str, Call]) -> None:
    """The request for the summary is a call of its own, with the whole prompt before it."""
    summary, after = calls["main/4"], calls["main/5"]
    assert summary.keep >= 10300
    assert (after.extends, after.keep) == ("main/4", 901)


def test_a_sub_agents_rollout_joins_its_parents_session(calls: dict[str, Call]) -> None:
    name = "sub-0199bbbb-0000-7000-8000-00000000000b"
    first, last = calls[f"{name}/0"], calls[f"{name}/1"]
    assert (first.after, first.trigger) == (("main/1",), "spawn")
    assert calls["main/3"].after == ("main/2", last.id)
    assert "main/2" in calls["main/3"].after
    assert last.id not in calls["main/2"].after  # it ran on meanwhile


def test_a_fork_counts_its_copy_once_and_goes_on_from_it(
    imported: tuple[Trace, ImportReport], calls: dict[str, Call]
) -> None:
    fork, last = (call for call in calls.values() if call.agent.startswith("resumed-"))
    assert (last.after, last.extends) == ((fork.id,), fork.id)
    assert (fork.after, fork.extends) == (("main/3",), "main/3")
    assert fork.trigger == "user"
    assert warned(imported[1], "several places") == 4


def test_an_aborted_answer_is_said(imported: tuple[Trace, ImportReport]) -> None:
    assert warned(imported[1], "cut off") == 1


def test_sessions_with_equal_instructions_share_them(imported: tuple[Trace, ImportReport]) -> None:
    (session,) = imported[0]
    assert session.system_tokens == 901
