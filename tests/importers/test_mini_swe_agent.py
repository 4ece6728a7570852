"""mini-swe-agent's trajectories: usage and times of version 2, counted text of the oldest."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agentsim.domain.trace import Call
from agentsim.workload.importers.reading import import_logs
from importers.samples import files_of, sample

S = 10**9


def read(value: Any, path: Path) -> tuple[list[Call], Any]:
    (path / "run.traj.json").write_text(json.dumps(value))
    trace, report = import_logs([str(path / "run.traj.json")])
    return list(next(iter(trace)).calls), report


def ours() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(files_of(sample("mini-swe-agent"))[0].read_text())
    return found


def test_usage_and_times_of_version_2(tmp_path: Path) -> None:
    """An answer's time ends its call, a result's its action; the next call begins there."""
    calls, report = read(ours(), tmp_path)
    assert [(c.input_tokens, c.output_tokens) for c in calls] == [
        (1500, 80),
        (1640, 60),
        (1700, 40),
    ]
    assert [c.at_ns for c in calls] == [0, 3.9 * S, 9 * S]
    assert [c.delay_ns for c in calls] == [None, 0.4 * S, 3 * S]
    assert [c.measured and c.measured.e2e_ns for c in calls] == [3.5 * S, 2.1 * S, 3 * S]
    assert [c.measured and c.measured.cached_tokens for c in calls] == [1024, 1504, None]
    assert calls[0].tools[0].duration_ns == 0.4 * S
    assert [tool.duration_ns for tool in calls[1].tools] == [None, None]  # known together only
    assert {c.model for c in calls} == {"m"}
    assert report.standing["input_tokens"]["measured"] == 3
    assert report.explained_share == 1.0


def test_an_answer_that_was_sent_back_is_shared_unless_it_thought(tmp_path: Path) -> None:
    """Reasoning is in the output and not in the next prompt."""
    calls, _ = read(ours(), tmp_path)
    assert (calls[1].extends, calls[1].keep) == ("main/0", 1580)
    assert (calls[2].extends, calls[2].keep) == ("main/1", 1640)


def test_times_beside_the_message_are_those_of_late_version_1(tmp_path: Path) -> None:
    wanted = [call.at_ns for call in read(ours(), tmp_path)[0]]
    run = ours()
    for message in run["messages"]:
        if "timestamp" in message["extra"]:
            message["timestamp"] = message["extra"].pop("timestamp")
    assert [call.at_ns for call in read(run, tmp_path)[0]] == wanted


def test_the_oldest_form_is_counted(shared: Path) -> None:
    """A bare list: every answer is a call, each prompt the messages before it."""
    encoding = pytest.importorskip("bpe_openai").get_encoding("o200k_base")
    path = shared / "traces" / "mini-swe-agent" / "raw" / "github_issue.traj.json"
    sizes = [
        (message["role"], len(encoding.encode_ordinary(message["content"].strip())) + 4)
        for message in json.loads(path.read_text())
    ]
    trace, report = import_logs([str(path)])
    assert report.formats == {"mini-swe-agent": 1}
    wanted = [
        (sum(tokens for _, tokens in sizes[:at]), tokens)
        for at, (role, tokens) in enumerate(sizes)
        if role == "assistant"
    ]
    assert [(c.input_tokens, c.output_tokens) for c in next(iter(trace)).calls] == wanted
    assert len(wanted) == 10
    for before, call in zip(next(iter(trace)).calls, next(iter(trace)).calls[1:], strict=False):
        assert call.keep == before.input_tokens + before.output_tokens
        assert call.delay_ns is None
    assert report.standing["wait"]["missing"] == 10


def test_after_an_answer_without_a_result_a_start_is_unknown(tmp_path: Path) -> None:
    run = ours()
    del run["messages"][3]
    calls, report = read(run, tmp_path)
    assert [call.at_ns for call in calls] == [0, None, 9 * S]
    assert report.standing["start"]["missing"] == 1


def test_a_result_before_its_answer_is_no_negative_time(tmp_path: Path) -> None:
    """Clocks that run backwards."""
    run = ours()
    run["messages"][3]["extra"]["timestamp"] -= 100
    calls, _ = read(run, tmp_path)
    assert all(call.delay_ns is None or call.delay_ns >= 0 for call in calls)
    durations = [tool.duration_ns for call in calls for tool in call.tools]
    assert all(duration is None or duration >= 0 for duration in durations)
