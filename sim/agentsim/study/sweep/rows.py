"""A run as a row: its columns, and what became of a point under them."""

from __future__ import annotations

import math
import types
from collections.abc import Iterator, Sequence
from typing import Any, Literal, Union, get_args, get_origin

import msgspec

from agentsim.domain.config import Config, to_plain
from agentsim.domain.settings import flatten
from agentsim.report.document import package_version
from agentsim.study.evaluate import Outcome
from agentsim.study.figures import Figure
from agentsim.study.sweep.points import Point, Source
from agentsim.uncertainty import interval

#: What became of a run: done; the configuration cannot be run; a bug of ours; its process died.
Status = Literal["ok", "failed", "bug", "died"]
#: What running the same sweep again tries once more.
RETRIED = ("bug", "died")

_HEAD = {
    "point": "int64",
    "id": "string",
    "status": "string",
    "reason": "string",
    "agentsim": "string",
    "trace": "string",
    "trace_sha256": "string",
}
_FACTS = {"num_gpus": "int64", "kv_tokens": "int64"}


def columns(figures: Sequence[Figure], samples: int) -> dict[str, str]:
    """Every column of a sweep's dataset, and its type as Arrow calls it."""
    ends = ("", "_low", "_high") if samples else ("",)
    found = {f"{figure.name}{end}": "double" for figure in figures for end in ends}
    return {**_HEAD, **dict(_settings(Config)), **_FACTS, **found}


def row(
    point: Point,
    source: Source,
    status: Status,
    reason: str | None = None,
    outcome: Outcome | None = None,
) -> dict[str, Any]:
    """The row of a point; without what does not exist."""
    config = point.settings if point.config is None else flatten(to_plain(point.config))
    found = {
        "point": point.number,
        "id": point.id,
        "status": status,
        "reason": reason,
        "agentsim": package_version(),
        **config,
        "trace": source.name,
        "trace_sha256": source.digest,
    }
    if outcome is not None and status == "ok":
        found |= {"num_gpus": outcome.num_gpus, "kv_tokens": outcome.facts["kv_tokens"]}
        found |= _values(outcome)
    return {name: value for name, value in found.items() if value is not None}


def _values(outcome: Outcome) -> dict[str, float | None]:
    found: dict[str, float | None] = {}
    for name, value in outcome.values.items():
        found[name] = value if value is None or math.isfinite(value) else None
        if outcome.sampled:
            between = interval([each[name] for each in outcome.sampled], value)
            if between is not None:
                found |= {f"{name}_low": between.low, f"{name}_high": between.high}
    return found


def _settings(kind: type[msgspec.Struct], above: str = "") -> Iterator[tuple[str, str]]:
    """The settings of a struct by dotted names, and their types."""
    for field in msgspec.structs.fields(kind):
        if isinstance(field.type, type) and issubclass(field.type, msgspec.Struct):
            yield from _settings(field.type, f"{above}{field.name}.")
        else:
            yield above + field.name, _arrow(field.type)


_ARROW: dict[Any, str] = {int: "int64", float: "double", bool: "bool", str: "string"}


def _arrow(kind: Any) -> str:
    """The type of a setting, as Arrow calls it."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        (kind,) = (each for each in inner if each is not type(None))
        return _arrow(kind)
    if origin is tuple:
        return f"list<{_arrow(inner[0])}>"
    if origin is Literal:
        return "string"
    if hasattr(kind, "__metadata__"):
        return _arrow(inner[0])
    return _ARROW[kind]
