"""OpenTelemetry spans: converted sessions beside their originals, nesting, names of all ages."""

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
    trace, report = import_logs([str(sample("otel-genai"))])
    return {session.id: list(session.calls) for session in trace}, report


def span(id: str, start: int, end: int, parent: str = "", **attributes: Any) -> dict[str, Any]:
    """A span with times in seconds; attributes with ``__`` for dots."""
    given = [
        {"key": key.replace("__", "."),
         "value": {"intValue": str(value)} if isinstance(value, int) else {"stringValue": value}}
        for key, value in attributes.items()
    ]  # fmt: skip
    return {"traceId": "t", "spanId": id, "parentSpanId": parent, "name": id, "attributes": given,
            "startTimeUnixNano": f"{start}000000000",
            "endTimeUnixNano": f"{end}000000000"}  # fmt: skip


def chat(id: str, start: int, end: int, parent: str = "", **more: Any) -> dict[str, Any]:
    usage = {"gen_ai__usage__input_tokens": 1000 + start, "gen_ai__usage__output_tokens": 10}
    return span(id, start, end, parent, gen_ai__operation__name="chat", **(usage | more))


def agent(id: str, start: int, end: int, parent: str = "") -> dict[str, Any]:
    return span(id, start, end, parent, gen_ai__operation__name="invoke_agent",
                gen_ai__agent__name=id)  # fmt: skip


def read(spans: list[dict[str, Any]], path: Path) -> tuple[dict[str, Call], ImportReport]:
    document = {"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}
    (path / "log.json").write_text(json.dumps(document))
    trace, report = import_logs([str(path / "log.json")])
    return {call.id: call for session in trace for call in session.calls}, report


@pytest.mark.parametrize(
    ("task", "converted", "has_text"),
    [
        ("dask__dask-11628", "otlp.agentpile", True),
        ("python-control__python-control-525", "otlp.agentpile", True),
        ("python-control__python-control-525", "otel-spans.agent-session-otel", False),
    ],
)
def test_a_converted_session_is_the_one_it_was_made_from(
    task: str, converted: str, has_text: bool, shared: Path
) -> None:
    """Calls, prompts, cached tokens, order, tools; outputs as far as placeholders allow."""
    folder = shared / "traces"
    name = f"haiku-3.5-api.{task}"
    raw = folder / "agentcgroup-claude-code" / "raw" / f"{name}.jsonl"
    (original,), _ = import_logs([str(raw)])
    (made,), report = import_logs([str(folder / "converted" / f"{name}.{converted}.json")])
    assert made.id == original.id
    for call, want in zip(made.calls, original.calls, strict=True):
        assert (call.id, call.after, call.model) == (want.id, want.after, want.model)
        assert call.input_tokens == want.input_tokens
        assert [tool.name for tool in call.tools] == [tool.name for tool in want.tools]
        assert call.measured is not None
        assert want.measured is not None
        assert call.measured.cached_tokens == want.measured.cached_tokens
        assert call.extends == want.extends
        assert call.output_estimated
        if has_text:
            assert call.output_tokens == pytest.approx(want.output_tokens, rel=0.05)
            assert all(tool.duration_ns is None for tool in call.tools)
        else:
            for tool, other in zip(call.tools, want.tools, strict=True):
                assert tool.duration_ns == pytest.approx(other.duration_ns, abs=2 * NS_PER_MS)
    assert "calls with one time each; taken as their end" in report.warnings


def test_a_session_whose_sub_agents_a_converter_put_in_one_row(shared: Path) -> None:
    """Nothing in the file parts them, but calls of another model do not break the main prefix."""
    name = "haiku-3.5-api.sqlfluff__sqlfluff-5362"
    folder = shared / "traces"
    raw = folder / "agentcgroup-claude-code" / "raw" / f"{name}.jsonl"
    (original,), _ = import_logs([str(raw)])
    (made,), _ = import_logs([str(folder / "converted" / f"{name}.otlp.agentpile.json")])
    pairs = list(zip(made.calls, original.calls, strict=True))
    assert [a.input_tokens for a, _ in pairs] == [b.input_tokens for _, b in pairs]
    by_id = {b.id: a.id for a, b in pairs}
    for call, want in pairs:
        if want.agent == "main" and want.extends is not None:
            assert call.extends == by_id[want.extends]


def test_parallel_sub_agents_join_where_the_parent_goes_on() -> None:
    calls = {call.id: call for call in ours()[0]["otel-1"]}
    assert calls["explore-1/0"].after == calls["explore-2/0"].after == ("main/1",)
    assert set(calls["main/2"].after) == {"main/1", "explore-1/1", "explore-2/0"}
    assert calls["main/2"].delay_ns == 1500 * NS_PER_MS
    assert calls["explore-1/1"].extends == "explore-1/0"
    assert [tool.duration_ns for tool in calls["main/1"].tools] == [None]  # simulated, not a wait


def test_parallel_tools_are_those_of_the_call_before() -> None:
    first = ours()[0]["otel-1"][0]
    assert [(tool.name, tool.duration_ns) for tool in first.tools] == [
        ("Bash", 700 * NS_PER_MS),
        ("Read", 200 * NS_PER_MS),
    ]
    assert first.measured is not None
    assert first.measured.ttft_ns == 800 * NS_PER_MS


def test_nested_model_spans_count_once_and_the_inner_one_counts() -> None:
    calls, report = ours()
    assert [call.input_tokens for call in calls["otel-1"] if call.agent == "main"] == [
        15_004, 15_400, 16_900, 17_100,
    ]  # fmt: skip
    second = calls["otel-1"][1]
    assert second.measured is not None
    assert second.measured.cached_tokens == 15_000  # OpenInference's name, of the inner span
    assert report.warnings["model spans around others; the inner ones count"].example == "04"


def test_an_inner_span_without_counts_leaves_the_outer_one(tmp_path: Path) -> None:
    inner = span("b", 1, 3, "a", gen_ai__operation__name="chat")
    calls, _ = read([chat("a", 0, 4), inner], tmp_path)
    assert [call.input_tokens for call in calls.values()] == [1000]


def test_traces_of_one_conversation_are_its_turns_in_the_order_of_time() -> None:
    """The second trace comes first in its file, child before parent, on two lines."""
    last = ours()[0]["otel-1"][-1]
    assert (last.id, last.after, last.trigger) == ("main/3", ("main/2",), "user")
    assert last.delay_ns == 65_000 * NS_PER_MS


def test_openinference_alone() -> None:
    (call,) = ours()[0]["oi-1"]
    assert (call.input_tokens, call.output_tokens, call.model) == (500, 20, "m")
    assert [(tool.name, tool.duration_ns) for tool in call.tools] == [("lookup", 500 * NS_PER_MS)]


def test_an_agent_wrapped_twice_is_one_main_agent(tmp_path: Path) -> None:
    spans = [agent("workflow", 0, 9), agent("coder", 0, 9, "workflow"), chat("a", 0, 2, "coder"),
             chat("b", 3, 5, "coder")]  # fmt: skip
    calls, _ = read(spans, tmp_path)
    assert list(calls) == ["main/0", "main/1"]


def test_a_hand_over_between_agents_of_one_trace_is_in_order(tmp_path: Path) -> None:
    spans = [agent("triage", 0, 3), chat("a", 0, 2, "triage"), agent("expert", 3, 9),
             chat("b", 4, 5, "expert")]  # fmt: skip
    calls, _ = read(spans, tmp_path)
    assert calls["expert-1/0"].after == ("main/0",)
    assert calls["expert-1/0"].keep == 0


@pytest.mark.parametrize(
    "cached", ["gen_ai__usage__cache_read__input_tokens", "gen_ai__usage__cache_read_input_tokens"]
)
def test_prompts_smaller_than_their_cached_part_leave_it_out(cached: str, tmp_path: Path) -> None:
    """Then so do all of the trace, also where the numbers alone would not show it."""
    spans = [chat("a", 0, 1, **{cached: 5000}), chat("b", 2, 3, **{cached: 900})]
    calls, _ = read(spans, tmp_path)
    assert [call.input_tokens for call in calls.values()] == [6000, 1902]


def test_spans_that_are_their_own_parents_do_not_hang(tmp_path: Path) -> None:
    calls, _ = read([chat("a", 0, 1, "b"), chat("b", 2, 3, "a"), chat("c", 4, 5, "c")], tmp_path)
    assert calls


def test_tools_of_a_sub_agent_are_its_own_calls(tmp_path: Path) -> None:
    """Also below the tool that runs it, and a sub-agent of a sub-agent joins where it began."""
    tool = {"gen_ai__operation__name": "execute_tool"}
    spans = [
        agent("main", 0, 30), chat("a", 0, 2, "main"), span("task", 2, 20, "main", **tool),
        agent("explore", 2, 20, "task"), chat("b", 3, 4, "explore"),
        span("grep", 4, 5, "explore", **tool), span("ask", 5, 12, "explore", **tool),
        agent("deeper", 5, 12, "ask"), chat("c", 6, 11, "deeper"), chat("d", 13, 19, "explore"),
        chat("e", 21, 22, "main"),
    ]  # fmt: skip
    calls, _ = read(spans, tmp_path)
    assert [tool.name for tool in calls["main/0"].tools] == ["task"]
    assert [tool.name for tool in calls["explore-1/0"].tools] == ["grep", "ask"]
    assert calls["deeper-1/0"].after == ("explore-1/0",)
    assert set(calls["explore-1/1"].after) == {"explore-1/0", "deeper-1/0"}
    assert set(calls["main/1"].after) == {"main/0", "explore-1/1"}


def test_two_conversations_in_one_trace_are_two_sessions(tmp_path: Path) -> None:
    key = "gen_ai__conversation__id"
    spans = [chat("a", 0, 1, **{key: "s1"}), chat("b", 2, 3, **{key: "s2"}), chat("c", 4, 5)]
    (tmp_path / "log.json").write_text(
        json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]})
    )
    trace, _ = import_logs([str(tmp_path / "log.json")])
    assert {session.id: len(session.calls) for session in trace} == {"s1": 2, "s2": 1}
