"""Tables in Parquet files, a chunk to a row group. pyarrow is imported when a file is touched."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from agentsim.domain.packing import Array, Strings
from agentsim.errors import UserError

#: What costs least to write and to read of the codecs that every reader knows; with differences of
#: integers a row of `STEP_COLUMNS` takes some 20 bytes.
_COMPRESSION = "lz4"


class TemporaryFolder:
    """A folder that is removed when nothing refers to this object any more."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="agentsim-"))
        weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)


class ParquetChunks:
    """The chunks of a table in a file.

    Parameters
    ----------
    path : Path
    folder : TemporaryFolder or None
        Where it lies, if it is to go with this object.

    Raises
    ------
    UserError
        If it is no Parquet file.
    """

    def __init__(self, path: Path, folder: TemporaryFolder | None = None) -> None:
        self.path = path
        self._folder = folder
        with _reading(path, ()) as file:
            self.dtypes = {field.name: _dtype(field.type) for field in file.schema_arrow}
            self.num_rows: int = file.metadata.num_rows
            self.num_chunks: int = file.num_row_groups
        self._texts = tuple(name for name, dtype in self.dtypes.items() if dtype == "str")

    def chunks(self, names: Sequence[str]) -> Iterator[dict[str, Array | Strings]]:
        """These columns, chunk by chunk."""
        with _reading(self.path, self._texts) as file:
            for number in range(self.num_chunks):
                group = file.read_row_group(number, columns=list(names), use_threads=False)
                yield {name: _column(group[name]) for name in names}


class ParquetSink:
    """Writes chunks to a file.

    Parameters
    ----------
    path : Path
    dtypes : mapping of str to str
        Columns: ``str``, or the name of a numpy type.
    head : mapping of str to str
        Metadata of the file.
    """

    def __init__(self, path: Path, dtypes: Mapping[str, str], head: Mapping[str, str]) -> None:
        import pyarrow as pa
        from pyarrow import parquet

        self._path = path
        types = {
            name: pa.string() if dtype == "str" else pa.from_numpy_dtype(np.dtype(dtype))
            for name, dtype in dtypes.items()
        }
        self._schema = pa.schema(types.items(), metadata=dict(head) or None)
        integers = [name for name, dtype in dtypes.items() if dtype == "int64"]
        with _writing(path):
            self._writer = parquet.ParquetWriter(
                path,
                self._schema,
                compression=_COMPRESSION,
                use_dictionary=[name for name, dtype in dtypes.items() if dtype == "str"],
                column_encoding=dict.fromkeys(integers, "DELTA_BINARY_PACKED"),
            )

    def append(self, columns: Mapping[str, Array]) -> None:
        """Write a row group."""
        import pyarrow as pa

        arrays = [
            pa.array(column.tolist() if column.dtype.kind in "OU" else column, field.type)
            for field, column in ((field, columns[field.name]) for field in self._schema)
        ]
        with _writing(self._path):
            self._writer.write_table(pa.table(arrays, schema=self._schema))

    def close(self) -> None:
        """Finish the file."""
        with _writing(self._path):
            self._writer.close()


@contextmanager
def _reading(path: Path, texts: Sequence[str]) -> Iterator[Any]:
    import pyarrow as pa
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path, read_dictionary=list(texts)) as file:
            yield file
    except (OSError, pa.ArrowException) as error:
        raise UserError(f"{path}: cannot be read: {str(error).splitlines()[0]}") from error


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(f"{path}: cannot be written: {error.strerror or error}") from error


def _dtype(kind: Any) -> str:
    if str(kind) in ("string", "large_string") or str(kind).startswith("dictionary<values=string"):
        return "str"
    return str(np.dtype(kind.to_pandas_dtype()))


def _column(column: Any) -> Array | Strings:
    import pyarrow as pa

    if pa.types.is_dictionary(column.type):
        whole = column.combine_chunks()
        names = np.array(whole.dictionary.to_pylist(), dtype=object)
        return Strings(names, whole.indices.to_numpy().astype(np.int64))
    values: Array = column.to_numpy()
    return values
