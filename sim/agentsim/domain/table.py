"""Tables of any number of rows: columns in chunks, in memory while they are small, else in a file.

A `TableWriter` takes chunks as they come and gives a `Table`. Whoever reads a long table goes over
its `chunks`, with the columns that are needed; ``table[name]`` is a whole column.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from agentsim.domain.packing import Array, BoolArray, Packed, Strings, pack, unpack
from agentsim.domain.parquet import ParquetChunks, ParquetSink, TemporaryFolder

if TYPE_CHECKING:
    import pandas as pd

#: Packed columns of a table up to here stay in memory; with more it goes to a file.
HELD_BYTES = 64 * 2**20


class _Chunks(Protocol):
    """Where the chunks of a table are."""

    @property
    def num_rows(self) -> int: ...
    @property
    def num_chunks(self) -> int: ...
    def chunks(self, names: Sequence[str]) -> Iterator[dict[str, Array | Strings]]: ...


class _Held:
    """Chunks in memory."""

    def __init__(self, num_rows: int, chunks: list[dict[str, Packed]]) -> None:
        self.num_rows = num_rows
        self.num_chunks = len(chunks)
        self._chunks = chunks

    def chunks(self, names: Sequence[str]) -> Iterator[dict[str, Array | Strings]]:
        """These columns, chunk by chunk."""
        for chunk in self._chunks:
            yield {name: unpack(chunk[name]) for name in names}


class Table(Mapping[str, Array]):
    """Rows in chunks; a mapping of column names to whole columns.

    Parameters
    ----------
    dtypes : mapping of str to str
        Columns in their order: ``str``, or the name of a numpy type.
    source
        Where the chunks are.

    Attributes
    ----------
    path : Path or None
        The file it is read from, if it is.
    """

    def __init__(self, dtypes: Mapping[str, str], source: _Chunks) -> None:
        self.dtypes = dict(dtypes)
        self.num_rows = source.num_rows
        self.num_chunks = source.num_chunks
        self.path = source.path if isinstance(source, ParquetChunks) else None
        self._source = source

    @classmethod
    def of(cls, columns: Mapping[str, Any]) -> Table:
        """Columns of one length, as one chunk."""
        chunk = {name: np.asarray(column) for name, column in columns.items()}
        dtypes = {name: _name_of(column) for name, column in chunk.items()}
        num_rows = max(map(len, chunk.values()), default=0)
        return cls(dtypes, _Held(num_rows, [dict(chunk)]))

    @classmethod
    def read(cls, path: Path) -> Table:
        """A Parquet file, read when it is asked for; its row groups are the chunks.

        Raises
        ------
        UserError
            If it is none.
        """
        source = ParquetChunks(path)
        return cls(source.dtypes, source)

    def frame(self) -> pd.DataFrame:
        """All rows as a frame of pandas, in memory."""
        import pandas as pd

        return pd.DataFrame({name: self[name] for name in self.dtypes})

    def chunks(
        self, *names: str, where: Mapping[str, Collection[str]] | None = None
    ) -> Iterator[dict[str, Array]]:
        """Go over the chunks.

        Parameters
        ----------
        *names : str
            Columns to read; none: all.
        where : mapping of str to collection of str, or None
            Only rows which hold, in these columns, one of these strings.

        Yields
        ------
        dict of str to ndarray
            int64, or object for strings.
        """
        wanted, where = names or tuple(self.dtypes), where or {}
        for columns in self._source.chunks(tuple(dict.fromkeys((*wanted, *where)))):
            mask: BoolArray | None = None
            for name, strings in where.items():
                mine = _among(columns[name], strings)
                mask = mine if mask is None else mask & mine
            chosen = slice(None) if mask is None or mask.all() else mask
            yield {name: _rows(columns[name], chosen) for name in wanted}

    def columns(
        self, *names: str, where: Mapping[str, Collection[str]] | None = None
    ) -> dict[str, Array]:
        """What `chunks` gives, as one chunk."""
        wanted = names or tuple(self.dtypes)
        chunks = list(self.chunks(*wanted, where=where))
        if len(chunks) == 1:
            return chunks[0]
        none = columns_of([], self.dtypes)
        return {
            name: np.concatenate([none[name], *(chunk[name] for chunk in chunks)])
            for name in wanted
        }

    def __getitem__(self, name: str) -> Array:
        """The whole column."""
        if name not in self.dtypes:
            raise KeyError(name)
        return self.columns(name)[name]

    def __contains__(self, name: object) -> bool:
        """Whether there is a column of this name."""
        return name in self.dtypes

    def __iter__(self) -> Iterator[str]:
        """Names of the columns."""
        return iter(self.dtypes)

    def __len__(self) -> int:
        """How many columns there are."""
        return len(self.dtypes)


class TableWriter:
    """Takes the chunks of a table.

    Parameters
    ----------
    dtypes : mapping of str to str
        Columns in their order: ``str``, or the name of a numpy type.
    target : Path or None
        A Parquet file to write them to as they come; None: memory, and beyond `held_bytes` a
        temporary file, which goes with the table.
    head : mapping of str to str
        Metadata of that file.
    held_bytes : int

    Raises
    ------
    UserError
        From each method, if the disk refuses.
    """

    def __init__(
        self,
        dtypes: Mapping[str, str],
        target: Path | None = None,
        *,
        head: Mapping[str, str] | None = None,
        held_bytes: int = HELD_BYTES,
    ) -> None:
        self.num_rows = 0
        self.num_chunks = 0
        self._dtypes = dict(dtypes)
        self._room = held_bytes
        self._held: list[dict[str, Packed]] = []
        self._path = target
        self._folder: TemporaryFolder | None = None
        self._sink = ParquetSink(target, dtypes, head or {}) if target is not None else None

    def append(self, columns: Mapping[str, Array]) -> None:
        """Add a chunk: columns of one length."""
        if self._sink is None:
            self._hold(columns)
        else:
            self._sink.append(columns)
        self.num_rows += len(next(iter(columns.values())))
        self.num_chunks += 1

    def close(self) -> Table:
        """What was added."""
        if self._sink is None or self._path is None:
            return Table(self._dtypes, _Held(self.num_rows, self._held))
        self._sink.close()
        return Table(self._dtypes, ParquetChunks(self._path, self._folder))

    def _hold(self, columns: Mapping[str, Array]) -> None:
        chunk = {name: pack(columns[name]) for name in self._dtypes}
        self._held.append(chunk)
        self._room -= sum(column.nbytes for column in chunk.values())
        if self._room < 0:
            self._move_to_file()

    def _move_to_file(self) -> None:
        self._folder = TemporaryFolder()
        self._path = self._folder.path / "table.parquet"
        self._sink = ParquetSink(self._path, self._dtypes, {})
        for chunk in _Held(0, self._held).chunks(tuple(self._dtypes)):
            self._sink.append({name: _rows(chunk[name], slice(None)) for name in chunk})
        self._held = []


def columns_of(rows: Sequence[tuple[Any, ...]], dtypes: Mapping[str, str]) -> dict[str, Array]:
    """Columns of rows whose values are in the order of the columns."""
    values = list(zip(*rows, strict=True)) or [()] * len(dtypes)
    return {
        name: np.array(column, dtype=object if dtype == "str" else dtype)
        for (name, dtype), column in zip(dtypes.items(), values, strict=True)
    }


def _name_of(column: Array) -> str:
    return "str" if column.dtype.kind in "OU" else column.dtype.name


def _among(column: Array | Strings, wanted: Collection[str]) -> BoolArray:
    strings = column if isinstance(column, Strings) else Strings.of(column)
    return strings.among(wanted)


def _rows(column: Array | Strings, chosen: slice | BoolArray) -> Array:
    if isinstance(column, Strings):
        return Strings(column.names, column.codes[chosen]).array()
    return column[chosen]
