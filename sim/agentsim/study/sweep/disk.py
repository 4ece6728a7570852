"""Files that survive whatever stops the process: whole, or not there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agentsim.errors import UserError


def write_whole(place: Path, data: bytes) -> None:
    """Write a file beside its place and let it appear there."""
    hidden = place.with_name(f".{place.name}.part")
    hidden.write_bytes(data)
    appear(hidden, place)


def appear(hidden: Path, place: Path) -> None:
    """Put a finished file in its place, on the disk itself."""
    sync(hidden)
    os.replace(hidden, place)
    sync(place.parent)


def sync(place: Path) -> None:
    """Put a file, or the names in a folder, on the disk itself."""
    descriptor = os.open(place, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def writing(target: Path) -> Iterator[None]:
    """Say of an error of the system what could not be written."""
    try:
        yield
    except OSError as error:
        raise UserError(f"{target}: cannot be written: {error.strerror or error}") from error
