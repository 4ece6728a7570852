"""Langfuse observations: both spellings, tools beside calls, agents, what `input` includes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agentsim.domain.trace import Call
from agentsim.workload.importers.reading import import_logs
from agentsim.workload.importers.report import ImportReport
from importers.samples import sample

NS_PER_MS = 1_000_000


def ours() -> tuple[dict[str, list[Call]], ImportReport]:
    trace, report = import_logs([str(sample("langfuse"))])
    return {session.id: list(session.calls) for session in trace}, report


def read(rows: list[dict[str, Any]], path: Path) -> list[Call]:
    (path / "log.json").write_text(json.dumps(rows))
    trace, _ = import_logs([str(path / "log.json")])
    return [call for session in trace for call in session.calls]


def generation(**more: Any) -> dict[str, Any]:
    times = {"startTime": "2026-01-01T00:00:00Z", "endTime": "2026-01-01T00:00:02Z"}
    return {"id": "g", "traceId": "t", "type": "GENERATION", "name": "x", **times, **more}


def test_tools_and_spans_beside_a_call_are_its_tools() -> None:
    first = ours()[0]["lf-1"][0]
    assert [(tool.name, tool.duration_ns) for tool in first.tools] == [
        ("read_file", 700 * NS_PER_MS),
        ("list_files", 1100 * NS_PER_MS),
    ]


def test_an_agent_below_calls_is_a_sub_agent_that_the_next_call_waits_for() -> None:
    calls = {call.id: call for call in ours()[0]["lf-1"]}
    assert calls["searcher-1/0"].after == ("main/1",)
    assert calls["searcher-1/0"].trigger == "spawn"
    assert set(calls["main/2"].after) == {"main/1", "searcher-1/1"}
    assert calls["main/2"].extends == "main/1"


def test_messages_show_that_the_answer_was_sent_back() -> None:
    first, second, *_ = ours()[0]["lf-1"]
    assert second.keep == first.input_tokens + first.output_tokens


def test_failed_generations_are_left_out() -> None:
    _, report = ours()
    assert report.warnings["calls that failed; left out"].example == "g0"


def test_traces_of_one_session_in_snake_case() -> None:
    first, second = ours()[0]["lf-2"]
    assert (first.input_tokens, second.input_tokens) == (700, 800)
    assert second.trigger == "user"
    assert second.delay_ns == 16_000 * NS_PER_MS
    assert first.measured is not None
    assert first.measured.ttft_ns == 600 * NS_PER_MS


@pytest.mark.parametrize(
    ("usage", "tokens", "output"),
    [
        ({"input": 20, "cache_read_input_tokens": 400, "output": 40, "total": 460}, 420, 40),
        ({"input": 500, "cache_read_input_tokens": 400, "output": 40, "total": 940}, 900, 40),
        ({"input": 500, "cache_read_input_tokens": 400, "output": 40, "total": 540}, 500, 40),
        ({"input": 500, "cache_read_input_tokens": 400, "output": 40}, 500, 40),
        ({"input": 20, "cache_read_input_tokens": 400, "output": 40}, 420, 40),
        ({"input": 50, "output": 9, "output_reasoning_tokens": 30, "total": 89}, 50, 39),
        ({"input": 50, "output": 39, "output_reasoning_tokens": 30, "total": 89}, 50, 39),
    ],
)
def test_what_the_count_of_input_includes_is_told_by_the_total(
    usage: dict[str, int], tokens: int, output: int, tmp_path: Path
) -> None:
    (call,) = read([generation(usageDetails=usage)], tmp_path)
    assert (call.input_tokens, call.output_tokens) == (tokens, output)


def test_text_without_counts_is_counted_and_flagged(tmp_path: Path) -> None:
    given = generation(input="one two three", output="four", usageDetails={"input": 0, "output": 0})
    (call,) = read([given], tmp_path)
    assert call.input_estimated
    assert call.output_estimated
    assert call.input_tokens > 4
