"""Compares two runs of a scenario, line by line, and shows the first difference.

Of the header only the configuration and the number of usable blocks count; of every other line each
field does, and in `scheduled` the order of the requests too.
"""

import json
from collections.abc import Iterable
from itertools import zip_longest
from typing import Any

Json = dict[str, Any]

HEADER_FIELDS = ("type", "config", "usable_blocks")
WIDTH = 100


def compare(ours: Iterable[Json], theirs: Iterable[Json]) -> str | None:
    """The first line in which two runs differ, field by field.

    Parameters
    ----------
    ours, theirs : iterable of dict
        Lines of a golden: header, steps, summary.

    Returns
    -------
    str or None
        A table for people to read; None if the runs are the same.
    """
    previous: Json = {}
    for mine, other in zip_longest(map(_essence, ours), map(_essence, theirs)):
        if mine is None or other is None:
            who = "ours" if mine is None else "theirs"
            return f"{who} ends early; the other goes on:\n{_shorten(mine or other)}"
        if mine != other or _order(mine) != _order(other):
            return _table(mine, other, previous)
        previous = mine
    return None


def _essence(line: Json) -> Json:
    if line["type"] == "header":
        return {name: line[name] for name in HEADER_FIELDS}
    return line


def _order(line: Json) -> list[str]:
    return list(line.get("scheduled", ()))


def _table(mine: Json, other: Json, previous: Json) -> str:
    rows = [f"first difference: {_title(mine)} (ours), {_title(other)} (theirs)"]
    for name in mine | other:
        left, right = mine.get(name, "absent"), other.get(name, "absent")
        is_same = left == right and (name != "scheduled" or list(left) == list(right))
        if is_same:
            rows.append(f"  {name:20} {_shorten(left)}")
            continue
        if isinstance(left, dict) and isinstance(right, dict) and left != right:
            left, right = _only_differing(left, right), _only_differing(right, left)
        rows += [f"! {name:20} ours   {_shorten(left)}", f"  {'':20} theirs {_shorten(right)}"]
    return "\n".join([*rows, f"line before: {_shorten(previous)}"])


def _only_differing(left: Json, right: Json) -> Json:
    return {name: left[name] for name in left if name not in right or left[name] != right[name]}


def _title(line: Json) -> str:
    return f"step {line['step']}" if line["type"] == "step" else str(line["type"])


def _shorten(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= WIDTH else f"{text[:WIDTH]} ... ({len(text)} characters)"
