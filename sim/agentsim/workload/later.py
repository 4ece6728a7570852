"""Why a call is named before its line: it stands further down, perhaps in a cycle, or nowhere.

Used once, for the message about the first bad line of a trace.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from agentsim.workload.lines import show
from agentsim.workload.rows import Fault


def where_later(
    record: dict[str, Any], faults: Iterable[Fault], remaining: Iterable[tuple[int, bytes]]
) -> Iterator[str]:
    """Hints about calls that a bad line names and no earlier line holds.

    Parameters
    ----------
    record : dict
        The bad line.
    faults : iterable of Fault
        What is wrong with it.
    remaining : iterable of (int, bytes)
        The lines after it; read only if a call was looked for.
    """
    names = list(dict.fromkeys(fault.missing_call for fault in faults if fault.missing_call))
    session, own = record.get("session"), _call_id(record)
    names = [name for name in names if name != own]
    if not names:
        return
    places: dict[str, int] = {}
    needs: dict[str, list[str]] = {}
    for number, line in remaining:
        try:
            later = msgspec.json.decode(line)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            break
        if isinstance(later, dict) and later.get("session") == session:
            name = _call_id(later)
            places.setdefault(name, number)
            needs.setdefault(name, _named_calls(later))
    for name in names:
        if name in places:
            cycle = own in _reachable(name, needs)
            why = f"needs {show(own)} in turn: a cycle" if cycle else "must stand before this line"
            yield f"{show(name)} stands on line {places[name]} and {why}"


def _call_id(record: dict[str, Any]) -> str:
    name = record.get("id")
    return (
        name if isinstance(name, str) else f"{record.get('agent', 'main')}/{record.get('turn', 0)}"
    )


def _named_calls(record: dict[str, Any]) -> list[str]:
    after = record.get("after")
    names = [*after] if isinstance(after, list) else []
    names.append(record.get("extends"))
    return [name for name in names if isinstance(name, str)]


def _reachable(start: str, needs: dict[str, list[str]]) -> set[str]:
    seen: set[str] = set()
    stack = [start]
    while stack:
        name = stack.pop()
        if name not in seen:
            seen.add(name)
            stack.extend(needs.get(name, ()))
    return seen
