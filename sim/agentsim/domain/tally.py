"""How often each value was seen: exact up to a number of distinct values, then rounded.

A million calls have their quantiles exactly; of more distinct values than `EXACT_VALUES` each is
rounded to 12 significant bits, which moves it, and so every quantile, by no more than `ROUNDING` of
itself. Number and sum stay exact. What comes out depends on the values alone, not on their order or
on how they were divided.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
IntArray = npt.NDArray[np.int64]

#: Distinct values up to which none is rounded.
EXACT_VALUES = 2**20
#: Largest relative error of a rounded value.
ROUNDING = 2.0**-12
_CELLS = 2**12
#: Values that wait for the others before they are merged, at least.
_PENDING = 2**16


class Tally:
    """Values >= 0, each with a count.

    Parameters
    ----------
    dtype : type
        ``np.int64`` or ``np.float64``.
    exact_values : int
        Distinct values up to which none is rounded.

    Attributes
    ----------
    count : int
        Of all values.
    total : int or float
        Their sum, of the values as they were added.
    """

    def __init__(self, dtype: type = np.int64, exact_values: int = EXACT_VALUES) -> None:
        self.count = 0
        self.total: int | float = 0
        self._exact_values = exact_values
        self._is_rounded = False
        self._merged: tuple[Array, IntArray] = np.zeros(0, dtype), np.zeros(0, np.int64)
        self._pending: list[tuple[Array, IntArray]] = []
        self._num_pending = 0

    def add(self, values: Array, counts: IntArray | None = None) -> None:
        """Count values: each once, or as often as `counts` says."""
        if counts is None:
            counts = np.ones(len(values), np.int64)
        self.count += int(counts.sum())
        self.total += _sum(values, counts)
        self._pending.append((values, counts))
        self._num_pending += len(values)
        if self._num_pending > max(_PENDING, len(self._merged[0]) // 2):
            self._merge()

    @property
    def is_rounded(self) -> bool:
        """Whether there were more distinct values than are kept."""
        self._merge()
        return self._is_rounded

    @property
    def values(self) -> Array:
        """Each value once, in order."""
        self._merge()
        return self._merged[0]

    @property
    def weights(self) -> IntArray:
        """How often each of `values` was seen."""
        self._merge()
        return self._merged[1]

    def _merge(self) -> None:
        if not self._pending:
            return
        parts = [self._merged, *self._pending]
        self._pending, self._num_pending = [], 0
        values = np.concatenate([part[0] for part in parts])
        counts = np.concatenate([part[1] for part in parts])
        if self._is_rounded:
            values = rounded(values)
        self._merged = _distinct(values, counts)
        if len(self._merged[0]) > self._exact_values and not self._is_rounded:
            self._is_rounded = True
            self._merged = _distinct(rounded(self._merged[0]), self._merged[1])


def rounded(values: Array) -> Array:
    """Values >= 0 in 12 significant bits: the middle of the cell in which each lies."""
    mantissa, exponent = np.frexp(values.astype(np.float64))
    middle = np.ldexp((np.floor(mantissa * _CELLS) + 0.5) / _CELLS, exponent)
    found: Array = np.where(values == 0, 0, middle).astype(values.dtype)
    return found


def _distinct(values: Array, counts: IntArray) -> tuple[Array, IntArray]:
    """Each value once, in order, with the sum of its counts."""
    if not len(values):
        return values, counts
    order = np.argsort(values, kind="stable")
    values = values[order]
    first = np.flatnonzero(np.concatenate([[True], values[1:] != values[:-1]]))
    return values[first], np.add.reduceat(counts[order], first)


def _sum(values: Array, counts: IntArray) -> int | float:
    """The sum of values times counts; of integers exact, however long they are."""
    if values.dtype.kind == "f":
        return float((values * counts).sum())
    # in parts of 16 bits, whose sums fit in 64 bits with counts up to 2^30 of 2^17 values
    total = int(((values >> 48) * counts).sum()) << 48
    for shift in (0, 16, 32):
        total += int(((values >> shift & 0xFFFF) * counts).sum()) << shift
    return total
