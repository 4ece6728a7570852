"""Agent runs by their sizes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agentsim.errors import TraceError
from importers.samples import sample
from importers.sessions import S, read


def test_a_row_is_a_session_whose_prompts_hold_all_that_went_before() -> None:
    trace, report = read(sample("applied-compute"))
    calls = trace.sessions[0].calls
    assert [call.input_tokens for call in calls] == [1000, 1250, 1290]
    assert [call.output_tokens for call in calls] == [50, 30, 90]
    assert [call.keep for call in calls] == [0, 1050, 1280]
    assert [call.delay_ns for call in calls] == [None, S // 2, 12 * S + S // 4]
    assert [tool.result_tokens for call in calls for tool in call.tools] == [200, 10]
    assert len(trace.sessions[1].calls) == 1
    assert report.standing["prefix"] == {"measured": 2, "estimated": 0, "missing": 2}


def test_lists_of_another_length_are_told(tmp_path: Path) -> None:
    row = json.loads(sample("applied-compute").read_text().splitlines()[0])
    row["tool_call_latency"].pop()
    path = tmp_path / "t.jsonl"
    path.write_text(json.dumps(row) + "\n")
    with pytest.raises(TraceError, match=r"'tool_call_latency': expected an array of 2 values"):
        read(path)
