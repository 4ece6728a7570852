"""The dataset of a sweep: one Parquet file, made of what was there and of a journal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from agentsim.study.sweep.disk import appear
from agentsim.study.sweep.journal import rows

if TYPE_CHECKING:
    import pyarrow as pa

_ROWS_AT_A_TIME = 10_000
_ROWS_OF_A_GROUP = 100_000


def gather(dataset: Path, journal: Path, columns: Mapping[str, str]) -> pa.Table:
    """Every run once, as it was written last, in the order of the points.

    Parameters
    ----------
    dataset, journal : Path
        Either may not be there.
    columns : mapping of str to str
        Of the journal's rows: column -> type, as Arrow calls it.
    """
    import pyarrow as pa
    from pyarrow import parquet

    schema = pa.schema([(name, _type(kind)) for name, kind in columns.items()])
    # the journal first: should it become a dataset meanwhile, that has its rows
    tables = [schema.empty_table(), *_tables(journal, schema)]
    if dataset.exists():
        tables.insert(0, parquet.read_table(dataset))
    table = pa.concat_tables(tables, promote_options="permissive")
    last = {key: place for place, key in enumerate(table["id"].to_pylist())}
    if len(last) < table.num_rows:
        table = table.take(pa.array(last.values()))
    return ordered(table)


def ordered(table: pa.Table) -> pa.Table:
    """By point; runs without one last."""
    return table.sort_by([("point", "ascending"), ("id", "ascending")])


def renumbered(table: pa.Table, points: list[int | None]) -> pa.Table:
    """The runs as these points, in their order."""
    import pyarrow as pa

    place = table.schema.get_field_index("point")
    return ordered(table.set_column(place, "point", pa.array(points, pa.int64())))


def write_dataset(table: pa.Table, place: Path) -> None:
    """Write a dataset; it appears whole."""
    from pyarrow import parquet

    hidden = place.with_name(f".{place.name}.part")
    parquet.write_table(
        table.combine_chunks(),
        hidden,
        row_group_size=_ROWS_OF_A_GROUP,
        compression="zstd",
        store_schema=False,  # Arrow's own form of it differs with where the rows came from
    )
    appear(hidden, place)


def statuses(dataset: Path) -> Iterator[tuple[str, str]]:
    """Identity and status of each run of a dataset, if there is one."""
    from pyarrow import parquet

    if dataset.exists():
        table = parquet.read_table(dataset, columns=["id", "status"])
        yield from zip(table["id"].to_pylist(), table["status"].to_pylist(), strict=True)


def _tables(journal: Path, schema: pa.Schema) -> Iterator[pa.Table]:
    import pyarrow as pa

    lines = rows(journal)
    while some := list(islice(lines, _ROWS_AT_A_TIME)):
        yield pa.Table.from_pylist(some, schema)


def _type(name: str) -> pa.DataType:
    import pyarrow as pa

    if name.startswith("list<"):
        return pa.list_(pa.field("element", _type(name[5:-1])))  # as Parquet calls it
    return pa.type_for_alias(name)
