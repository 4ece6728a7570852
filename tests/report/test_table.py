"""Tables: the same rows come out of memory, of a temporary file and of a file that is kept."""

from __future__ import annotations

import gc
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from agentsim.domain.packing import Strings, pack, unpack
from agentsim.domain.table import Table, TableWriter
from agentsim.errors import UserError

TYPES = {"name": "str", "kind": "str", "time": "int64", "step": "int64", "share": "float64"}
KINDS = ("finished", "cut", "skipped")

wide = st.integers(-(2**63), 2**63 - 1)
near = st.integers(0, 300)
integers = st.one_of(
    st.lists(wide, max_size=9),
    st.lists(near, max_size=9),
    st.tuples(wide, st.lists(near, max_size=9)).map(
        lambda pair: np.cumsum(np.array([pair[0], *pair[1]], np.int64)).tolist()
    ),
    st.tuples(wide, st.integers(0, 9)).map(lambda pair: [pair[0]] * pair[1]),
)


@given(integers)
def test_integers_come_out_as_they_went_in(values: list[int]) -> None:
    column = np.array(values, np.int64)
    found = unpack(pack(column))
    assert isinstance(found, np.ndarray)
    assert found.dtype == np.int64
    assert found.tolist() == values


@given(st.lists(st.text(max_size=3), max_size=9))
def test_strings_come_out_as_they_went_in(values: list[str]) -> None:
    found = unpack(pack(np.array(values, dtype=object)))
    assert isinstance(found, Strings)
    assert found.array().tolist() == values
    assert found.among(("", "a")).tolist() == [value in ("", "a") for value in values]


@pytest.mark.parametrize(
    ("column", "nbytes"),
    [
        (np.full(1000, 7), 0),
        (np.arange(5, 5005, 5), 0),
        (np.arange(1000) % 200, 1000),
        (10**18 + np.arange(1000) % 200, 1000),
        (np.cumsum(np.arange(1000) % 7 + 10**9), 999),
        (np.cumsum(np.arange(1000) % 7 * 10**8), 999 * 4),
        (np.arange(1000) % 2 * 2**40, 8000),
    ],
)
def test_columns_take_the_bytes_that_they_need(column: np.ndarray, nbytes: int) -> None:  # type: ignore[type-arg]
    packed = pack(column)
    assert packed.nbytes == nbytes


def chunk(rows: list[tuple[str, str, int]]) -> dict[str, np.ndarray]:  # type: ignore[type-arg]
    names, kinds, times = zip(*rows, strict=True) if rows else ((), (), ())
    time = np.array(times, np.int64)
    return {
        "name": np.array(names, dtype=object),
        "kind": np.array(kinds, dtype=object),
        "time": time,
        "step": np.arange(len(time)),
        "share": time / 3,
    }


rows = st.lists(
    st.lists(st.tuples(st.text(max_size=2), st.sampled_from(KINDS), near), max_size=6), max_size=4
)


def written(chunks: Iterable[list[tuple[str, str, int]]], place: Path) -> list[Table]:
    """The same chunks in memory, moved to a file half way, and in a file from the start."""
    tables = []
    for target, held_bytes in ((None, 10**9), (None, 20), (place, 0)):
        writer = TableWriter(TYPES, target, held_bytes=held_bytes)
        for part in chunks:
            writer.append(chunk(part))
        tables.append(writer.close())
    return tables


@settings(max_examples=40)
@given(rows, st.sets(st.sampled_from(KINDS)))
def test_wherever_rows_are_kept_they_are_read_alike(
    tmp_path_factory: pytest.TempPathFactory,
    chunks: list[list[tuple[str, str, int]]],
    kinds: set[str],
) -> None:
    for table in written(chunks, tmp_path_factory.mktemp("table") / "table.parquet"):
        everything = [row for part in chunks for row in part]
        assert (table.num_rows, table.num_chunks) == (len(everything), len(chunks))
        assert list(table) == list(TYPES)
        for _ in "ab":  # as often as one likes
            parts = list(table.chunks("time", "name"))
            assert [part["time"].tolist() for part in parts] == [[r[2] for r in c] for c in chunks]
            assert [part["name"].tolist() for part in parts] == [[r[0] for r in c] for c in chunks]
        assert table["share"].tolist() == [time / 3 for _, _, time in everything]
        assert table["time"].dtype == np.int64
        chosen = [[r[2] for r in part if r[1] in kinds] for part in chunks]
        found = table.chunks("time", where={"kind": kinds})
        assert [part["time"].tolist() for part in found] == chosen
        assert table.columns("time", where={"kind": kinds})["time"].tolist() == [
            time for part in chosen for time in part
        ]


def test_a_table_is_a_mapping_of_whole_columns() -> None:
    table = Table.of({"a": np.arange(3), "b": np.array(["x", "y", "x"])})
    assert ("a" in table, "c" in table, len(table)) == (True, False, 2)
    assert {name: column.tolist() for name, column in {**table}.items()} == {
        "a": [0, 1, 2],
        "b": ["x", "y", "x"],
    }
    assert next(table.chunks("a", where={"b": ("x",)}))["a"].tolist() == [0, 2]
    with pytest.raises(KeyError, match="c"):
        table["c"]


def test_a_temporary_file_goes_with_its_table() -> None:
    writer = TableWriter(TYPES, held_bytes=0)
    writer.append(chunk([("a", "cut", 1)]))
    table = writer.close()
    assert table.path is not None
    folder = table.path.parent
    chunks = table.chunks("time")
    del writer, table
    gc.collect()
    assert next(chunks)["time"].tolist() == [1]
    del chunks
    gc.collect()
    assert not folder.exists()


def test_a_writer_that_is_given_up_leaves_no_file() -> None:
    writer = TableWriter(TYPES, held_bytes=0)
    writer.append(chunk([("a", "cut", 1)]))
    assert writer._folder is not None
    folder = writer._folder.path
    assert folder.exists()
    del writer
    gc.collect()
    assert not folder.exists()


def test_a_chunk_is_a_row_group(tmp_path: Path) -> None:
    place = tmp_path / "table.parquet"
    written([[("a", "cut", 1)] * 3, [("b", "cut", 2)] * 2], place)
    file = parquet.ParquetFile(place)
    sizes = [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]
    assert sizes == [3, 2]
    assert [str(field.type) for field in file.schema_arrow][:3] == ["string", "string", "int64"]


def test_what_is_no_table_and_what_cannot_be_written_is_named(tmp_path: Path) -> None:
    place = tmp_path / "table.parquet"
    place.write_bytes(b"junk")
    with pytest.raises(UserError, match=r"table\.parquet: cannot be read"):
        Table.read(place)
    with pytest.raises(UserError, match=r"none/table\.parquet: cannot be written"):
        TableWriter(TYPES, tmp_path / "none" / "table.parquet")


def test_a_table_is_a_frame_of_its_columns_in_their_order() -> None:
    table = Table.of({"name": np.array(["a", "b"], object), "time": np.array([1, 2])})
    frame = table.frame()
    assert list(frame) == ["name", "time"]
    assert frame["time"].tolist() == [1, 2]
