"""A small log of our own for each format, in ``samples``: named as its row of IMPORTERS."""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parent / "samples"


def sample(name: str) -> Path:
    """The sample of a format: a file ``NAME.ending``, or a folder ``NAME`` of several files."""
    found = [path for path in FOLDER.iterdir() if path.name.partition(".")[0] == name]
    assert len(found) == 1, f"expected one sample of {name} in {FOLDER}, got {found}"
    return found[0]


def files_of(path: Path) -> list[Path]:
    """The files of a sample."""
    return sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
