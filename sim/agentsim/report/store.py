"""A run on disk: Parquet files of its requests, steps and sessions, with everything to read it.

A directory holds ``requests.parquet``, ``steps.parquet``, ``sessions.parquet``, the token gaps
``itl.parquet`` and ``run.json`` (schema version, versions, config, facts, assumptions, notes). Each
Parquet file carries the text of ``run.json`` in its metadata under ``agentsim``, so that it can
stand alone. The directory appears whole or not at all.
"""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from agentsim.domain.records import REQUEST_COLUMNS, SESSION_COLUMNS, STEP_COLUMNS, Columns, Run
from agentsim.errors import UserError
from agentsim.report.document import package_version, plain_facts, plain_number

if TYPE_CHECKING:
    import pyarrow as pa

RUN_VERSION = 1
_TABLES = {"requests": REQUEST_COLUMNS, "steps": STEP_COLUMNS, "sessions": SESSION_COLUMNS}
_GAPS = {"gap_ns": "itl_ns", "weight": "itl_weight"}


def check_target(target: Path, *, force: bool = False) -> None:
    """Raise where `write_run` would refuse, before any work is done.

    Raises
    ------
    UserError
        If `target` is a file, or holds files and `force` is not set, or cannot be made.
    """
    if target.exists() and not target.is_dir():
        raise UserError(f"{target}: is a file; give a directory to --out")
    if target.is_dir() and any(target.iterdir()):
        if not force:
            raise UserError(f"{target}: is not empty; choose another directory or add --force")
        if not (target / "run.json").is_file():
            raise UserError(f"{target}: holds no run; --force replaces only an earlier run")
    home = next(p for p in target.absolute().parents if p.exists())
    if not home.is_dir() or not os.access(home, os.W_OK | os.X_OK):
        raise UserError(f"{target}: cannot be made, {str(home)!r} is not a writable directory")


def write_run(run: Run, target: Path, *, force: bool = False) -> None:
    """Write a run to a directory, atomically.

    Parameters
    ----------
    run : Run
    target : Path
        A directory that does not exist or is empty; its parents are made.
    force : bool
        Replace a directory that holds an earlier run.

    Raises
    ------
    UserError
        As `check_target`, or if the disk refuses.
    """
    check_target(target, force=force)
    target = target.absolute()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as made:
            whole = Path(made) / "run"
            whole.mkdir()
            _write_files(run, whole)
            if target.exists():
                os.replace(target, Path(made) / "old")
            os.replace(whole, target)
    except OSError as error:
        raise UserError(f"{target}: cannot be written: {error.strerror or error}") from error


def read_run(source: Path) -> Run:
    """Read what `write_run` wrote.

    Raises
    ------
    UserError
        If the directory holds no run, one of another version, or lacks a column.
    """
    head = _head(source)
    gaps = _read_columns(source / "itl.parquet", dict.fromkeys(_GAPS, ("int64", "")))
    tables = {name: _read_columns(source / f"{name}.parquet", c) for name, c in _TABLES.items()}
    facts = head["facts"] | {fact: gaps[column] for column, fact in _GAPS.items()}
    return Run(
        **tables,
        config=head["config"],
        facts=facts,
        assumptions=tuple(head["assumptions"]),
        notes=head["notes"],
    )


def _head(source: Path) -> dict[str, Any]:
    place = source / "run.json"
    try:
        head = json.loads(place.read_text(encoding="utf-8"))
        version = head["run_version"]
    except FileNotFoundError as error:
        raise UserError(f"{source}: holds no run.json; was it written by --out?") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{place}: is not the head of a run: {error}") from error
    if version != RUN_VERSION:
        raise UserError(f"{place}: run version {version!r}, this agentsim reads {RUN_VERSION}")
    missing = [key for key in ("config", "facts", "assumptions", "notes") if key not in head]
    if missing:
        raise UserError(f"{place}: lacks {', '.join(missing)}")
    return dict(head)


def _read_columns(place: Path, names: dict[str, tuple[str, str]]) -> Columns:
    import pyarrow as pa
    from pyarrow import parquet

    try:
        table = parquet.read_table(place)
    except (OSError, pa.ArrowException) as error:
        raise UserError(f"{place}: cannot be read: {str(error).splitlines()[0]}") from error
    missing = [name for name in names if name not in table.column_names]
    if missing:
        raise UserError(f"{place}: lacks the columns {', '.join(missing)}")
    return {name: _to_numpy(table[name]) for name in table.column_names}


def _to_numpy(column: pa.ChunkedArray) -> np.ndarray[Any, Any]:
    if str(column.type) in ("string", "large_string"):
        return np.array(column.to_pylist(), dtype=np.str_)
    array: np.ndarray[Any, Any] = column.to_numpy()
    return array


def _write_files(run: Run, target: Path) -> None:
    head = {
        "run_version": RUN_VERSION,
        "versions": _versions(),
        "config": run.config,
        "facts": plain_facts(run.facts),
        "assumptions": list(run.assumptions),
        "notes": run.notes,
    }
    text = json.dumps(head, sort_keys=True, indent=2, allow_nan=False, default=plain_number)
    for name in _TABLES:
        _write_columns(getattr(run, name), target / f"{name}.parquet", text)
    empty = np.zeros(0, np.int64)
    gaps = {column: np.asarray(run.facts.get(fact, empty)) for column, fact in _GAPS.items()}
    _write_columns(gaps, target / "itl.parquet", text)
    (target / "run.json").write_text(text + "\n", encoding="utf-8")


def _write_columns(columns: Columns, place: Path, head: str) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    arrays = {
        name: pa.array(column.tolist() if column.dtype.kind in "UO" else column)
        for name, column in columns.items()
    }
    table = pa.table(arrays).replace_schema_metadata({"agentsim": head})
    parquet.write_table(table, place, compression="zstd")


def _versions() -> dict[str, str]:
    import platform

    import pyarrow as pa

    return {
        "agentsim": package_version(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "pyarrow": pa.__version__,
    }
