"""Weights of the study's scores: `read_weights`. Those of each sum must add up to 1."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from agentsim.domain.settings import read_toml
from agentsim.errors import ConfigError, UnknownName

#: Sum -> its parts. `task.accuracy` is lambda of TaskEfficacy, `task.usefulness` 1 - lambda.
SUMS: dict[str, tuple[str, ...]] = {
    "comp": ("lat", "mem", "thr"),
    "econ": ("inf", "infra", "err"),
    "eff": ("comp", "econ", "op"),
    "acc": ("diag", "rca", "rem"),
    "task": ("accuracy", "usefulness"),
}
#: How far a sum may be from 1.
TOLERANCE = 1e-9

Weights = dict[str, dict[str, float]]


def default_weights() -> Weights:
    """Equal weights in every sum."""
    return {name: dict.fromkeys(parts, 1 / len(parts)) for name, parts in SUMS.items()}


def read_weights(texts: Sequence[str]) -> Weights:
    """The weights that options state; a sum of which nothing is said keeps equal weights.

    Parameters
    ----------
    texts : sequence of str
        ``"comp.lat=0.5,comp.mem=0.25,comp.thr=0.25"``, or the name of a TOML file with tables of
        the sums. A sum of which one weight is given has 0 for those that are not.

    Raises
    ------
    ConfigError
        If a weight is no number from 0 to 1, or those of a sum do not add up to 1.
    UnknownName
        If there is no such weight.
    """
    given: dict[str, float] = {}
    for text in texts:
        pairs = _file_pairs(text) if text.endswith(".toml") else _pairs(text)
        for name, value in pairs:
            if name not in _names():
                raise UnknownName("weight", name, _names())
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
                raise ConfigError(f"--weights {name}: expected a number from 0 to 1, got {value!r}")
            if name in given:
                raise ConfigError(f"--weights {name}: given twice")
            given[name] = float(value)
    weights = default_weights()
    for sum_name, parts in SUMS.items():
        mine = {
            part: given[f"{sum_name}.{part}"] for part in parts if f"{sum_name}.{part}" in given
        }
        if mine:
            weights[sum_name] = {part: mine.get(part, 0.0) for part in parts}
            _check_sum(sum_name, weights[sum_name])
    return weights


def _check_sum(name: str, weights: dict[str, float]) -> None:
    total = math.fsum(weights.values())
    if abs(total - 1) > TOLERANCE:
        told = " + ".join(f"{name}.{part} {weight:g}" for part, weight in weights.items())
        raise ConfigError(f"--weights: {told} = {total:.10g}: expected a sum of 1")


def _pairs(text: str) -> list[tuple[str, Any]]:
    pairs: list[tuple[str, Any]] = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, equals, value = part.partition("=")
        if not equals:
            raise ConfigError(
                f"--weights {part!r}: expected NAME=NUMBER, such as comp.lat=0.5, or FILE.toml"
            )
        try:
            pairs.append((name.strip(), float(value)))
        except ValueError:
            pairs.append((name.strip(), value.strip()))
    return pairs


def _file_pairs(place: str) -> list[tuple[str, Any]]:
    pairs = []
    for name, table in read_toml(Path(place)).items():
        if not isinstance(table, dict):
            raise ConfigError(f"{place}: {name}: expected a table, such as [comp]")
        pairs += [(f"{name}.{part}", value) for part, value in table.items()]
    return pairs


def _names() -> list[str]:
    return [f"{name}.{part}" for name, parts in SUMS.items() for part in parts]
