"""OpenHands: ``output.jsonl`` of its evaluations, one run a line, and exported event lists.

A call is a response of the model; the actions that it asked for carry its id and token counts, and
several of them are tools of one call. `metrics` says how long each response took, so a call begins
that long before its first action. Condensers rewrite the history; prompts are known by size only.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from agentsim.workload.importers.logged import LoggedCall, LoggedTool
from agentsim.workload.importers.sink import Sink
from agentsim.workload.importers.sources import LogFile
from agentsim.workload.importers.usage import usage_of
from agentsim.workload.importers.values import items, nanoseconds, table, timestamp, tokens

#: Actions that put a summary in the place of old events.
_CONDENSES = ("condensation", "condensation_request")


def is_openhands(file: LogFile) -> bool:
    """Whether a file has the events of OpenHands, or the head of an evaluation's row."""
    text = file.text
    if '"tool_call_metadata"' in text:
        return '"history"' in text or text.lstrip().startswith("[")
    return '"instance_id"' in text and '"agent_class"' in text and '"llm_config"' in text


def read_openhands(file: LogFile, sink: Sink) -> None:
    """Read the runs of a file."""
    if file.text.lstrip().startswith("["):
        with sink.guard():
            _read(file, None, {"history": file.document()}, sink)
        return
    for number, row in sink.documents(file):
        with sink.guard():
            _read(file, number, row, sink)


def _read(file: LogFile, number: int | None, row: dict[str, Any], sink: Sink) -> None:
    calls = list(_Run(file, number, row, sink).calls())
    name = row.get("instance_id")
    named = name if isinstance(name, str) and name else file.stem
    session = sink.fresh(named, f"{file.name}:{number}")
    for call in calls:
        sink.call(session, call)


@dataclass
class _Response:
    """A response of the model, and what was done on it."""

    id: str
    model_response: dict[str, Any]
    at_ns: int | None
    trigger: str
    is_reset: bool
    tools: list[LoggedTool] = field(default_factory=list)


class _Run:
    """One row."""

    def __init__(self, file: LogFile, number: int | None, row: dict[str, Any], sink: Sink) -> None:
        self._file, self._number, self._sink = file, number, sink
        self._events = [
            table(file, number, "history[]", event)
            for event in items(file, number, "history", row.get("history"))
        ]
        self._metrics = table(file, number, "metrics", row.get("metrics"))

    def calls(self) -> Iterator[LoggedCall]:
        """The calls in order."""
        took = {
            str(each.get("response_id")): nanoseconds(
                self._file, self._number, "latency", each.get("latency")
            )
            for each in self._table_of("response_latencies")
        }
        used = {str(each.get("response_id")): each for each in self._table_of("token_usages")}
        found = self._responses()
        for response in found.values():
            call = self._call(response, took.get(response.id), used.get(response.id, {}))
            if call is not None:
                yield call
        if missing := [id for id in used if id not in found and id]:
            self._sink.warn(
                "calls in the metrics that no event shows (condensers, plain answers); left out",
                f"{self._where()}: {len(missing)} of {len(used)}",
            )

    def _table_of(self, name: str) -> list[dict[str, Any]]:
        value = items(self._file, self._number, f"metrics.{name}", self._metrics.get(name))
        return [table(self._file, self._number, f"metrics.{name}[]", each) for each in value]

    def _where(self) -> str:
        return self._file.name if self._number is None else f"{self._file.name}:{self._number}"

    def _responses(self) -> dict[str, _Response]:
        """The responses in the order of their first actions."""
        found: dict[str, _Response] = {}
        ends = self._ends()
        trigger, is_reset = "user", False
        for event in self._events:
            if event.get("action") in _CONDENSES:
                is_reset = True
            if event.get("source") == "user" and event.get("action") == "message":
                trigger = "user"
            metadata = self._field(event, "tool_call_metadata")
            answer = self._field(metadata, "model_response")
            if event.get("source") != "agent" or not event.get("action") or not answer:
                continue
            at_ns = self._time(event)
            id = str(answer.get("id"))
            if id not in found:
                found[id] = _Response(id, answer, at_ns, trigger, is_reset)
                trigger, is_reset = "tool", False
            if str(event.get("id")) in ends:  # others end the run
                name = str(metadata.get("function_name") or event["action"])
                found[id].tools.append(LoggedTool(name, at_ns, ends[str(event["id"])]))
        return found

    def _ends(self) -> dict[str, int | None]:
        """When each action was done, by its id."""
        return {
            str(event["cause"]): self._time(event)
            for event in self._events
            if event.get("observation") and event.get("cause") is not None
        }

    def _field(self, of: dict[str, Any], name: str) -> dict[str, Any]:
        return table(self._file, self._number, name, of.get(name))

    def _time(self, event: dict[str, Any]) -> int | None:
        return timestamp(self._file, self._number, "timestamp", event.get("timestamp"))

    def _call(
        self, response: _Response, took_ns: int | None, used: dict[str, Any]
    ) -> LoggedCall | None:
        usage = usage_of(self._file, self._number, self._field(response.model_response, "usage"))
        if usage.input_tokens is None or usage.output_tokens is None:
            usage = usage_of(self._file, self._number, used)
        if usage.input_tokens is None:
            where = f"{self._where()}: {response.id}"
            self._sink.warn("calls without token counts; left out", where)
            return None
        # a provider that says nothing of its cache is logged as one that read 0 tokens from it
        cached = tokens(
            self._file, self._number, "cache_read_tokens", used.get("cache_read_tokens")
        )
        end_ns = response.at_ns
        model = response.model_response.get("model")
        return LoggedCall(
            id=response.id,
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens or 0,
            model=model if isinstance(model, str) else None,
            start_ns=None if end_ns is None or took_ns is None else end_ns - took_ns,
            end_ns=end_ns,
            is_reset=response.is_reset,
            trigger=response.trigger,
            cached_tokens=usage.cached_tokens or cached or None,
            tools=tuple(response.tools),
        )
