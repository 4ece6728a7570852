"""Claude Code's own telemetry: OTLP log events ``claude_code.api_request`` and ``.tool_result``.

Opt-in (``CLAUDE_CODE_ENABLE_TELEMETRY=1``, ``OTEL_LOGS_EXPORTER=otlp``), as a collector's file
exporter writes it. An event is sent when what it tells of is over, so a start is its time less its
duration. Made from Claude Code's documentation of its events.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from agentsim.workload.importers.logged import LoggedCall, LoggedTool
from agentsim.workload.importers.otlp import Fields, documents, fields_of
from agentsim.workload.importers.sink import Sink
from agentsim.workload.importers.sources import LogFile
from agentsim.workload.importers.values import items, seconds, table, timestamp

_MARK = "claude_code."
#: How `query_source` calls the session's own context; others are sub-agents and side requests.
_MAIN = ("", "main", "sdk", "repl_main_thread")
_COMPACT = "compact"
#: Tools that run a sub-agent.
_SPAWNERS = ("Task", "Agent")
_PROMPT = ("input_tokens", "cache_creation_tokens", "cache_read_tokens")


def is_claude_code_otel(file: LogFile) -> bool:
    """Whether it is OTLP logs with events of Claude Code."""
    return '"resourceLogs"' in file.text and _MARK in file.text


def read_claude_code_otel(file: LogFile, sink: Sink) -> None:
    """Read the events of a file."""
    sessions: dict[str, _Session] = {}
    for number, document in documents(file, sink):
        for record in _records(file, number, document, sink):
            with sink.guard():
                event = _event(file, number, record)
                name = event.text("session.id") or file.stem
                if name not in sessions:
                    sessions[name] = _Session(name, sink)
                sessions[name].add(event)
    for session in sessions.values():
        session.finish()


def _records(
    file: LogFile, number: int | None, document: dict[str, Any], sink: Sink
) -> Iterator[dict[str, Any]]:
    """The log records of a document, each with its resource's attributes."""
    found = []
    with sink.guard():
        for given in items(file, number, "resourceLogs", document.get("resourceLogs")):
            resource = table(file, number, "resourceLogs[]", given)
            about = table(file, number, "resource", resource.get("resource"))
            for scope in items(file, number, "scopeLogs", resource.get("scopeLogs")):
                logs = table(file, number, "scopeLogs[]", scope).get("logRecords")
                for each in items(file, number, "logRecords", logs):
                    record = table(file, number, "logRecords[]", each)
                    found.append({**record, "resource": about.get("attributes")})
    yield from found


def _event(file: LogFile, number: int | None, record: dict[str, Any]) -> Fields:
    """A log record as the span that ends at its time; the start is worked out by `_start`."""
    body = record.get("body")
    event = fields_of(
        file,
        number,
        {
            "name": body.get("stringValue") if isinstance(body, dict) else record.get("eventName"),
            "spanId": "log",
            "traceId": "log",
            "endTimeUnixNano": record.get("timeUnixNano"),
            "attributes": record.get("attributes"),
            "resource": record["resource"],
        },
    )
    sent_ns = timestamp(file, number, "event.timestamp", event.text("event.timestamp"))
    name = (event.text("event.name") or event.name).removeprefix(_MARK)
    return replace(event, name=name, end_ns=sent_ns if sent_ns is not None else event.end_ns)


def _start(event: Fields) -> int | None:
    lasts_ms = seconds(event.file, event.number, "duration_ms", event.attributes.get("duration_ms"))
    if event.end_ns is None or lasts_ms is None:
        return None
    return max(0, event.end_ns - round(lasts_ms * 1e6))


@dataclass(slots=True)
class _Agent:
    """A context of a session: its last call, whose tools may follow."""

    name: str
    start_ns: int | None
    num_calls: int = 0
    call: LoggedCall | None = None
    tools: list[LoggedTool] = field(default_factory=list)


class _Session:
    """What is known of a session while its events are read."""

    def __init__(self, name: str, sink: Sink) -> None:
        self._name, self._sink = name, sink
        self._main = _Agent("main", None)
        self._agents: dict[str, _Agent] = {}  # not yet over, by `query_source`
        self._latest = self._main
        self._names: dict[str, int] = {}
        self._trigger: str | None = None
        self._is_reset = False

    def add(self, event: Fields) -> None:
        """Take in an event; unknown kinds are passed over."""
        match event.name:
            case "user_prompt":
                self._trigger = "user"
            case "api_request":
                self._request(event)
            case "tool_result":
                self._tool(event)
            case "api_error":
                self._sink.warn("API errors, which are no calls", _where(event))

    def finish(self) -> None:
        """There are no more events."""
        for agent in (self._main, *self._agents.values()):
            self._put(agent)

    def _request(self, event: Fields) -> None:
        counts = [event.count(name) for name in _PROMPT]
        if not sum(count or 0 for count in counts):
            self._sink.warn("answers without a count of their prompts; left out", _where(event))
            return
        start_ns = _start(event)
        source = event.text("query_source") or ""
        agent = self._agent(source, start_ns)
        self._put(agent)
        is_main = agent is self._main
        trigger = self._trigger if is_main else "tool" if agent.num_calls else "spawn"
        sequence = event.text("event.sequence") or f"{agent.num_calls}"
        main = self._main.call
        is_compact = source == _COMPACT and main is not None
        agent.call = LoggedCall(
            id=event.text("request_id") or f"{agent.name}-{event.end_ns}-{sequence}",
            agent=agent.name,
            model=event.text("model"),
            input_tokens=sum(count or 0 for count in counts),
            output_tokens=event.count("output_tokens") or 0,
            cached_tokens=counts[2],
            start_ns=start_ns,
            end_ns=event.end_ns,
            is_reset=is_main and self._is_reset,
            trigger=trigger,
            base=main.id if is_compact and main is not None else None,
            spawned_by=main.id if is_compact and main is not None else None,
        )
        agent.num_calls += 1
        self._latest = agent
        if is_main:
            self._trigger, self._is_reset = None, False
        elif source == _COMPACT:
            self._is_reset = True
            self._agents.pop(source)
            self._put(agent)

    def _agent(self, source: str, start_ns: int | None) -> _Agent:
        """Whose request it is."""
        if source in _MAIN or source.startswith("repl_main_thread"):
            return self._main
        if source not in self._agents:
            number = self._names[source] = self._names.get(source, 0) + 1
            self._agents[source] = _Agent(f"{source}-{number}", start_ns)
        return self._agents[source]

    def _tool(self, event: Fields) -> None:
        """A tool run: of the latest request, and of the main agent if it ran a sub-agent."""
        name = event.text("tool_name") or "tool"
        tool = LoggedTool(name, _start(event), event.end_ns)
        is_spawner = name in _SPAWNERS
        agent = self._main if is_spawner else self._latest
        agent.tools.append(tool)
        if agent is self._main:
            self._trigger = "tool"
        if is_spawner and tool.start_ns is not None and self._main.call is not None:
            for source, each in list(self._agents.items()):
                if each.start_ns is not None and each.start_ns >= tool.start_ns:
                    self._sink.spawned(self._name, each.name, self._main.call.id)
                    self._put(self._agents.pop(source))
            self._latest = self._main

    def _put(self, agent: _Agent) -> None:
        if agent.call is not None:
            call = msgspec.structs.replace(agent.call, tools=tuple(agent.tools))
            self._sink.call(self._name, call)
        agent.call, agent.tools = None, []


def _where(event: Fields) -> str:
    return event.file.name if event.number is None else f"{event.file.name}:{event.number}"
