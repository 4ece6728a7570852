"""From a line's parts to the domain's values, and what those have no place for.

Unknown fields are kept, where the line has them, in `extra`; so are the known ones that no value of
the domain holds. `write` puts them back.
"""

from __future__ import annotations

from typing import Any

from agentsim.domain.trace import Measured, Tool
from agentsim.domain.units import seconds_to_ns
from agentsim.workload.rows import CallRow, HeaderRow, MeasuredRow, SessionRow, ToolRow

_KNOWN_CALL = frozenset(CallRow.__struct_fields__) | {"type"}
_KNOWN_SESSION = frozenset(SessionRow.__struct_fields__) - {"slo", "keep_granularity"} | {"type"}
_KNOWN_HEADER = frozenset(HeaderRow.__struct_fields__) - {"block_size", "keep_granularity"} | {
    "type"
}
_KNOWN_TOOL = frozenset(ToolRow.__struct_fields__)
_KNOWN_MEASURED = frozenset(MeasuredRow.__struct_fields__)
#: Fields of a call that the domain's `Call` has no place for.
_CALL_EXTRAS = ("slo", "deadline", "tenant")


def optional_ns(seconds: float | None) -> int | None:
    """Seconds as nanoseconds; None stays."""
    return None if seconds is None else seconds_to_ns(seconds)


def tools_of(rows: list[ToolRow]) -> tuple[Tool, ...]:
    """The tool runs of a call."""
    return tuple(Tool(row.name, optional_ns(row.duration), row.result_tokens) for row in rows)


def measured_of(row: MeasuredRow) -> Measured:
    """What the recording system measured of a call."""
    return Measured(
        optional_ns(row.ttft), optional_ns(row.e2e), optional_ns(row.queue), row.cached_tokens
    )


def header_extra(record: dict[str, Any]) -> dict[str, Any] | None:
    """What a header line says beyond `Header`."""
    return _rest(record, _KNOWN_HEADER)


def session_extra(record: dict[str, Any]) -> dict[str, Any] | None:
    """What a session line says beyond `Session`."""
    return _rest(record, _KNOWN_SESSION)


def call_extra(record: dict[str, Any]) -> dict[str, Any] | None:
    """What a call line says beyond `Call`, in the places where the line says it."""
    extra: dict[str, Any] = {}
    if not record.keys() <= _KNOWN_CALL:
        extra = {name: record[name] for name in record if name not in _KNOWN_CALL}
    for name in _CALL_EXTRAS:
        if record.get(name) is not None:
            extra[name] = record[name]
    measured = record.get("measured")
    if measured and not measured.keys() <= _KNOWN_MEASURED:
        extra["measured"] = _rest(measured, _KNOWN_MEASURED)
    tools = record.get("tools")
    if tools and not all(tool.keys() <= _KNOWN_TOOL for tool in tools):
        extra["tools"] = [_rest(tool, _KNOWN_TOOL) or {} for tool in tools]
    return extra or None


def _rest(record: dict[str, Any], known: frozenset[str]) -> dict[str, Any] | None:
    return {name: record[name] for name in record if name not in known} or None
