"""Claude Code's telemetry events; made from its documentation, as no sample is public."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agentsim.domain.trace import Call
from agentsim.workload.importers.reading import import_logs
from importers.samples import sample

S = 10**9


@pytest.fixture(scope="module")
def calls() -> dict[str, Call]:
    (session,) = import_logs([str(sample("claude-code-otel"))])[0]
    return {call.id: call for call in session.calls}


def test_outputs_and_durations_are_measured(calls: dict[str, Call]) -> None:
    """An event is sent at the end: its start is that less the duration."""
    first = calls["main/0"]
    assert (first.input_tokens, first.output_tokens) == (15004, 96)
    assert not first.output_estimated
    assert first.measured is not None
    assert (first.measured.e2e_ns, first.measured.cached_tokens) == (4 * S, 12000)
    assert calls["main/1"].delay_ns == round(0.7 * S)


def test_numbers_may_be_text(calls: dict[str, Call]) -> None:
    assert calls["main/2"].input_tokens == 16304


def test_tool_runs_belong_to_the_request_before_them(calls: dict[str, Call]) -> None:
    def tools(name: str) -> list[tuple[str, int | None]]:
        return [(tool.name, tool.duration_ns) for tool in calls[name].tools]

    assert tools("main/0") == [("Bash", 680 * 10**6), ("Read", 300 * 10**6)]
    assert tools("agent:builtin:Explore-1/0") == [("Grep", 150 * 10**6)]
    assert tools("main/1") == [("Task", 7050 * 10**6)]


def test_the_parent_waits_for_the_sub_agent_that_its_tool_ran(calls: dict[str, Call]) -> None:
    first, last = calls["agent:builtin:Explore-1/0"], calls["agent:builtin:Explore-1/1"]
    assert first.after == ("main/1",)
    assert calls["main/2"].after == ("main/1", last.id)
    assert calls["main/2"].delay_ns == round(0.2 * S)


def test_a_side_request_is_waited_for_by_none(calls: dict[str, Call]) -> None:
    side = "generate_session_title-1/0"
    assert calls[side].model == "claude-haiku-4-5"
    assert not any(side in call.after for call in calls.values())


def test_a_compaction_is_a_call_that_has_the_prompt_and_breaks_the_prefix(
    calls: dict[str, Call],
) -> None:
    summary, after = calls["compact-1/0"], calls["main/3"]
    assert (summary.extends, summary.keep) == ("main/2", 16304)
    assert summary.output_tokens == 800
    assert after.after == ("main/2", summary.id)
    assert (after.extends, after.trigger) == (None, "user")


def test_one_document_is_read_like_lines(tmp_path: Path) -> None:
    lines = sample("claude-code-otel").read_text().splitlines()
    records = [record for line in lines for record in json.loads(line)["resourceLogs"]]
    path = tmp_path / "logs.json"
    path.write_text(json.dumps({"resourceLogs": records}, indent=1))
    one, _ = import_logs([str(path)])
    other, _ = import_logs([str(sample("claude-code-otel"))])
    assert [s.calls for s in one] == [s.calls for s in other]
