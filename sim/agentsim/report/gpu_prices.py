"""What an hour of a GPU costs: the dated table, a user's own, or a price on the command line."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from agentsim.domain.settings import read_toml, structured
from agentsim.errors import ConfigError, UnknownName
from agentsim.report.bill import Quoted

UNIT = "$/GPU-hour"


class PriceRow(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A row of a price table."""

    usd_per_hour: Annotated[float, msgspec.Meta(ge=0)]
    date: str
    source: str
    terms: Literal["on demand", "spot"] = "on demand"
    kind: Literal["list price", "measured", "assumed"] = "list price"


@dataclass(frozen=True, slots=True)
class GpuPrice:
    """The price of a GPU on demand, and as a spot instance where one is known."""

    on_demand: Quoted
    spot: Quoted | None = None


def read_price_table(path: Path | None, gpus: Iterable[str]) -> dict[str, list[PriceRow]]:
    """The built-in table, with the GPUs of the user's file in place of its own.

    Parameters
    ----------
    path : Path or None
        A TOML file of the built-in table's form.
    gpus : iterable of str
        The names a row may have.

    Raises
    ------
    ConfigError
        If the file cannot be read, or a row is wrong.
    UnknownName
        If it names a GPU that is not among `gpus`.
    """
    text = resources.files("agentsim.report").joinpath("gpu_prices.toml").read_text("utf-8")
    rows = _rows("gpu_prices.toml", tomllib.loads(text))
    if path is None:
        return rows
    known = set(gpus)
    own = _rows(str(path), read_toml(path))
    for name in own:
        if name not in known:
            raise UnknownName(f"gpu in {path}:", name, known)
    return rows | own


def _rows(place: str, table: dict[str, Any]) -> dict[str, list[PriceRow]]:
    for name, rows in table.items():
        if not isinstance(rows, list):
            raise ConfigError(f"{place}: {name}: expected rows, each headed [[{name}]]")
    return {
        name: [structured(f"{place}: {name}[{i}]", row, PriceRow) for i, row in enumerate(rows)]
        for name, rows in table.items()
    }


def find_gpu_price(table: dict[str, list[PriceRow]], gpu: str) -> GpuPrice | None:
    """The first row of each kind for a GPU; None if no row has it on demand."""
    found: dict[str, Quoted] = {}
    for row in table.get(gpu, ()):
        quoted = Quoted(row.usd_per_hour, UNIT, row.kind, row.date, row.source)
        found.setdefault(row.terms, quoted)
    return GpuPrice(found["on demand"], found.get("spot")) if "on demand" in found else None


def given_gpu_price(usd_per_hour: float) -> GpuPrice:
    """A price the user states."""
    return GpuPrice(Quoted(usd_per_hour, UNIT, "given", "", "--gpu-price"))
