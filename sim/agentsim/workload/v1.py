"""agentsim-trace v1: a strict reader and a writer. The format is described in `docs/traces.md`.

`read_v1` goes once through the lines; a line refers only to earlier lines of its session, sessions
may interleave. The first bad line ends it, with everything that is wrong with that line.
"""

from __future__ import annotations

from typing import Any

import msgspec

from agentsim.domain.trace import Call, Header, Session, Trace
from agentsim.workload.checks import faults_of_call, faults_of_header, one_of
from agentsim.workload.extras import (
    call_extra,
    header_extra,
    measured_of,
    optional_ns,
    session_extra,
    tools_of,
)
from agentsim.workload.later import where_later
from agentsim.workload.lines import Lines, decode_object, show
from agentsim.workload.rows import (
    BLOCK_NAMES,
    INPUT_NAMES,
    OUTPUT_NAMES,
    CallRow,
    Fault,
    HeaderRow,
    Row,
    SessionRow,
    faults_of_types,
    row_without,
)
from agentsim.workload.write import write_trace

__all__ = ["is_v1", "read_v1", "write_trace"]

SENT_BACK = "outputs taken as sent back"
NO_SESSION_LINE = "sessions without a session line"
NO_CALLS = "sessions without a call"


class _Draft:
    """A session while its lines are being read."""

    def __init__(self, row: SessionRow | None, extra: dict[str, Any] | None) -> None:
        self.row = row
        self.extra = extra
        self.calls: dict[str, Call] = {}
        self.turns: dict[str, int] = {}
        self.latest: dict[str, str] = {}

    def finish(self, name: str) -> Session:
        row = self.row or SessionRow(session=name)
        return Session(
            id=name,
            calls=tuple(self.calls.values()),
            at_ns=optional_ns(row.at) or 0,
            priority=row.priority or 0,
            tenant=row.tenant,
            deadline_ns=optional_ns(row.deadline),
            system_tokens=row.system_tokens or 0,
            tool_tokens=row.tool_tokens or 0,
            extra=self.extra,
        )


def is_v1(record: dict[str, Any]) -> bool:
    """Whether the first record of a file is one of this format."""
    return record.get("type") in ("header", "session", "call")


def read_v1(lines: Lines) -> Trace:
    """Read a trace in format v1.

    Raises
    ------
    TraceError
        At the first line that is not as the format says, or if there is no call.
    """
    return _Reader(lines).read()


class _Reader:
    def __init__(self, lines: Lines) -> None:
        self.lines = lines
        self.header = HeaderRow(format="", version=1)
        self.header_extra: dict[str, Any] | None = None
        self.drafts: dict[str, _Draft] = {}
        self.num_sent_back = 0

    def read(self) -> Trace:
        readers = {"call": self.read_call, "session": self.read_session}
        remaining = iter(self.lines)
        for index, (number, line) in enumerate(remaining):
            record = decode_object(self.lines, number, line)
            kind = record.get("type")
            if kind == "header":
                faults = self.read_header(record, is_first=index == 0)
            elif isinstance(kind, str) and kind in readers:
                faults = readers[kind](record)
            else:
                faults = [Fault(("type",), f"expected header, session or call, got {show(kind)}")]
            if faults:
                hints = where_later(record, faults, remaining)
                raise self.lines.error("; ".join(map(str, [*faults, *hints])), number)
        return self.finish()

    def read_header(self, record: dict[str, Any], is_first: bool) -> list[Fault]:
        if not is_first:
            return [
                Fault(
                    ("type",), "a header stands only on the first line: is this two files in one?"
                )
            ]
        row, faults = _convert(record, HeaderRow)
        if row is not None:
            faults += faults_of_header(row)
            self.header = row
            self.header_extra = header_extra(record)
        return faults

    def read_session(self, record: dict[str, Any]) -> list[Fault]:
        row, faults = _convert(record, SessionRow)
        if row is None:
            return faults
        if row.session in self.drafts:
            first = (
                "a line of its calls" if self.drafts[row.session].row is None else "a session line"
            )
            faults.append(Fault(("session",), f"{show(row.session)} has {first} before this one"))
        self.drafts[row.session] = _Draft(row, session_extra(record))
        return faults

    def read_call(self, record: dict[str, Any]) -> list[Fault]:
        row, faults = _convert(record, CallRow)
        if row is None:
            return faults
        draft = self.drafts.get(row.session)
        if draft is None:
            draft = self.drafts[row.session] = _Draft(None, None)
        turn = draft.turns.get(row.agent, 0) if row.turn is None else row.turn
        row.id = row.id or f"{row.agent}/{turn}"
        bad = {field for fault in faults for field in fault.fields}
        rules = faults_of_call(row, draft.calls, self.header.block_size)
        faults += [fault for fault in rules if bad.isdisjoint(fault.fields)]
        if faults:
            return faults
        latest = draft.latest.get(row.agent)
        if row.after is not None:
            after = tuple(dict.fromkeys(row.after))
        else:
            after = () if latest is None else (latest,)
        keep = self.kept_tokens(row, draft) if row.extends is not None else 0
        draft.calls[row.id] = self.call_of(row, turn, after, keep, record)
        draft.turns[row.agent] = turn + 1
        draft.latest[row.agent] = row.id
        return faults

    def kept_tokens(self, row: CallRow, draft: _Draft) -> int:
        """`keep`, or more where the source could not see that the output was sent back.

        A prompt that kept its base whole (to the source's granularity) and grew by at least the
        base's output is taken to begin with the base's prompt and output.
        """
        assert row.extends is not None and row.keep is not None
        if self.header.keep_covers == "input+output":
            return row.keep
        base = draft.calls[row.extends]
        granularity = (
            (draft.row and draft.row.keep_granularity) or self.header.keep_granularity or 1
        )
        whole = base.input_tokens + base.output_tokens
        num_tokens = _first(row, INPUT_NAMES)
        if row.keep < whole <= num_tokens and row.keep + granularity > base.input_tokens:
            self.num_sent_back += base.output_tokens > 0
            return whole
        return row.keep

    def call_of(
        self, row: CallRow, turn: int, after: tuple[str, ...], keep: int, record: dict[str, Any]
    ) -> Call:
        blocks, _ = one_of(row, BLOCK_NAMES)
        assert row.id is not None and (blocks is None or isinstance(blocks, list))
        return Call(
            id=row.id,
            input_tokens=_first(row, INPUT_NAMES),
            output_tokens=_first(row, OUTPUT_NAMES),
            after=after,
            agent=row.agent,
            turn=turn,
            delay_ns=optional_ns(row.delay),
            at_ns=optional_ns(row.at),
            segments=None if row.prompt is None else tuple(row.prompt),
            extends=row.extends,
            keep=keep,
            blocks=None if blocks is None else tuple(blocks),
            block_tokens=0 if blocks is None else self.header.block_size or 0,
            trigger=row.trigger,
            model=row.model,
            adapter=row.adapter,
            priority=row.priority,
            max_tokens=row.max_tokens,
            finish=row.finish,
            tools=tools_of(row.tools) if row.tools else (),
            parent=row.parent,
            measured=measured_of(row.measured) if row.measured else None,
            input_estimated=bool(row.input_estimated),
            output_estimated=bool(row.output_estimated),
            extra=call_extra(record),
        )

    def finish(self) -> Trace:
        sessions = [draft.finish(name) for name, draft in self.drafts.items() if draft.calls]
        if not sessions:
            raise self.lines.error("no calls: expected at least one line of type 'call'")
        counts = {
            SENT_BACK: self.num_sent_back,
            NO_SESSION_LINE: sum(draft.row is None for draft in self.drafts.values()),
            NO_CALLS: len(self.drafts) - len(sessions),
        }
        header = Header(
            source=self.header.source or "",
            tokenizer=self.header.tokenizer,
            keep_covers=self.header.keep_covers,
            extra=self.header_extra,
        )
        return Trace(sessions, header, {name: count for name, count in counts.items() if count})


def _convert(record: dict[str, Any], row_type: type[Row]) -> tuple[Row | None, list[Fault]]:
    """The row, and what is wrong with the types of its fields (taken out of the row)."""
    try:
        return msgspec.convert(record, row_type), []
    except msgspec.ValidationError:
        faults = faults_of_types(record, row_type)
        return row_without(record, row_type, faults), faults


def _first(row: CallRow, names: tuple[str, ...]) -> int:
    value, _ = one_of(row, names)
    assert isinstance(value, int)
    return value
