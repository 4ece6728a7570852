"""TraceLab's rounds: a JSON line for each step of a Claude Code or Codex session.

``{"session_id", "round_index", "input_tokens_total", "prefix_tokens", "output_tokens", "model",
"timing_events": [{"event_type", "timestamp"}], "tools": [{"tool_name", "emitted_at", "result_at",
"tool_wall_latency_ms"}]}`` (uw-syfi/TraceLab). ``prefix_tokens`` is what the provider's cache held,
so it is a measurement; what prompts share follows from their growth.
"""

from __future__ import annotations

from typing import Any

from agentsim.domain.units import NS_PER_MS
from agentsim.workload.importers.hashed import required
from agentsim.workload.importers.logged import LoggedCall, LoggedTool
from agentsim.workload.importers.sink import Sink
from agentsim.workload.importers.sources import LogFile, expect
from agentsim.workload.importers.values import in_ns, items, table, timestamp, tokens

_GIVEN = ("user_message", "tool_result")


def is_tracelab(file: LogFile) -> bool:
    """Whether the first row has these fields."""
    first = file.first or {}
    return {"session_id", "round_index", "prefix_tokens", "output_tokens"} <= set(first)


def read_tracelab(file: LogFile, sink: Sink) -> None:
    """Read the rounds of a file."""
    for number, row in sink.objects(file):
        with sink.guard():
            session = row.get("session_id")
            if not isinstance(session, str) or not session:
                raise expect(file, number, "session_id", session, "a string that is not empty")
            sink.call(session, _call(file, number, row, sink))


def _call(file: LogFile, number: int, row: dict[str, Any], sink: Sink) -> LoggedCall:
    total = tokens(file, number, "input_tokens_total", row.get("input_tokens_total"))
    cached = tokens(file, number, "prefix_tokens", row.get("prefix_tokens"))
    appended = tokens(file, number, "newly_append_tokens", row.get("newly_append_tokens"))
    if total is None and cached is not None and appended is not None:
        total = cached + appended
    if total is None:
        raise expect(file, number, "input_tokens_total", None, "an integer >= 0")
    if None not in (cached, appended) and (cached or 0) + (appended or 0) != total:
        sink.warn("prompts that are not the sum of their parts", f"{file.name}:{number}")
    given, made = _times(file, number, row)
    model = row.get("model")
    return LoggedCall(
        id=str(required(file, number, "round_index", row.get("round_index"))),
        input_tokens=total,
        output_tokens=required(file, number, "output_tokens", row.get("output_tokens")),
        cached_tokens=cached,
        model=model if isinstance(model, str) else None,
        start_ns=max(given) if given else None,
        end_ns=max(made) if made else None,
        trigger=_trigger(row),
        tools=tuple(
            _tool(file, number, table(file, number, f"tools[{index}]", each))
            for index, each in enumerate(items(file, number, "tools", row.get("tools")))
        ),
    )


def _times(file: LogFile, number: int, row: dict[str, Any]) -> tuple[list[int], list[int]]:
    """Times of what went into a round, and of what came out."""
    given: list[int] = []
    made: list[int] = []
    for index, each in enumerate(items(file, number, "timing_events", row.get("timing_events"))):
        event = table(file, number, f"timing_events[{index}]", each)
        at_ns = timestamp(file, number, "timestamp", event.get("timestamp"))
        if at_ns is not None:
            (given if event.get("event_type") in _GIVEN else made).append(at_ns)
    return given, made


def _trigger(row: dict[str, Any]) -> str | None:
    first = row.get("first_input_event_type")
    if row.get("current_user_message_count") or first == "user_message":
        return "user"
    return "tool" if first == "tool_result" else None


def _tool(file: LogFile, number: int, row: dict[str, Any]) -> LoggedTool:
    wall = row.get("tool_wall_latency_ms")
    name = row.get("tool_name")
    return LoggedTool(
        name if isinstance(name, str) and name else "unnamed",
        start_ns=timestamp(file, number, "emitted_at", row.get("emitted_at")),
        end_ns=timestamp(file, number, "result_at", row.get("result_at")),
        duration_ns=in_ns(file, number, "tool_wall_latency_ms", wall, NS_PER_MS),
    )
