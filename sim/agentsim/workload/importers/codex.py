"""Codex CLI rollouts, ``~/.codex/sessions/YYYY/MM/DD/rollout-*.jsonl``.

A call is a ``token_count`` event that changes the total; the ``response_item`` records before it
say what went in (messages of the user, outputs of tools) and what came out. ``event_msg`` records
repeat them and are read for token counts and turns of the human only.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import msgspec

from agentsim.workload.importers.logged import LoggedCall, LoggedTool, SessionFacts
from agentsim.workload.importers.sink import Sink
from agentsim.workload.importers.sources import LogFile
from agentsim.workload.importers.values import table, timestamp, tokens

_COUNTS = ("input_tokens", "cached_input_tokens", "output_tokens", "reasoning_output_tokens")


def is_codex(file: LogFile) -> bool:
    """Whether the first line is a rollout's."""
    first = file.first or {}
    return first.get("type") == "session_meta" and isinstance(first.get("payload"), dict)


def read_codex(file: LogFile, sink: Sink) -> None:
    """Read the records of a file."""
    reader = _Reader(file, sink)
    for number, record in sink.objects(file):
        with sink.guard():
            reader.add(number, record)
    reader.finish()


@dataclass(slots=True)
class _Tool:
    name: str
    start_ns: int | None
    end_ns: int | None = None
    agent: str = ""


@dataclass(slots=True)
class _Round:
    """A call while its records are read."""

    trigger: str | None = None
    is_reset: bool = False
    input_ns: int | None = None
    has_items: bool = False
    tools: dict[str, _Tool] = field(default_factory=dict)


class _Reader:
    """What is known of a rollout while it is read."""

    def __init__(self, file: LogFile, sink: Sink) -> None:
        self._file, self._sink = file, sink
        self._name = self._session = file.stem
        self._agent = "main"
        self._has_meta = self._is_fork = False
        self._model: str | None = None
        self._total: tuple[int, ...] | None = None
        self._now, self._next = _Round(), _Round()
        self._asked: tuple[dict[str, _Tool], LoggedCall] | None = None  # waits for its tools
        self._end_ns: int | None = None
        self._copied: str | None = None  # of a fork: the last call that is a copy
        self._number = 0

    def add(self, number: int, record: dict[str, Any]) -> None:
        """Take in a record; unknown kinds are passed over."""
        payload = table(self._file, number, "payload", record.get("payload"))
        at_ns = timestamp(self._file, number, "timestamp", record.get("timestamp"))
        match record.get("type"):
            case "session_meta":
                self._meta(payload)
            case "turn_context":
                self._model = _text(payload, "model") or self._model
            case "compacted":
                self._waiting.is_reset, self._waiting.input_ns = True, at_ns
            case "response_item":
                self._item(payload, at_ns)
            case "event_msg":
                self._event(number, payload, at_ns)

    def finish(self) -> None:
        """The file is at its end."""
        self._put_asked()
        if self._now.has_items:
            self._cut_off(self._file.name)

    @property
    def _waiting(self) -> _Round:
        """The call that inputs go to: the next one, if an answer is being given."""
        return self._next if self._now.has_items else self._now

    def _cut_off(self, where: str) -> None:
        self._sink.warn("answers cut off before their token counts", where)

    def _meta(self, payload: dict[str, Any]) -> None:
        """The session; a second one is that of the rollout that this one was forked from."""
        if self._has_meta:
            self._is_fork = True
            return
        self._has_meta = True
        self._name = self._session = _text(payload, "id") or self._file.stem
        self._is_fork = bool(_text(payload, "forked_from_id"))
        source: Any = payload.get("source")
        for step in ("subagent", "thread_spawn", "parent_thread_id"):
            source = source.get(step) if isinstance(source, dict) else None
        if isinstance(source, str) and source:
            self._session, self._agent = source, f"sub-{self._name}"
        instructions = payload.get("base_instructions")
        text = _text(instructions, "text") if isinstance(instructions, dict) else ""
        if text and self._agent == "main":
            system = self._sink.counter.count(text)
            self._sink.facts(self._session, SessionFacts(system, shares_heads=True))

    def _item(self, payload: dict[str, Any], at_ns: int | None) -> None:
        """A part of a prompt or of an answer."""
        kind, use = _text(payload, "type"), _text(payload, "call_id")
        if kind.endswith("_output"):
            self._result(payload, use, at_ns)
        elif kind == "message" and payload.get("role") != "assistant":
            self._waiting.input_ns = at_ns
        elif kind in ("message", "reasoning"):
            self._now.has_items = True
        elif kind.endswith("_call"):
            self._now.has_items = True
            name = _text(payload, "name") or kind.removesuffix("_call")
            self._now.tools[use or f"{len(self._now.tools)}"] = _Tool(name, at_ns)

    def _result(self, payload: dict[str, Any], use: str, at_ns: int | None) -> None:
        self._waiting.input_ns, self._waiting.trigger = at_ns, "tool"
        for tools in (self._now.tools, self._asked[0] if self._asked else {}):
            if use in tools:
                tools[use].end_ns, tools[use].agent = at_ns, _agent(payload.get("output"))

    def _event(self, number: int, payload: dict[str, Any], at_ns: int | None) -> None:
        match payload.get("type"):
            case "user_message":
                self._waiting.input_ns, self._waiting.trigger = at_ns, "user"
            case "task_started":
                self._waiting.input_ns = at_ns
            case "turn_aborted":
                if self._now.has_items:
                    self._cut_off(f"{self._file.name}:{number}")
                is_reset = self._now.is_reset or self._next.is_reset
                self._now, self._next = _Round(is_reset=is_reset), _Round()
            case "token_count":
                self._count(number, payload, at_ns)

    def _count(self, number: int, payload: dict[str, Any], at_ns: int | None) -> None:
        """A token count: of a call if the total changed."""
        info = table(self._file, number, "info", payload.get("info"))
        last = self._usage(number, info, "last_token_usage")
        total = self._usage(number, info, "total_token_usage")
        if not any(last) or (total == self._total and any(total)):
            return  # rate limits, the same count again, a client's own estimate
        self._total = total
        self._put_asked()
        now, self._now, self._next = self._now, self._next, _Round()
        start_ns, before_ns, self._end_ns = now.input_ns, self._end_ns, at_ns
        if start_ns is not None and before_ns is not None:
            start_ns = max(start_ns, before_ns)
        key = f"codex {total} {last}"
        copied = self._sink.claimed(key) if self._is_fork else None
        if copied is not None:
            self._sink.warn(
                "calls logged in several places; the first counts", f"{self._file.name}:{number}"
            )
            self._session, _, self._copied = copied.partition("\x1f")
            return
        if self._copied is not None and self._agent == "main":
            self._agent = f"resumed-{self._name[-12:]}"
        trigger = "spawn" if self._agent.startswith("sub-") and not self._number else now.trigger
        call = LoggedCall(
            id=f"{self._agent}-{self._number}",
            agent=self._agent,
            model=self._model,
            input_tokens=last[0],
            cached_tokens=last[1],
            output_tokens=last[2],
            start_ns=start_ns,
            end_ns=at_ns,
            after=(self._copied,) if self._copied is not None else None,
            base=self._copied,
            is_reset=now.is_reset,
            trigger=trigger,
        )
        self._sink.claim(key, f"{self._session}\x1f{call.id}")
        self._number += 1
        self._copied = None
        self._asked = (now.tools, call)

    def _usage(self, number: int, info: dict[str, Any], name: str) -> tuple[int, ...]:
        usage = table(self._file, number, name, info.get(name))
        found = (tokens(self._file, number, count, usage.get(count)) for count in _COUNTS)
        return tuple(count or 0 for count in found)

    def _put_asked(self) -> None:
        """The last call, whose tools are done as far as the log says."""
        if self._asked is None:
            return
        (tools, call), self._asked = self._asked, None
        for tool in tools.values():
            if tool.agent:
                self._sink.spawned(self._session, f"sub-{tool.agent}", call.id)
        logged = tuple(LoggedTool(t.name, t.start_ns, t.end_ns) for t in tools.values())
        self._sink.call(self._session, msgspec.structs.replace(call, tools=logged))


def _text(record: dict[str, Any], name: str) -> str:
    """A field that is text, or nothing."""
    value = record.get(name)
    return value if isinstance(value, str) else ""


def _agent(output: Any) -> str:
    """The agent that the output of ``spawn_agent`` names; nothing in those of other tools."""
    if not isinstance(output, str) or not output.startswith("{") or "agent_id" not in output:
        return ""
    try:
        found = json.loads(output)
    except (ValueError, RecursionError):
        return ""
    return _text(found, "agent_id")
