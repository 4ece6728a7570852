"""A comparison as JSON, CSV and Parquet."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from agentsim.domain.config import to_plain
from agentsim.report.document import package_version, plain_number
from agentsim.report.figures import Interval
from agentsim.report.target import whole_file
from agentsim.study.compare import Comparison
from agentsim.uncertainty import LEVEL

if TYPE_CHECKING:
    import pandas as pd


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
    """One configuration: all its settings, and its figures by name; none where it cannot run."""

    name: str
    config: dict[str, Any]
    failure: str | None
    num_gpus: int
    figures: dict[str, CellRow]


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
    plain = msgspec.to_builtins(comparison_document(comparison))
    text = json.dumps(plain, sort_keys=True, indent=2, allow_nan=False, default=plain_number)
    return f"{text}\n"


def write_frame(frame: pd.DataFrame, target: Path) -> None:
    """Write a table as its name says: ``.csv`` or ``.parquet``, whole or not at all.

    Raises
    ------
    UserError
        If it cannot be written.
    """
    with whole_file("--out", target) as partial:
        if target.suffix == ".csv":
            frame.to_csv(partial, index=False, lineterminator="\n")
        else:
            frame.to_parquet(partial, index=False)
