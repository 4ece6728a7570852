"""OTLP JSON as its exporters write it: documents, their spans, and the attributes of a span."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from agentsim.workload.importers.sink import Sink
from agentsim.workload.importers.sources import LogFile, expect
from agentsim.workload.importers.values import NS_PER_S, items, nanoseconds, table, tokens
from agentsim.workload.rows import MAX_SECONDS

_ERROR = (2, "2", "STATUS_CODE_ERROR", "ERROR")


@dataclass(frozen=True, slots=True)
class Fields:
    """A span's own fields and its attributes, those of its resource below them."""

    file: LogFile
    number: int | None
    name: str
    id: str
    trace: str
    parent: str | None
    start_ns: int | None
    end_ns: int | None
    failed: bool
    attributes: dict[str, Any]

    def text(self, *names: str) -> str | None:
        """The first of these attributes that is there, as text."""
        for name in names:
            value = self.attributes.get(name)
            if isinstance(value, str | int) and not isinstance(value, bool) and value != "":
                return str(value)
        return None

    def count(self, *names: str) -> int | None:
        """The first of these attributes that is there, as a count of tokens."""
        for name in names:
            if self.attributes.get(name) is not None:
                return tokens(self.file, self.number, name, self.attributes[name])
        return None

    def nanoseconds(self, *names: str) -> int | None:
        """The first of these attributes that is there, in nanoseconds; it is in seconds."""
        for name in names:
            if self.attributes.get(name) is not None:
                return nanoseconds(self.file, self.number, name, self.attributes[name])
        return None

    def json(self, *names: str) -> Any:
        """The first of these attributes that is there; text is read as JSON where it is JSON."""
        for name in names:
            value = self.attributes.get(name)
            if isinstance(value, str):
                try:
                    return json.loads(value)
                except (ValueError, RecursionError):
                    return value
            if value is not None:
                return value
        return None


def documents(file: LogFile, sink: Sink) -> Iterator[tuple[int | None, dict[str, Any]]]:
    """The documents of a file: one, or one a line."""
    if file.first is not None:
        yield from sink.objects(file)
        return
    value = file.document()
    for each in value if isinstance(value, list) else [value]:
        if not isinstance(each, dict):
            raise file.error("expected an object with spans")
        yield None, each


def spans_of(
    file: LogFile, number: int | None, document: dict[str, Any]
) -> Iterator[dict[str, Any]]:
    """The spans of a document, each with its resource's attributes as ``resource``.

    Raises
    ------
    TraceError
        If it is built otherwise.
    """
    for given in items(file, number, "spans", document.get("spans")):
        yield table(file, number, "spans[]", given)
    for name, scopes, old in (("resourceSpans", "scopeSpans", "instrumentationLibrarySpans"),
                              ("resource_spans", "scope_spans", "")):  # fmt: skip
        for each in items(file, number, name, document.get(name)):
            resource = table(file, number, f"{name}[]", each)
            about = table(file, number, "resource", resource.get("resource"))
            for inner in items(file, number, scopes, resource.get(scopes) or resource.get(old)):
                scope = table(file, number, f"{scopes}[]", inner)
                for given in items(file, number, "spans", scope.get("spans")):
                    span = table(file, number, "spans[]", given)
                    yield {**span, "resource": about.get("attributes")}


def fields_of(file: LogFile, number: int | None, span: dict[str, Any]) -> Fields:
    """The fields of a span.

    Raises
    ------
    TraceError
        If one is not as it must be.
    """
    status = table(file, number, "status", span.get("status"))
    context = table(file, number, "context", span.get("context"))
    attributes = _attributes(file, number, span.get("resource"))
    attributes |= _attributes(file, number, span.get("attributes"))
    return Fields(
        file=file,
        number=number,
        name=str(span.get("name", "")),
        id=_id(file, number, "spanId", span, context),
        trace=_id(file, number, "traceId", span, context),
        parent=_id(file, number, "parentSpanId", span, {}) or None,
        start_ns=_moment(file, number, "startTimeUnixNano", span),
        end_ns=_moment(file, number, "endTimeUnixNano", span),
        failed=status.get("code", status.get("status_code")) in _ERROR,
        attributes=attributes,
    )


def texts(fields: Fields) -> tuple[Any, Any]:
    """The prompt's messages and the answer of a span, where it holds them; else None."""
    prompt = fields.json("gen_ai.input.messages", "gen_ai.prompt")
    answer = fields.json("gen_ai.output.messages", "gen_ai.completion")
    if prompt is None:
        prompt = _indexed(fields, "llm.input_messages.") or _indexed(fields, "gen_ai.prompt.")
    if prompt is None and isinstance(fields.json("input.value"), list | dict):
        prompt = fields.json("input.value")
        prompt = prompt.get("messages") if isinstance(prompt, dict) else prompt
    if answer is None:
        answer = _indexed(fields, "llm.output_messages.") or _indexed(fields, "gen_ai.completion.")
    if isinstance(answer, list) and len(answer) == 1:
        answer = answer[0]
    return prompt, answer


def _indexed(fields: Fields, head: str) -> list[Any] | None:
    """Messages whose parts are attributes of their own: ``llm.input_messages.0.message.role``."""
    found: dict[Any, Any] = {}
    for name, value in fields.attributes.items():
        if not name.startswith(head):
            continue
        at = found
        parts = [part for part in name[len(head) :].split(".") if part not in _WRAPPERS]
        *path, last = parts[:_DEEPEST] or [""]
        for part in path:
            inner = at.setdefault(part, {})
            if not isinstance(inner, dict):
                break
            at = inner
        else:
            at[last] = value
    return _listed(found) if found else None


_DEEPEST = 12
_WRAPPERS = {"message", "tool_call", "message_content"}


def _listed(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    if value and all(isinstance(key, str) and key.isdecimal() for key in value):
        return [_listed(value[key]) for key in sorted(value, key=int)]
    return {
        {"contents": "content"}.get(key, key): _listed(each)
        for key, each in value.items()
        if key != "id"
    }


def _attributes(file: LogFile, number: int | None, value: Any) -> dict[str, Any]:
    if isinstance(value, dict):
        inner = value.get("attributes")
        return dict(inner) if isinstance(inner, dict) else dict(value)
    found = {}
    for each in items(file, number, "attributes", value):
        pair = table(file, number, "attributes[]", each)
        found[str(pair.get("key"))] = _plain(pair.get("value"))
    return found


def _plain(value: Any) -> Any:
    """An OTLP value without its wrapping; integers are text there."""
    if not isinstance(value, dict) or len(value) != 1:
        return value
    ((kind, inner),) = value.items()
    if kind in ("arrayValue", "array_value") and isinstance(inner, dict):
        values = inner.get("values")
        return [_plain(each) for each in values] if isinstance(values, list) else []
    if kind in ("kvlistValue", "kvlist_value") and isinstance(inner, dict):
        values = inner.get("values")
        pairs = values if isinstance(values, list) else []
        return {p.get("key"): _plain(p.get("value")) for p in pairs if isinstance(p, dict)}
    return inner


def _id(
    file: LogFile,
    number: int | None,
    name: str,
    span: dict[str, Any],
    context: dict[str, Any],
) -> str:
    snake = "".join(f"_{c.lower()}" if c.isupper() else c for c in name)
    values = (span.get(name), span.get(snake), context.get(snake))
    value = next((value for value in values if value is not None), None)
    if value is None and name == "parentSpanId":
        value = span.get("parent_id")
        value = "" if value is None else value
    if not isinstance(value, str) or (not value and name != "parentSpanId"):
        raise expect(file, number, name, value, "an id")
    return value.removeprefix("0x")


def _moment(file: LogFile, number: int | None, name: str, span: dict[str, Any]) -> int | None:
    snake = "".join(f"_{c.lower()}" if c.isupper() else c for c in name)
    value = span.get(name, span.get(snake))
    if value is None:
        return None
    text = value if isinstance(value, str) else str(value) if isinstance(value, int) else ""
    most = MAX_SECONDS * NS_PER_S
    if not (text.isascii() and text.isdecimal() and len(text) < 25 and int(text) <= most):
        raise expect(file, number, name, value, "nanoseconds since 1970")
    return int(text)
