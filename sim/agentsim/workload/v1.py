"""agentsim-trace v1: a strict reader and a writer. The format is described in `docs/traces.md`.

`read_v1` goes once through the lines; a line refers only to earlier lines of its session, sessions
may interleave. The first bad line ends it, with everything that is wrong with that line.
"""

from __future__ import annotations

from typing import Any

import msgspec

from agentsim.domain.trace import Header, Session, Trace
from agentsim.workload.checks import (
    faults_of_call,
    faults_of_header,
    first_of,
    is_plainly_right,
)
from agentsim.workload.drafts import Draft, Drafts
from agentsim.workload.extras import (
    call_extra,
    call_of,
    header_extra,
    session_extra,
    session_of,
)
from agentsim.workload.later import where_later
from agentsim.workload.lines import Lines, decode_object, show
from agentsim.workload.rows import (
    INPUT_NAMES,
    CallRow,
    Fault,
    HeaderRow,
    Row,
    SessionRow,
    faults_of_types,
    plain_call,
    row_without,
)
from agentsim.workload.spool import MAX_IN_MEMORY, Part
from agentsim.workload.write import write_trace

__all__ = ["is_v1", "read_v1", "write_trace"]

SENT_BACK = "outputs taken as sent back"
NO_SESSION_LINE = "sessions without a session line"
NO_CALLS = "sessions without a call"


def is_v1(record: dict[str, Any]) -> bool:
    """Whether the first record of a file is one of this format."""
    return record.get("type") in ("header", "session", "call")


def read_v1(lines: Lines, max_in_memory: int = MAX_IN_MEMORY) -> Trace:
    """Read a trace in format v1.

    Parameters
    ----------
    lines : Lines
    max_in_memory : int
        So many calls and sessions together may stay in memory.

    Raises
    ------
    TraceError
        At the first line that is not as the format says, or if there is no call.
    """
    return _Reader(lines, max_in_memory).read()


class _Reader:
    def __init__(self, lines: Lines, max_in_memory: int) -> None:
        self.lines = lines
        self.header = HeaderRow(format="", version=1)
        self.header_extra: dict[str, Any] | None = None
        self.drafts = Drafts(max_in_memory)
        self.num_without_line = 0
        self.num_sent_back = 0

    def read(self) -> Trace:
        remaining = iter(self.lines)
        for index, (number, line) in enumerate(remaining):
            if self.take_plain_call(line):
                continue
            record = decode_object(self.lines, number, line)
            faults = self.faults_of(record, is_first=index == 0)
            if faults:
                hints = where_later(record, faults, remaining)
                raise self.lines.error("; ".join(map(str, [*faults, *hints])), number)
        return self.finish()

    def take_plain_call(self, line: bytes) -> bool:
        """Take in a line that is plainly a good call; if not, nothing has changed."""
        row = plain_call(line)
        draft = None if row is None else self.drafts.get(row.session)
        if row is None or draft is None:
            return False
        turn = self.identify(row, draft)
        if self.broken_rules(row, draft):
            return False
        self.add_call(row, turn, draft, None)
        return True

    def faults_of(self, record: dict[str, Any], is_first: bool) -> list[Fault]:
        """What is wrong with a line, which is taken in if it is nothing."""
        kind = record.get("type")
        if kind == "header":
            return self.read_header(record, is_first)
        if kind == "session":
            return self.read_session(record)
        if kind == "call":
            return self.read_call(record)
        return [Fault(("type",), f"expected header, session or call, got {show(kind)}")]

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
        draft = self.drafts.get(row.session)
        if draft is not None:
            first = "a session line" if draft.start.has_line else "a line of its calls"
            faults.append(Fault(("session",), f"{show(row.session)} has {first} before this one"))
        if not faults:
            session = session_of(row, session_extra(record))
            self.drafts.start(Part(session, keep_granularity=row.keep_granularity))
        return faults

    def read_call(self, record: dict[str, Any]) -> list[Fault]:
        row, faults = _convert(record, CallRow)
        if row is None:
            return faults
        draft = self.drafts.get(row.session)
        if draft is None:
            draft = self.drafts.start(Part(Session(row.session, ()), has_line=False))
            self.num_without_line += 1
        turn = self.identify(row, draft)
        bad = {field for fault in faults for field in fault.fields}
        rules = self.broken_rules(row, draft)
        faults += [fault for fault in rules if bad.isdisjoint(fault.fields)]
        if not faults:
            self.add_call(row, turn, draft, call_extra(record))
        return faults

    def identify(self, row: CallRow, draft: Draft) -> int:
        """Give the call its id and have at hand what its line names; its turn."""
        turn = draft.next_turn(row.agent) if row.turn is None else row.turn
        row.id = row.id or f"{row.agent}/{turn}"
        if draft.is_cut and not draft.shows_all_about(row, turn):
            self.drafts.complete(draft)
        return turn

    def broken_rules(self, row: CallRow, draft: Draft) -> list[Fault]:
        if is_plainly_right(row, draft.calls):
            return []
        return faults_of_call(row, draft.calls, self.header.block_size)

    def add_call(self, row: CallRow, turn: int, draft: Draft, extra: dict[str, Any] | None) -> None:
        """Take in a call that is right; names that it repeats are kept once."""
        calls, latest = draft.calls, draft.latest.get(row.agent)
        if latest is not None:
            row.agent = latest.agent
        if row.after is not None:
            after = tuple([calls[name].id for name in dict.fromkeys(row.after)])
        else:
            after = () if latest is None else (latest.id,)
        keep = 0
        if row.extends is not None:
            row.extends = calls[row.extends].id
            keep = self.kept_tokens(row, draft)
        block_size = self.header.block_size or 0
        self.drafts.add(draft, call_of(row, turn, after, keep, block_size=block_size, extra=extra))

    def kept_tokens(self, row: CallRow, draft: Draft) -> int:
        """`keep`, or more where the source could not see that the output was sent back.

        A prompt that kept its base whole (to the source's granularity) and grew by at least the
        base's output is taken to begin with the base's prompt and output.
        """
        assert row.extends is not None and row.keep is not None
        if self.header.keep_covers == "input+output":
            return row.keep
        base = draft.calls[row.extends]
        granularity = draft.start.keep_granularity or self.header.keep_granularity or 1
        whole = base.input_tokens + base.output_tokens
        num_tokens = first_of(row, INPUT_NAMES)
        if row.keep < whole <= num_tokens and row.keep + granularity > base.input_tokens:
            self.num_sent_back += base.output_tokens > 0
            return whole
        return row.keep

    def finish(self) -> Trace:
        num_sessions = len(self.drafts)
        sessions = self.drafts.finish()
        if not sessions:
            raise self.lines.error("no calls: expected at least one line of type 'call'")
        counts = {
            SENT_BACK: self.num_sent_back,
            NO_SESSION_LINE: self.num_without_line,
            NO_CALLS: num_sessions - len(sessions),
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
