"""From a line's parts to the domain's values, and what those have no place for.

Unknown fields are kept, where the line has them, in `extra`; so are the known ones that no value of
the domain holds. `write` puts them back.
"""

from __future__ import annotations

from typing import Any

from agentsim.domain.trace import Call, Measured, Session, Tool
from agentsim.domain.units import seconds_to_ns
from agentsim.workload.checks import first_of
from agentsim.workload.rows import (
    BLOCK_NAMES,
    INPUT_NAMES,
    OUTPUT_NAMES,
    CallRow,
    HeaderRow,
    MeasuredRow,
    SessionRow,
    ToolRow,
)

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


def session_of(row: SessionRow, extra: dict[str, Any] | None) -> Session:
    """A session without calls."""
    return Session(
        id=row.session,
        calls=(),
        at_ns=optional_ns(row.at) or 0,
        priority=row.priority or 0,
        tenant=row.tenant,
        deadline_ns=optional_ns(row.deadline),
        system_tokens=row.system_tokens or 0,
        tool_tokens=row.tool_tokens or 0,
        extra=extra,
    )


def call_of(
    row: CallRow,
    turn: int,
    after: tuple[str, ...],
    keep: int,
    *,
    block_size: int,
    extra: dict[str, Any] | None,
) -> Call:
    """A call.

    Parameters
    ----------
    row : CallRow
        A line that keeps the rules; `id` is filled in.
    turn, after, keep
        As in `Call`, what the line leaves out filled in.
    block_size : int
        Tokens in a hashed block.
    extra : dict or None
        From `call_extra`.
    """
    assert row.id is not None
    blocks = first_of(row, BLOCK_NAMES)
    return Call(
        id=row.id,
        input_tokens=first_of(row, INPUT_NAMES),
        output_tokens=first_of(row, OUTPUT_NAMES),
        after=after,
        agent=row.agent,
        turn=turn,
        delay_ns=optional_ns(row.delay),
        at_ns=optional_ns(row.at),
        segments=None if row.prompt is None else tuple(row.prompt),
        extends=row.extends,
        keep=keep,
        blocks=None if blocks is None else tuple(blocks),
        block_tokens=0 if blocks is None else block_size,
        trigger=row.trigger,
        model=row.model,
        adapter=row.adapter,
        priority=row.priority,
        max_tokens=row.max_tokens,
        finish=row.finish,
        tools=_tools_of(row.tools) if row.tools else (),
        parent=row.parent,
        measured=_measured_of(row.measured) if row.measured else None,
        input_estimated=bool(row.input_estimated),
        output_estimated=bool(row.output_estimated),
        extra=extra,
    )


def _tools_of(rows: list[ToolRow]) -> tuple[Tool, ...]:
    return tuple(Tool(row.name, optional_ns(row.duration), row.result_tokens) for row in rows)


def _measured_of(row: MeasuredRow) -> Measured:
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
