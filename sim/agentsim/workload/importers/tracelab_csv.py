"""TraceLab's replay CSV: a row for each round of a session.

``session_id,round_idx,prefix_len,input_len,output_len,tool_wait_after_ms`` and perhaps
``arrival_time`` (ms): ``prefix_len`` tokens of the round before, its answer included, then
``input_len`` new ones; the wait comes after the answer.
"""

from __future__ import annotations

from typing import NamedTuple

from agentsim.domain.units import NS_PER_MS
from agentsim.workload.importers.hashed import required
from agentsim.workload.importers.logged import LoggedCall
from agentsim.workload.importers.sink import Sink
from agentsim.workload.importers.sources import LogFile, expect
from agentsim.workload.importers.values import in_ns

_COLUMNS = ("round_idx", "prefix_len", "input_len", "output_len", "tool_wait_after_ms")
_NAMES = ("session_id", "id")


class _Round(NamedTuple):
    """The last round of a session."""

    number: int
    whole: int
    wait_ns: int | None


def is_tracelab_csv(file: LogFile) -> bool:
    """Whether a file has these columns."""
    return set(_COLUMNS) <= set(file.columns) and bool(set(_NAMES) & set(file.columns))


def read_tracelab_csv(file: LogFile, sink: Sink) -> None:
    """Read the rounds of a file; those of a session come in order."""
    last: dict[str, _Round] = {}
    named = next((name for name in _NAMES if name in file.columns), _NAMES[0])
    for number, row in sink.rows(file, (named, *_COLUMNS)):
        with sink.guard():
            session = row[named]
            if not session:
                raise expect(file, number, named, session, "a name")
            call, last[session] = _read(file, number, row, sink, last.get(session))
            sink.call(session, call)


def _read(
    file: LogFile, number: int, row: dict[str, str], sink: Sink, before: _Round | None
) -> tuple[LoggedCall, _Round]:
    index, prefix, added, output = (
        required(file, number, name, row[name]) for name in _COLUMNS[:4]
    )
    if before is not None and index <= before.number:
        raise expect(file, number, "round_idx", index, f"more than {before.number}, as before it")
    if before is None and prefix:
        sink.warn("first rounds with a prefix that nobody sent", f"{file.name}:{number}")
    elif before is not None and prefix > before.whole:
        sink.warn("prefixes longer than the round before", f"{file.name}:{number}")
    call = LoggedCall(
        id=str(index),
        input_tokens=prefix + added,
        output_tokens=output,
        start_ns=in_ns(file, number, "arrival_time", row.get("arrival_time"), NS_PER_MS)
        if before is None
        else None,
        delay_ns=None if before is None else before.wait_ns,
        after=() if before is None else (str(before.number),),
        base=None if before is None else str(before.number),
        keep=prefix,
    )
    wait_ns = in_ns(file, number, "tool_wait_after_ms", row["tool_wait_after_ms"], NS_PER_MS)
    return call, _Round(index, prefix + added + output, wait_ns)
