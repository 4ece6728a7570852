"""The runs of a sweep as lines of JSON, in the order in which they ended: `Journal`."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from agentsim.study.sweep.disk import writing

#: Seconds after which lines are put on the disk itself, in case the machine stops.
_SYNC_S = 1.0


class Journal:
    """Lines that are on disk as soon as they are added.

    A line is written whole, after those before it: a process that is killed at any moment leaves at
    most one torn line, the last, which is cut off here.

    Parameters
    ----------
    place : Path
    """

    def __init__(self, place: Path) -> None:
        self._place = place
        with writing(place):
            _cut_torn_line(place)
            self._file = os.open(place, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        self._synced_s = time.monotonic()

    def append(self, lines: Iterable[bytes]) -> None:
        """Add lines; when this returns, killing the process does not lose them."""
        data = memoryview(b"".join(line + b"\n" for line in lines))
        with writing(self._place):
            while data:
                data = data[os.write(self._file, data) :]
            if time.monotonic() - self._synced_s >= _SYNC_S:
                self.sync()

    def sync(self) -> None:
        """Put all lines on the disk itself."""
        os.fsync(self._file)
        self._synced_s = time.monotonic()

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._file)


def rows(place: Path, kind: Any = dict[str, Any]) -> Iterator[Any]:
    """The whole lines of a journal, if there is one, each as `kind`.

    A line that cannot be read is passed over: the machine stopped before it was on the disk, and
    its run is run again.
    """
    decode = msgspec.json.Decoder(kind).decode
    try:
        with place.open("rb") as file:
            for line in file:
                if not line.endswith(b"\n"):
                    return
                try:
                    yield decode(line)
                except msgspec.DecodeError:
                    continue
    except FileNotFoundError:
        return


def _cut_torn_line(place: Path) -> None:
    """Remove what follows the last line end: a line that was being written."""
    if not place.exists():
        return
    with place.open("r+b") as file:
        end = file.seek(0, os.SEEK_END)
        while end:
            start = max(0, end - 65_536)
            file.seek(start)
            at = file.read(end - start).rfind(b"\n")
            if at >= 0:
                end = start + at + 1
                break
            end = start
        file.truncate(end)
