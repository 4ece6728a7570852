"""A run on disk: Parquet files of its requests, steps and sessions, with everything to read it.

A directory holds ``requests.parquet``, ``steps.parquet``, ``sessions.parquet``, the token gaps
``itl.parquet`` and ``run.json`` (versions, whether it is complete, config, facts, assumptions,
notes). Each Parquet file carries versions, config and assumptions in its metadata under
``agentsim``, so that it can stand alone. The directory appears whole or not at all: a `RunFolder`
takes the tables as the run goes, `write_run` afterwards.
"""

from __future__ import annotations

import dataclasses
import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from agentsim.domain.records import REQUEST_COLUMNS, SESSION_COLUMNS, STEP_COLUMNS, Run
from agentsim.domain.table import Table, TableWriter
from agentsim.errors import UserError
from agentsim.report.document import package_version, plain_facts, plain_number

RUN_VERSION = 2
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


class RunFolder:
    """The directory of a run in the making: hidden beside its target until it is whole.

    Left without `finish` it is removed.

    Parameters
    ----------
    target : Path
        A directory that does not exist or is empty; its parents are made.
    config, assumptions
        Of the run; each Parquet file carries them.
    force : bool
        Replace a directory that holds an earlier run.

    Raises
    ------
    UserError
        As `check_target`; from each method, if the disk refuses.
    """

    def __init__(
        self,
        target: Path,
        config: dict[str, Any],
        assumptions: Sequence[dict[str, Any]],
        *,
        force: bool = False,
    ) -> None:
        check_target(target, force=force)
        self.target = target.absolute()
        about = {**_versions(), "config": config, "assumptions": list(assumptions)}
        self._about = {"agentsim": _json(about)}
        with _writing(target):
            self.target.parent.mkdir(parents=True, exist_ok=True)
            self._hidden = tempfile.TemporaryDirectory(
                prefix=f".{target.name}.", dir=self.target.parent
            )
            self._whole = Path(self._hidden.name) / "run"
            self._whole.mkdir()

    def __enter__(self) -> RunFolder:
        return self

    def __exit__(self, *_: object) -> None:
        self._hidden.cleanup()

    def writer(self, name: str, dtypes: Mapping[str, str]) -> TableWriter:
        """What takes the chunks of a table: ``requests``, ``steps`` or ``sessions``."""
        return TableWriter(dtypes, self._whole / f"{name}.parquet", head=self._about)

    def finish(self, run: Run) -> Run:
        """Write what is not in the tables, and let the directory appear.

        Parameters
        ----------
        run : Run
            Whose tables were written by writers of this folder, and closed.

        Returns
        -------
        Run
            The same, on the files in the target.
        """
        gaps = self.writer("itl", dict.fromkeys(_GAPS, "int64"))
        empty = np.zeros(0, np.int64)
        gaps.append({name: np.asarray(run.facts.get(fact, empty)) for name, fact in _GAPS.items()})
        gaps.close()
        with _writing(self.target):
            _write_head(run, self._whole)
            if self.target.exists():
                os.replace(self.target, Path(self._hidden.name) / "old")
            os.replace(self._whole, self.target)
        return dataclasses.replace(run, **_read_tables(self.target))


def write_run(run: Run, target: Path, *, force: bool = False) -> None:
    """Write a run to a directory, atomically; of one that is there already, only ``run.json``.

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
    if all(getattr(run, name).path == _place(target, name) for name in _TABLES):
        with _writing(target):
            _write_head(run, target)
        return
    with RunFolder(target, run.config, run.assumptions, force=force) as folder:
        for name in _TABLES:
            table: Table = getattr(run, name)
            writer = folder.writer(name, table.dtypes)
            for chunk in table.chunks():
                writer.append(chunk)
            writer.close()
        folder.finish(run)


def read_run(source: Path) -> Run:
    """Read what `write_run` wrote, its tables when they are asked for.

    Raises
    ------
    UserError
        If the directory holds no run, one of another version, or lacks a column.
    """
    head = _head(source)
    gaps = _read_table(source, "itl", _GAPS)
    facts = head["facts"] | {fact: gaps[column] for column, fact in _GAPS.items()}
    return Run(
        **_read_tables(source),
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


def _place(folder: Path, name: str) -> Path:
    return folder.absolute() / f"{name}.parquet"


def _read_tables(folder: Path) -> dict[str, Any]:
    return {name: _read_table(folder, name, columns) for name, columns in _TABLES.items()}


def _read_table(folder: Path, name: str, columns: Iterable[str]) -> Table:
    place = _place(folder, name)
    table = Table.read(place)
    missing = [column for column in columns if column not in table]
    if missing:
        raise UserError(f"{place}: lacks the columns {', '.join(missing)}")
    return table


def _write_head(run: Run, folder: Path) -> None:
    head = {
        **_versions(),
        "complete": "interrupted" not in run.facts,
        "config": run.config,
        "facts": plain_facts(run.facts),
        "assumptions": list(run.assumptions),
        "notes": run.notes,
    }
    half = folder / "run.json.part"
    half.write_text(_json(head) + "\n", encoding="utf-8")
    half.replace(folder / "run.json")


@contextmanager
def _writing(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(f"{target}: cannot be written: {error.strerror or error}") from error


def _json(value: dict[str, Any]) -> str:
    return json.dumps(value, sort_keys=True, indent=2, allow_nan=False, default=plain_number)


def _versions() -> dict[str, Any]:
    import platform

    import pyarrow as pa

    versions = {
        "agentsim": package_version(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "pyarrow": pa.__version__,
    }
    return {"run_version": RUN_VERSION, "versions": versions}
