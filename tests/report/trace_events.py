"""A strict reader of Chrome trace events: refuses what Perfetto would drop or show otherwise."""

from __future__ import annotations

import gzip
import json
import re
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

_FIELDS = {
    "M": {"ph", "ts", "pid", "tid", "name", "args"},
    "B": {"ph", "ts", "pid", "tid", "name"},
    "E": {"ph", "ts", "pid", "tid"},
    "C": {"ph", "ts", "pid", "tid", "name", "args"},
}
_NAMES = {
    "process_name": "name",
    "thread_name": "name",
    "process_sort_index": "sort_index",
    "thread_sort_index": "sort_index",
}


class Slice(NamedTuple):
    """A slice, in nanoseconds; `depth` 0 is the outermost."""

    thread: str
    depth: int
    name: str
    start_ns: int
    end_ns: int
    args: dict[str, Any]


class Events(NamedTuple):
    """What a viewer shows: slices in the order in which they end; points of counters by name."""

    slices: list[Slice]
    counters: dict[tuple[int, str], list[tuple[int, int]]]
    about: dict[str, Any]


def read_events(path: Path) -> Events:
    """Read a file, with assertions on everything that the format or Perfetto asks for."""
    packed = path.read_bytes()
    text = (gzip.decompress(packed) if path.suffix == ".gz" else packed).decode("utf-8")
    # no digit of a time may be lost: a number is read as it is written
    document = json.loads(text, parse_float=Decimal)
    assert list(document) == ["displayTimeUnit", "traceEvents", "otherData"]
    for line in text.split("\n")[1:-2]:
        assert re.match(r'\{"ph":"[MBEC]","ts":\d+(\.\d{3})?,', line), line
    slices: list[Slice] = []
    counters: dict[tuple[int, str], list[tuple[int, int]]] = {}
    threads: dict[int, str] = {}
    processes: dict[int, str] = {}
    stacks: dict[int, list[dict[str, Any]]] = {}
    owners: dict[int, int] = {}
    last_ns: dict[int, int] = {}
    for event in document["traceEvents"]:
        kind, pid, tid = event["ph"], event["pid"], event["tid"]
        assert _FIELDS[kind] <= set(event) <= _FIELDS[kind] | {"args"}
        assert pid > 0 and owners.setdefault(tid, pid) == pid, "a thread of two processes"
        when = event["ts"] * 1000
        when_ns = int(when)
        assert when_ns == when >= 0
        if kind == "M":
            value = event["args"][_NAMES[event["name"]]]
            if event["name"].endswith("_name"):
                (threads if event["name"] == "thread_name" else processes)[tid] = value
        elif kind == "C":
            for series, value in event["args"].items():
                points = counters.setdefault((pid, f"{event['name']} {series}"), [])
                assert not points or points[-1][0] < when_ns, "a counter goes back in time"
                points.append((when_ns, value))
        else:
            assert last_ns.get(tid, 0) <= when_ns, "a thread goes back in time"
            last_ns[tid] = when_ns
            stack = stacks.setdefault(tid, [])
            if kind == "B":
                assert isinstance(event["name"], str) and event["name"]
                stack.append({**event, "start_ns": when_ns})
                continue
            begun = stack.pop()
            slices.append(
                Slice(
                    threads[tid],
                    len(stack),
                    begun["name"],
                    begun["start_ns"],
                    when_ns,
                    begun.get("args", {}),
                )
            )
    assert not any(stacks.values()), "a slice without an end"
    assert set(owners.values()) == set(processes) and set(stacks) <= set(threads)
    return Events(slices, counters, document["otherData"])
