"""The points of a sweep by number, without a list of them: `Grid`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from agentsim.errors import ConfigError

Method = Literal["sobol", "latin", "random"]


@dataclass(frozen=True, slots=True)
class Axis:
    """Settings that are varied together.

    Attributes
    ----------
    names : tuple of str
        Dotted, such as ``engine.max_num_seqs``.
    rows : tuple of tuple
        Of each choice the values, in the order of `names`; at least one, all different.
    """

    names: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]


@dataclass(frozen=True, slots=True)
class Grid:
    """Every combination of the choices of some axes; the last axis changes first.

    Examples
    --------
    >>> grid = Grid((Axis(("gpu",), (("l4",), ("h100",))), Axis(("seed",), ((0,), (1,)))))
    >>> grid.num_points, grid.settings(2)
    (4, {'gpu': 'h100', 'seed': 0})
    """

    axes: tuple[Axis, ...]

    @property
    def num_points(self) -> int:
        """Combinations in all: 1 without any axis."""
        return math.prod(len(axis.rows) for axis in self.axes)

    def settings(self, number: int) -> dict[str, Any]:
        """The values of point `number`, from 0, by name in the order of the axes."""
        if not 0 <= number < self.num_points:
            raise IndexError(number)
        rows: list[tuple[Any, ...]] = []
        for axis in reversed(self.axes):
            number, choice = divmod(number, len(axis.rows))
            rows.append(axis.rows[choice])
        return {
            name: value
            for axis, row in zip(self.axes, reversed(rows), strict=True)
            for name, value in zip(axis.names, row, strict=True)
        }


@dataclass(frozen=True, slots=True)
class Range:
    """From where to where a setting is drawn; whole numbers if both ends are."""

    low: float
    high: float
    is_log: bool = False

    def at(self, share: float) -> float:
        """The value at a share of the way, 0 <= `share` < 1; each whole number is as likely."""
        is_whole = isinstance(self.low, int) and isinstance(self.high, int)
        low, high = self.low, self.high + is_whole
        if self.is_log:
            value = math.exp(math.log(low) + share * (math.log(high) - math.log(low)))
        else:
            value = low + share * (high - low)
        # rounding may reach an end that is not part of the range
        return min(max(math.floor(value) if is_whole else value, self.low), self.high)


def draw(method: Method, seed: int, count: int, ranges: Sequence[Range]) -> list[tuple[Any, ...]]:
    """So many points of a space, spread as `method` does; equal ones once.

    Raises
    ------
    ConfigError
        If scipy is not installed.
    """
    try:
        from scipy.stats import qmc
    except ImportError as error:
        raise ConfigError(
            "sample: needs scipy 1.15 or newer: pip install 'agentsim[sample]'"
        ) from error
    import numpy as np

    if method == "random":
        shares = np.random.default_rng(seed).random((count, len(ranges)))
    else:
        kind = qmc.Sobol if method == "sobol" else qmc.LatinHypercube
        shares = kind(len(ranges), rng=seed).random(count)
    drawn = [
        tuple(span.at(share) for span, share in zip(ranges, row, strict=True))
        for row in shares.tolist()
    ]
    return list(dict.fromkeys(drawn))
