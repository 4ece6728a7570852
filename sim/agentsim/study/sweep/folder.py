"""The folder of a sweep: every run on disk as soon as it ends, one Parquet file at the end.

::

    DIR/_sweep.json     what is swept: `Plan.about`, and the columns
    DIR/_runs.jsonl     a line for each run, in the order in which they ended; gone at the end
    DIR/sweep.parquet   the dataset, in the order of the points
    DIR/_lock           held while a sweep writes

The dataset appears whole, before the lines go: a run that is in both counts once. Readers of
Parquet datasets pass over names that begin with ``_``, so the folder is a dataset itself.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from agentsim.errors import ConfigError, UserError
from agentsim.study.sweep.dataset import gather, renumbered, statuses, write_dataset
from agentsim.study.sweep.disk import write_whole, writing
from agentsim.study.sweep.journal import Journal, rows

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

#: Form of the folder.
SWEEP_VERSION = 1
HEAD, RUNS, LOCK, DATASET = "_sweep.json", "_runs.jsonl", "_lock", "sweep.parquet"
#: What to do with a folder that holds another sweep.
Mode = Literal["resume", "extend", "force"]


class _Line(msgspec.Struct, frozen=True):
    """What is looked at in a line."""

    id: str
    status: str


class SweepFolder:
    """A folder that this process alone writes to; left by ``with``.

    Parameters
    ----------
    target : Path
        Made if it is not there.
    about : dict
        `Plan.about` of the sweep that is to be run.
    columns : dict
        Column -> type, see `rows.columns`.
    mode : {"resume", "extend", "force"}
        Of a folder that holds another sweep: refuse it, keep its rows and add to them, or start
        anew.

    Attributes
    ----------
    there : dict of str to str
        Identity of each run that was there when the folder was opened -> its status.

    Raises
    ------
    UserError
        If another process writes to the folder, it holds something else, or cannot be written.
    """

    def __init__(
        self, target: Path, about: dict[str, Any], columns: dict[str, str], *, mode: Mode
    ) -> None:
        check_target(target)
        self.target = target
        head = {"sweep_version": SWEEP_VERSION, "about": about, "columns": columns}
        self._head = json.loads(json.dumps(head))  # as it is read: tuples are lists
        with writing(target):
            target.mkdir(parents=True, exist_ok=True)
            self._lock = _lock(target)
            try:
                self._take_over(mode)
                self._journal = Journal(target / RUNS)
            except BaseException:
                os.close(self._lock)
                raise
        self.there = dict(_statuses(target))

    def _take_over(self, mode: Mode) -> None:
        """Make the folder that of this sweep."""
        target = self.target
        if mode == "force":
            for name in (RUNS, DATASET, HEAD):
                (target / name).unlink(missing_ok=True)
        earlier = _read_head(target)
        if earlier == self._head:
            return
        if earlier is not None:
            if mode == "resume":
                raise ConfigError(_differs(target, earlier["about"], self._head["about"]))
            self._close_journal(_gather(target, earlier))  # its rows have columns of their own
        write_whole(target / HEAD, json.dumps(self._head, indent=1).encode() + b"\n")

    def __enter__(self) -> SweepFolder:
        return self

    def __exit__(self, *_: object) -> None:
        self._journal.close()
        os.close(self._lock)

    def append(self, lines: Iterable[bytes]) -> None:
        """Keep rows; when this returns, killing the process does not lose them."""
        self._journal.append(lines)

    def finish(self, numbers: Mapping[str, int]) -> None:
        """Make the dataset of all rows, in the order of the points.

        Parameters
        ----------
        numbers : mapping of str to int
            Of each run of `there` that belongs to this sweep: its point. The others come last and
            have none.
        """
        with writing(self.target):
            self._journal.sync()
            table = _gather(self.target, self._head)
            pairs = zip(table["id"].to_pylist(), table["point"].to_pylist(), strict=True)
            points = [numbers.get(key) if key in self.there else point for key, point in pairs]
            self._close_journal(renumbered(table, points))

    def _close_journal(self, table: pa.Table) -> None:
        """Write the dataset, then remove the lines it was made of."""
        write_dataset(table, self.target / DATASET)
        (self.target / RUNS).unlink(missing_ok=True)


def read_sweep(path: str | os.PathLike[str]) -> pd.DataFrame:
    """The runs of a sweep as a frame, in the order of the points.

    Parameters
    ----------
    path : path
        The folder; its sweep may be interrupted, or still at work.

    Raises
    ------
    UserError
        If it holds no sweep.
    """
    target = Path(path)
    head = _read_head(target)
    if head is None:
        raise UserError(f"{target}: holds no sweep: no {HEAD}")
    frame: pd.DataFrame = _gather(target, head).to_pandas()
    return frame


def check_target(target: Path) -> None:
    """Raise where a folder could not be the one of a sweep.

    Raises
    ------
    UserError
        If it is a file, or holds something else.
    """
    if target.exists() and not target.is_dir():
        raise UserError(f"{target}: is a file; give a directory to --out")
    if target.is_dir() and not (target / HEAD).exists():
        ours = (LOCK, f".{HEAD}.part")
        if others := sorted(place.name for place in target.iterdir() if place.name not in ours):
            raise UserError(f"{target}: holds {others[0]!r} and no sweep; choose another directory")


def _differs(target: Path, earlier: Mapping[str, Any], about: Mapping[str, Any]) -> str:
    other = [name for name in about if earlier.get(name) != about[name]]
    return (
        f"{target}: holds another sweep (other {', '.join(other)}): --extend keeps its rows and "
        "runs what is missing, --force starts anew"
    )


def _gather(target: Path, head: Mapping[str, Any]) -> pa.Table:
    return gather(target / DATASET, target / RUNS, head["columns"])


def _statuses(target: Path) -> Iterator[tuple[str, str]]:
    """Identity and status of every run, later ones last."""
    yield from statuses(target / DATASET)
    for line in rows(target / RUNS, _Line):
        yield line.id, line.status


def _lock(target: Path) -> int:
    """The descriptor of the lock file; the system lets go of it when the process ends."""
    held = os.open(target / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        import fcntl
    except ImportError:  # Windows
        return held
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(held)
        raise UserError(f"{target}: another sweep is writing to it") from error
    return held


def _read_head(target: Path) -> dict[str, Any] | None:
    place = target / HEAD
    try:
        head = json.loads(place.read_text(encoding="utf-8"))
        version = head["sweep_version"]
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{place}: is not the head of a sweep: {error}") from error
    if version != SWEEP_VERSION:
        raise UserError(f"{place}: sweep version {version!r}, this agentsim reads {SWEEP_VERSION}")
    return dict(head)
