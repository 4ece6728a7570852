"""Mooncake JSONL: production requests with chained block hashes and arrival times.

One line is one request: ``timestamp`` in ms since the start, ``input_length``, ``output_length``
and ``hash_ids``, chained hashes of 512 tokens each that are the same for all who share the whole
prefix (Qin et al., "Mooncake", FAST 2025, and its FAST25-release/traces). Each line becomes a
session of one call: who goes on with whose conversation is not in the file. Rows with sessions or
dependencies are dialects: `agentsim.workload.importers` has a reader for each.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from agentsim.domain.trace import Call, Header, Session, Trace
from agentsim.domain.units import NS_PER_MS
from agentsim.workload.lines import Lines, decode_object
from agentsim.workload.rows import MAX_SECONDS, Count, Fault, faults_of_types, row_without
from agentsim.workload.spool import MAX_IN_MEMORY, collect

#: By convention of the published traces; not in the file.
BLOCK_TOKENS = 512
NO_CHAIN = "requests whose session_id was not followed"

Milliseconds = Annotated[
    float, Meta(ge=0, le=MAX_SECONDS * 1000, description="a number of milliseconds >= 0")
]


class MooncakeRow(msgspec.Struct):
    """One request."""

    timestamp: Milliseconds
    input_length: Count
    output_length: Count
    hash_ids: list[int | str]


_KNOWN = frozenset(MooncakeRow.__struct_fields__)
#: Fields of the dialects, which `agentsim.workload.importers` reads.
_DIALECTS = frozenset(
    {"type", "session_id", "delay", "delay_ms", "request_id", "chat_id", "text_input", "messages"}
)


def is_mooncake(record: dict[str, Any]) -> bool:
    """Whether the first record of a file is one of this format, and of no dialect of it."""
    return "hash_ids" in record and _DIALECTS.isdisjoint(record)


def read_mooncake(lines: Lines, max_in_memory: int = MAX_IN_MEMORY) -> Trace:
    """Read a Mooncake trace.

    Parameters
    ----------
    lines : Lines
    max_in_memory : int
        So many calls and sessions together may stay in memory.

    Raises
    ------
    TraceError
        At the first line that is not as the format says, or if there is none.
    """
    num_chained = 0

    def read() -> Iterator[Session]:
        nonlocal num_chained
        for number, line in lines:
            record = decode_object(lines, number, line)
            row, faults = check_row(record)
            if row is None or faults:
                raise lines.error("; ".join(map(str, faults)), number)
            num_chained += "session_id" in record
            yield _session(number, row, record)

    sessions = collect(read(), max_in_memory)
    if not sessions:
        raise lines.error("no requests: expected at least one line")
    header = Header(source="mooncake", extra={"block_size": BLOCK_TOKENS})
    return Trace(sessions, header, {NO_CHAIN: num_chained} if num_chained else None)


def check_row(record: dict[str, Any]) -> tuple[MooncakeRow | None, list[Fault]]:
    """A request, as far as it can be read, and what is wrong with it."""
    try:
        row: MooncakeRow | None = msgspec.convert(record, MooncakeRow)
        faults: list[Fault] = []
    except msgspec.ValidationError:
        faults = faults_of_types(record, MooncakeRow)
        row = row_without(record, MooncakeRow, faults)
    if row is not None:
        needed = -(-row.input_length // BLOCK_TOKENS)
        if len(row.hash_ids) != needed:
            text = (
                f"expected {needed} hashes of {BLOCK_TOKENS} tokens for {row.input_length} tokens"
            )
            faults.append(Fault(("hash_ids",), f"{text}, got {len(row.hash_ids)}"))
    return row, faults


def _session(number: int, row: MooncakeRow, record: dict[str, Any]) -> Session:
    extra = {name: record[name] for name in record if name not in _KNOWN}
    call = Call(
        id="main/0",
        input_tokens=row.input_length,
        output_tokens=row.output_length,
        blocks=tuple(row.hash_ids),
        block_tokens=BLOCK_TOKENS,
        extra=extra or None,
    )
    return Session(f"line-{number:07d}", (call,), at_ns=round(row.timestamp * NS_PER_MS))
