"""A comparison as JSON."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from agentsim.domain.config import to_plain
from agentsim.report.document import package_version
from agentsim.report.figures import Interval
from agentsim.study.compare import Comparison
from agentsim.study.tables import json_text
from agentsim.uncertainty import LEVEL


class FigureRow(msgspec.Struct, frozen=True):
    """A column of the comparison."""

    name: str
    label: str
    unit: str
    better: Literal["lower", "higher"]


class CellRow(msgspec.Struct, frozen=True):
    """One figure of one configuration.

    `equal_to_best`: it differs from the best by less than the model's error of their ratio.
    """

    value: float | None
    interval: Interval | None
    best: bool
    equal_to_best: bool


class VariantRow(msgspec.Struct, frozen=True):
    """One configuration: all its settings, and its figures by name; none where it cannot run.

    `notes`: what its run left out or changed, with how many calls that touched.
    """

    name: str
    config: dict[str, Any]
    failure: str | None
    num_gpus: int
    figures: dict[str, CellRow]
    notes: dict[str, int]


class ComparisonDocument(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What ``agentsim compare --json`` prints."""

    schema_version: Literal[1]
    agentsim_version: str
    level: float
    samples: int
    figures: list[FigureRow]
    differing: dict[str, list[Any]]
    configurations: list[VariantRow]


def comparison_document(comparison: Comparison) -> ComparisonDocument:
    """The comparison as plain data."""
    columns = {figure.name: comparison.column(figure) for figure in comparison.figures}
    return ComparisonDocument(
        schema_version=1,
        agentsim_version=package_version(),
        level=LEVEL,
        samples=comparison.samples,
        figures=[FigureRow(f.name, f.label, f.unit, f.better) for f in comparison.figures],
        differing=comparison.settings(),
        configurations=[
            VariantRow(
                name=outcome.variant.name,
                config=to_plain(outcome.variant.config),
                failure=outcome.failure,
                num_gpus=outcome.num_gpus,
                notes=outcome.notes,
                figures={}
                if outcome.failure
                else {
                    name: CellRow(c.value, c.interval, c.is_best, c.is_equal)
                    for name, c in ((name, cells[at]) for name, cells in columns.items())
                },
            )
            for at, outcome in enumerate(comparison.outcomes)
        ],
    )


def comparison_json(comparison: Comparison) -> str:
    """One JSON object, indented, keys sorted, with a newline at its end."""
    return json_text(comparison_document(comparison))
