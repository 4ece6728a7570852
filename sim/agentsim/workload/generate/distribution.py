"""Distributions as profiles state them: a number, a lognormal, a table of quantiles, a mixture."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import accumulate
from statistics import NormalDist
from typing import Any

#: Quantiles of a table: the ends, steps of 5 %, and two more points in each tail.
GRID = (0.0, 0.001, 0.01, *(step / 20 for step in range(1, 20)), 0.99, 0.999, 1.0)
#: Largest value of any distribution: seconds, tokens or calls.
LARGEST = 1e9

_NORMAL = NormalDist()
_LEAST_QUANTILE = 2.0**-54


class Lognormal:
    """Its logarithm is normal; values beyond `least` and `most` count as these."""

    def __init__(self, median: float, sigma: float, least: float = 0.0, most: float = LARGEST):
        self.median = median
        self.sigma = sigma
        self.least = max(least, min(median, most)) if not sigma else least
        self.most = self.least if not sigma else most

    def value_at(self, quantile: float) -> float:
        """The value at a quantile from 0 to 1."""
        inside = min(max(quantile, _LEAST_QUANTILE), 1 - 2.0**-53)
        exponent = min(self.sigma * _NORMAL.inv_cdf(inside), 700.0)
        return min(max(self.median * math.exp(exponent), self.least), self.most)

    def plain(self) -> dict[str, Any]:
        """As a profile has it."""
        told = {"median": self.median, "sigma": self.sigma}
        if self.least > 0:
            told["least"] = self.least
        if self.most < LARGEST:
            told["most"] = self.most
        return told


class Quantiles:
    """The values at `GRID`; straight lines between their logarithms (between values from 0 on)."""

    def __init__(self, values: Sequence[float]):
        self.values = tuple(values)
        self.least, self.most = self.values[0], self.values[-1]

    def value_at(self, quantile: float) -> float:
        """The value at a quantile from 0 to 1."""
        place = min(max(bisect_left(GRID, quantile), 1), len(GRID) - 1)
        low, high = self.values[place - 1 : place + 1]
        start = GRID[place - 1]
        share = (quantile - start) / (GRID[place] - start)
        if low > 0:
            return min(max(low * math.pow(high / low, share), low), high)
        return low + share * (high - low)

    def plain(self) -> dict[str, Any]:
        """As a profile has it."""
        return {"quantiles": list(self.values)}


class Distribution:
    """A mixture of parts, often of one.

    Parameters
    ----------
    parts : sequence of (float, Lognormal or Quantiles)
        Each with its share; the shares add up to 1.
    """

    def __init__(self, parts: Sequence[tuple[float, Lognormal | Quantiles]]):
        self.parts = tuple(parts)
        self.least = min(part.least for _, part in parts)
        self.most = max(part.most for _, part in parts)
        self._ends = list(accumulate(share for share, _ in parts))

    def value_at(self, quantile: float) -> float:
        """The value of a draw from [0, 1): it chooses the part, and the value in it.

        Examples
        --------
        >>> Distribution.parse({"median": 10.0, "sigma": 0.5}).value_at(0.5)
        10.0
        """
        if len(self.parts) == 1:
            return self.parts[0][1].value_at(quantile)
        place = min(bisect_right(self._ends, quantile), len(self.parts) - 1)
        share, part = self.parts[place]
        before = self._ends[place] - share
        return part.value_at(min(max((quantile - before) / share, 0.0), 1.0))

    def quantile_of(self, value: float) -> float:
        """The share of draws below a value, by bisection."""
        low, high = 0.0, 1.0
        for _ in range(40):
            middle = (low + high) / 2
            if self.value_at(middle) < value:
                low = middle
            else:
                high = middle
        return low

    @classmethod
    def constant(cls, value: float) -> Distribution:
        """One value and no other."""
        return cls([(1.0, Lognormal(value, 0.0, value, value))])

    @classmethod
    def parse(cls, plain: Any) -> Distribution:
        """A distribution of what a profile says.

        Raises
        ------
        ValueError
            With what was expected.
        """
        if isinstance(plain, int | float):
            return cls.constant(_number("a number", plain))
        if isinstance(plain, dict):
            return cls([(1.0, _part(plain))])
        if not isinstance(plain, list) or not plain:
            raise ValueError("expected a number, a table or a list of tables")
        parts = []
        for each in plain:
            if not isinstance(each, dict):
                raise ValueError(f"a mixture: expected tables, got {each!r}")
            share = _number("share", each.get("share"))
            if not 0 < share <= 1:
                raise ValueError(f"share: expected a number above 0 and at most 1, got {share}")
            parts.append((share, _part({k: v for k, v in each.items() if k != "share"})))
        total = math.fsum(share for share, _ in parts)
        if abs(total - 1) > 0.005:
            raise ValueError(f"the shares of a mixture add up to {total:.4g}: expected 1")
        return cls([(share / total, part) for share, part in parts])

    def plain(self) -> Any:
        """As a profile has it."""
        if self.least == self.most:
            return self.least
        if len(self.parts) == 1:
            return self.parts[0][1].plain()
        return [{"share": share, **part.plain()} for share, part in self.parts]


def _part(plain: dict[str, Any]) -> Lognormal | Quantiles:
    if "quantiles" in plain:
        if len(plain) > 1:
            raise ValueError("quantiles: no other key may stand beside them")
        return _quantiles(plain["quantiles"])
    if "median" not in plain:
        raise ValueError("expected 'median' and 'sigma', or 'quantiles'")
    unknown = sorted(set(plain) - {"median", "sigma", "least", "most"})
    if unknown:
        raise ValueError(f"unknown key {unknown[0]!r}; known: least, median, most, sigma")
    median, sigma = (_number(name, plain.get(name)) for name in ("median", "sigma"))
    least = _number("least", plain.get("least", 0.0))
    most = _number("most", plain.get("most", LARGEST))
    if median <= 0 or sigma > 10:
        raise ValueError("expected a median above 0 and a sigma of at most 10")
    if least > most:
        raise ValueError(f"expected least <= most, got {least:g} and {most:g}")
    return Lognormal(median, sigma, least, most)


def _quantiles(values: Any) -> Quantiles:
    if not isinstance(values, list) or len(values) != len(GRID):
        raise ValueError(
            f"quantiles: expected {len(GRID)} values, at 0, 0.1, 1, 5, 10, ... 95, 99, 99.9 and "
            "100 %"
        )
    numbers = [_number("quantiles", value) for value in values]
    if numbers != sorted(numbers):
        raise ValueError("quantiles: expected values that never fall")
    return Quantiles(numbers)


def _number(name: str, value: Any) -> float:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not 0 <= value <= LARGEST:
        raise ValueError(f"{name}: expected a number from 0 to {LARGEST:.0e}, got {value!r}")
    return float(value)
