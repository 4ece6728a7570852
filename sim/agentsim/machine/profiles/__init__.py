"""Profiles: what was fitted to measurements of a GPU, a TOML file each in this folder.

`find_profile` reads one of them, or a file of the user's as `agentsim calibrate` writes it.
"""

from __future__ import annotations

import functools
import math
from importlib import resources
from pathlib import Path
from typing import Any

import msgspec

from agentsim.domain.config import CostConfig
from agentsim.domain.settings import read_toml, structured
from agentsim.domain.specs import FactorValue, Profile
from agentsim.errors import ConfigError, UnknownName

#: Instead of a profile: what follows from the datasheet and the GPU's architecture alone.
DATASHEET = "datasheet"


@functools.cache
def profile_names() -> tuple[str, ...]:
    """The profiles that are shipped; each has the name of its GPU."""
    return tuple(sorted(path.stem for path in _folder().glob("*.toml")))


@functools.cache
def find_profile(name: str) -> Profile:
    """The profile called `name`, or the one in the file of that path.

    Parameters
    ----------
    name : str
        One of `profile_names`, ``datasheet`` (nothing measured), or a path ending in ``.toml``.

    Raises
    ------
    UnknownName
        With the nearest name.
    ConfigError
        Naming the file and the field, if it cannot be read.
    """
    if name == DATASHEET:
        return Profile(name=name)
    if name in profile_names():
        path = _folder() / f"{name}.toml"
    elif name.endswith(".toml"):
        path = Path(name).expanduser()
    else:
        raise UnknownName("profile", name, [DATASHEET, *profile_names()])
    tables = read_toml(path)
    about = tables.pop("profile", None)
    if not isinstance(about, dict) or "gpu" not in about:
        raise ConfigError(f"{path}: [profile]: expected a table with gpu, standing and source")
    rows = tables.pop("factors", {})
    found = structured(str(path), {"name": path.stem, **about, **tables}, Profile)
    found = msgspec.structs.replace(found, factors=_factors(path, rows))
    _check_correlation(path, found)
    return found


def _factors(path: Path, rows: Any) -> dict[str, FactorValue]:
    if not isinstance(rows, dict):
        raise ConfigError(f"{path}: factors: expected a table for each factor, got {rows!r}")
    known = CostConfig.__struct_fields__
    if loose := [name for name in rows if name not in known]:
        raise ConfigError(f"{path}: {UnknownName('factor', loose[0], known)}")
    return {
        name: structured(f"{path}: factors.{name}", row, FactorValue) for name, row in rows.items()
    }


def _folder() -> Path:
    return Path(str(resources.files("agentsim.machine.profiles")))


def _check_correlation(path: Path, profile: Profile) -> None:
    names, rows = profile.correlation.names, profile.correlation.rows
    if loose := [name for name in names if name not in profile.factors]:
        raise ConfigError(f"{path}: correlation.names: {loose[0]!r} is no factor of this profile")
    is_matrix = len(rows) == len(names) and all(len(row) == len(names) for row in rows)
    if not is_matrix or not all(
        math.isclose(rows[i][j], 1.0 if i == j else rows[j][i], abs_tol=1e-9)
        for i in range(len(rows))
        for j in range(i + 1)
    ):
        raise ConfigError(
            f"{path}: correlation.rows: expected a symmetric matrix of {len(names)} rows with 1 on "
            "its diagonal"
        )
