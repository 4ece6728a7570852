"""A file that is written whole or not at all, and never over another one unless that is asked."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agentsim.errors import UserError


def check_file(option: str, name: str, endings: tuple[str, ...], *, force: bool = False) -> Path:
    """The path of a file that can be written, before any work is done.

    Parameters
    ----------
    option : str
        What the messages start with: the option that `name` was given to.
    name : str
    endings : tuple of str
        What the name may end in, such as ``.png``.
    force : bool
        Let it be there already.

    Raises
    ------
    UserError
        If the name ends otherwise, or it exists, or its folder does not or takes no file.
    """
    path, place = Path(name), f"{option} {name}"
    if not path.name.endswith(endings) or path.name in endings:
        wanted = " or ".join(endings)
        raise UserError(f"{place}: expected a file name that ends in {wanted}")
    if not path.parent.is_dir():
        raise UserError(f"{place}: no such folder: {path.parent}")
    if path.is_dir():
        raise UserError(f"{place}: is a directory; expected a file")
    if path.exists() and not force:
        raise UserError(f"{place}: exists already; --force replaces it")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise UserError(f"{place}: cannot be written, {str(path.parent)!r} is not writable")
    return path


@contextmanager
def whole_file(option: str, path: Path) -> Iterator[Path]:
    """Where to write what becomes `path` when all of it is there; nothing is left of less.

    Raises
    ------
    UserError
        If the disk refuses.
    """
    half = path.with_name(f".{path.name}.part")
    try:
        yield half
        half.replace(path)
    except OSError as error:
        why = error.strerror or error
        raise UserError(f"{option} {path}: cannot be written: {why}") from error
    finally:
        half.unlink(missing_ok=True)
