"""Single events of the Chrome trace format, as JSON text.

Notes
-----
"Trace Event Format", Chromium, 2016. Slices are pairs of B and E events, not X events: Perfetto
makes integer nanoseconds of ``ts`` and of ``dur`` by cutting off, each by itself (`CoerceToTs` in
src/trace_processor/importers/json), so that an X event could end a nanosecond inside the next one
and be dropped as overlapping. One instant always has one ``ts``. It comes before any text of the
trace, for readers that search for it instead of parsing.
"""

from __future__ import annotations

import json
from typing import Any


def begin_slice(
    name: str, when_ns: int, pid: int, tid: int, args: dict[str, Any] | None = None
) -> str:
    """The beginning of a slice, inside those of its thread that have not ended."""
    more = f',"args":{as_json(args)}' if args else ""
    head = f'{{"ph":"B","ts":{_microseconds(when_ns)},"pid":{pid},"tid":{tid}'
    return f'{head},"name":{as_json(name)}{more}}}'


def end_slice(when_ns: int, pid: int, tid: int) -> str:
    """The end of the slice of the thread that began last."""
    return f'{{"ph":"E","ts":{_microseconds(when_ns)},"pid":{pid},"tid":{tid}}}'


def counter(name: str, when_ns: int, pid: int, values: dict[str, int]) -> str:
    """Values of a process from now on; one track each."""
    head = f'{{"ph":"C","ts":{_microseconds(when_ns)},"pid":{pid},"tid":{pid}'
    return f'{head},"name":{as_json(name)},"args":{as_json(values)}}}'


def metadata(name: str, pid: int, tid: int, args: dict[str, Any]) -> str:
    """A name or the place of a process or a thread."""
    head = f'{{"ph":"M","ts":0,"pid":{pid},"tid":{tid}'
    return f'{head},"name":{as_json(name)},"args":{as_json(args)}}}'


def as_json(value: Any) -> str:
    """Compact JSON; letters as they are."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def _microseconds(when_ns: int) -> str:
    """Microseconds with their nanoseconds as digits.

    Examples
    --------
    >>> _microseconds(1_002_030)
    '1002.030'
    """
    return f"{when_ns // 1000}.{when_ns % 1000:03d}"
