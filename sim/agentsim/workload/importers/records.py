"""Records of logs that come as JSON lines or as one JSON array, and fields with many names."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from agentsim.workload.importers.sink import Sink
from agentsim.workload.importers.sources import LogFile, expect
from agentsim.workload.importers.values import NS_PER_S, timestamp
from agentsim.workload.lines import show
from agentsim.workload.rows import MAX_SECONDS

#: Numbers from these on are times since 1970 in nanoseconds, microseconds, milliseconds; below all
#: of them in seconds. Holds from 1973 to 5138.
_UNITS = ((100_000_000_000_000_000, 1), (100_000_000_000_000, 1000), (100_000_000_000, 1_000_000))


def records_in(file: LogFile, sink: Sink) -> Iterator[tuple[int, dict[str, Any]]]:
    """The records of a file with their line numbers, or in an array their ordinals from 1.

    Raises
    ------
    TraceError
        If it cannot be read.
    """
    if file.first is not None and not _is_list(file.first.get("data")):
        yield from sink.objects(file)
        return
    if not file.text.lstrip().startswith(("[", "{")) or _has_whole_line(file):
        yield from sink.objects(file)
        return
    value = file.document()
    if isinstance(value, dict):
        value = value["data"] if _is_list(value.get("data")) else [value]
    for number, record in enumerate(value if isinstance(value, list) else [value], start=1):
        with sink.guard():
            if not isinstance(record, dict):
                raise file.error(f"expected a JSON object, got {show(record)}", number)
            yield number, record


def moment(file: LogFile, number: int, record: dict[str, Any], *names: str) -> int | None:
    """The first of these fields that is there, as nanoseconds since 1970.

    Raises
    ------
    TraceError
        If it is neither ISO 8601 nor a number of seconds, milli-, micro- or nanoseconds.
    """
    for name in names:
        value = record.get(name)
        if value is None or value == "":
            continue
        if isinstance(value, str) and not _is_number(value):
            return timestamp(file, number, name, value)
        try:
            found = float(value) if isinstance(value, str) else value
            is_time = not isinstance(found, bool) and 0 <= found <= MAX_SECONDS * NS_PER_S
        except TypeError:
            is_time = False
        if not is_time:
            raise expect(file, number, name, value, "a time")
        for least, factor in _UNITS:
            if found >= least:
                return round(found * factor)
        if found > MAX_SECONDS:
            raise expect(file, number, name, value, "a time")
        return round(found * NS_PER_S)
    return None


def first_text(record: dict[str, Any], *names: str) -> str | None:
    """The first of these fields that holds a text or a number, as text."""
    for name in names:
        value = record.get(name)
        if isinstance(value, str | int) and not isinstance(value, bool) and value != "":
            return str(value)
    return None


def _is_list(value: Any) -> bool:
    return isinstance(value, list)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _has_whole_line(file: LogFile) -> bool:
    """Whether the first line ends an object, so that others follow."""
    line = file.head.split(b"\n", 1)[0].strip()
    return line.startswith(b"{") and line.endswith(b"}") and file.first is None
