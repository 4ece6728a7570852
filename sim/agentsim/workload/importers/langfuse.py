"""Langfuse observations: JSON lines or an array, in camel case (API, UI) or snake case (exports to
blob storage).

GENERATION is a call, TOOL a tool, AGENT an agent; a SPAN with nothing below it, beside a call, is
taken for a tool. Traces that name no session are one each. Start reading at `_span`.
"""

from __future__ import annotations

import json
from typing import Any

from agentsim.workload.importers.chat import (
    Message,
    Pieces,
    answer_of,
    messages_of,
    tools_of,
    trigger_of,
)
from agentsim.workload.importers.logged import LoggedCall
from agentsim.workload.importers.records import first_text, moment, records_in
from agentsim.workload.importers.sink import Sink
from agentsim.workload.importers.sources import LogFile, expect
from agentsim.workload.importers.spans import Kind, Span, hold_span, settle
from agentsim.workload.importers.values import table, tokens

_KIND = "langfuse"
_KINDS: dict[str, Kind] = {
    "GENERATION": "call", "TOOL": "tool", "RETRIEVER": "tool", "AGENT": "agent", "SPAN": "step",
}  # fmt: skip
_TRACES = ("traceId", "trace_id")
_SESSIONS = ("sessionId", "session_id")
_FIRSTS = ("completionStartTime", "completion_start_time")
_CACHED = ("cache_read_input_tokens", "input_cached_tokens", "input_cache_read", "cached_tokens",
           "cacheReadInputTokens", "input_cached")  # fmt: skip
_CREATED = ("cache_creation_input_tokens", "input_cache_creation", "cacheCreationInputTokens")
_REASONING = ("output_reasoning_tokens", "reasoning_tokens", "output_reasoning")


def is_langfuse(file: LogFile) -> bool:
    """Whether a file holds observations, or traces with theirs."""
    keys = file.keys
    if keys & {*_TRACES} and "type" in keys:
        return bool(keys & {"startTime", "start_time"})
    return ("observations" in keys or "data" in keys) and '"traceId"' in file.text


def read_langfuse(file: LogFile, sink: Sink) -> None:
    """Read the observations of a file; `settle_langfuse` makes them into calls."""
    reader = _Reader(file, sink)
    for number, record in records_in(file, sink):
        with sink.guard():
            inner = record.get("observations")
            if not isinstance(inner, list):
                reader.hold(number, record, None)
                continue
            session = first_text(record, *_SESSIONS)
            for given in inner:
                reader.hold(number, table(file, number, "observations[]", given), session)


def settle_langfuse(sink: Sink) -> None:
    """Make all observations into calls."""
    settle(sink, _KIND)


class _Reader:
    """Reads the observations of one file."""

    def __init__(self, file: LogFile, sink: Sink) -> None:
        self._file, self._sink, self._pieces = file, sink, Pieces(sink)

    def hold(self, number: int, record: dict[str, Any], session: str | None) -> None:
        """Take an observation, of the session that its trace names."""
        trace = first_text(record, *_TRACES)
        if trace is None:
            raise expect(self._file, number, "traceId", record.get("traceId"), "an id")
        span = self._span(number, record)
        span.session = first_text(record, *_SESSIONS) or session
        hold_span(self._sink, _KIND, trace, span)

    def _span(self, number: int, record: dict[str, Any]) -> Span:
        id = first_text(record, "id")
        if id is None:
            raise expect(self._file, number, "id", record.get("id"), "an id")
        kind = _KINDS.get(str(record.get("type")).upper(), "other")
        usage = _usage(self._file, number, record)
        call = None
        if kind == "call" and _is_failed(record, usage):
            self._sink.warn("calls that failed; left out", id)
            kind = "other"
        elif kind == "call":
            call = self._call(number, record, id, usage)
        return Span(
            id=id,
            kind=kind,
            name=first_text(record, "name") or kind,
            parent=first_text(record, "parentObservationId", "parent_observation_id"),
            start_ns=moment(self._file, number, record, "startTime", "start_time"),
            end_ns=moment(self._file, number, record, "endTime", "end_time"),
            call=call,
            created_tokens=_first(usage, _CREATED) or 0,
            is_inclusive=_is_inclusive(usage),
        )

    def _call(
        self, number: int, record: dict[str, Any], id: str, usage: dict[str, int]
    ) -> LoggedCall | None:
        """The call of a generation; None where it says nothing of its size."""
        prompt, tools = _json(record.get("input")), None
        if isinstance(prompt, dict) and isinstance(prompt.get("messages"), list):
            prompt, tools = prompt["messages"], prompt.get("tools")
        messages = messages_of(prompt, tools=tools)
        said = answer_of(_json(record.get("output")))
        found = self._pieces.of(messages) if messages else None
        is_counted = bool(usage.get("input") or usage.get("output"))  # unknown is written as 0
        if not is_counted:
            if found is None:
                return None
            self._sink.warn("calls without token counts; their text was counted", id)
            inputs = sum(piece.tokens for piece in found)
            outputs = self._pieces.tokens(said) if said else 0
        else:
            inputs = usage.get("input", 0)
            outputs = usage.get("output", 0) + _reasoning_apart(usage)
        return LoggedCall(
            id=id,
            input_tokens=inputs,
            output_tokens=outputs,
            model=first_text(record, "model", "providedModelName", "provided_model_name"),
            start_ns=moment(self._file, number, record, "startTime", "start_time"),
            first_token_ns=moment(self._file, number, record, *_FIRSTS),
            end_ns=moment(self._file, number, record, "endTime", "end_time"),
            pieces=found,
            answer=said.digest if said and not _is_thought_away(usage, said) else None,
            trigger=trigger_of(messages),
            cached_tokens=_first(usage, _CACHED),
            tools=tools_of(said),
            input_estimated=not is_counted,
            output_estimated=not is_counted,
        )


def _is_failed(record: dict[str, Any], usage: dict[str, int]) -> bool:
    return str(record.get("level")).upper() == "ERROR" and not usage.get("output")


def _usage(file: LogFile, number: int, record: dict[str, Any]) -> dict[str, int]:
    """Counts by name, of all ages of the format."""
    found: dict[str, int] = {}
    for name in ("usage", "usageDetails", "usage_details"):
        value = record.get(name)
        if isinstance(value, str):
            value = _json(value)
        for key, each in table(file, number, name, value).items():
            if isinstance(each, int | float | str) and key != "unit":
                count = None if "ost" in key else tokens(file, number, f"{name}.{key}", each)
                if count is not None:
                    found[key] = count
    for key, names in (("input", ("promptTokens", "prompt_tokens", "input_tokens")),
                       ("output", ("completionTokens", "completion_tokens", "output_tokens")),
                       ("total", ("totalTokens", "total_tokens"))):  # fmt: skip
        for name in names:
            value = record.get(name, found.pop(name, None))
            if value is not None and key not in found:
                found[key] = tokens(file, number, name, value) or 0
    return found


def _first(usage: dict[str, int], names: tuple[str, ...]) -> int | None:
    return next((usage[name] for name in names if name in usage), None)


def _is_inclusive(usage: dict[str, int]) -> bool | None:
    """Whether ``input`` includes cached tokens, as ``total`` tells; None: it cannot tell."""
    cached = (_first(usage, _CACHED) or 0) + (_first(usage, _CREATED) or 0)
    inputs, total = usage.get("input", 0), usage.get("total")
    if not cached or total is None:
        return None if cached else True
    if inputs < cached:
        return False
    outputs = usage.get("output", 0) + (_first(usage, _REASONING) or 0)
    if total in (inputs + cached + usage.get("output", 0), inputs + cached + outputs):
        return False
    return True if total == inputs + usage.get("output", 0) else None


def _reasoning_apart(usage: dict[str, int]) -> int:
    """Tokens that were thought, if ``total`` shows that ``output`` leaves them out."""
    reasoning = _first(usage, _REASONING) or 0
    apart = (_first(usage, _CACHED) or 0) + (_first(usage, _CREATED) or 0)
    whole = usage.get("input", 0) + usage.get("output", 0) + reasoning
    return reasoning if usage.get("total") in (whole, whole + apart) else 0


def _is_thought_away(usage: dict[str, int], said: Message) -> bool:
    """Whether a part of the answer was thought and is not in the log, nor in the next prompt."""
    return bool(_first(usage, _REASONING)) and not said.has_thought


def _json(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value
