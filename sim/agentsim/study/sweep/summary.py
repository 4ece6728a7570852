"""What to look at first in a finished sweep: its best points, and why others failed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from agentsim.study.figures import Figure
from agentsim.study.sweep.folder import DATASET


def best(
    target: Path, by: Figure, names: Sequence[str] | None = None, *, most: int = 5
) -> list[dict[str, Any]]:
    """The runs that are best by a figure, the best one first.

    Parameters
    ----------
    target : Path
        The folder of a sweep that is done.
    names : sequence of str or None
        Columns beside the point; None: all that have a value.
    most : int
        How many.
    """
    import pyarrow.compute as pc
    from pyarrow import parquet

    columns = None if names is None else list(dict.fromkeys(("point", by.name, *names)))
    is_done = (pc.field("status") == "ok") & pc.field("point").is_valid()
    table = parquet.read_table(
        target / DATASET, columns=columns, filters=is_done & pc.field(by.name).is_valid()
    )
    order = "ascending" if by.better == "lower" else "descending"
    rows = table.sort_by([(by.name, order), ("point", "ascending")]).slice(0, most).to_pylist()
    if names is not None:
        return list(rows)
    return [{name: value for name, value in row.items() if value is not None} for row in rows]


def reasons(target: Path) -> list[tuple[str, str, int]]:
    """Status, reason and number of the runs that failed, the most frequent first."""
    import pyarrow.compute as pc
    from pyarrow import parquet

    table = parquet.read_table(target / DATASET, columns=["point", "status", "reason"])
    table = table.filter(pc.and_(pc.is_valid(table["point"]), pc.not_equal(table["status"], "ok")))
    counted = table.group_by(["status", "reason"]).aggregate([("point", "count")])
    rows = [(row["status"], row["reason"], row["point_count"]) for row in counted.to_pylist()]
    return sorted(rows, key=lambda row: (-row[2], row[0], row[1]))
