"""Unions of time intervals."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Cover:
    """A union of time intervals, to be asked how much of the time before an instant it covers.

    Attributes
    ----------
    starts, ends : ndarray of int64
        Its parts, which do not touch, in order.
    before : ndarray of int64
        Nanoseconds covered before each of them.
    """

    starts: IntArray
    ends: IntArray
    before: IntArray

    @classmethod
    def of(cls, starts: IntArray, ends: IntArray) -> Cover:
        """The union of the intervals [start, end)."""
        order = np.argsort(starts, kind="stable")
        starts, reach = starts[order], np.maximum.accumulate(ends[order])
        is_first = np.ones(len(starts), np.bool_)
        is_first[1:] = starts[1:] > reach[:-1]
        first = np.flatnonzero(is_first)
        last = np.append(first[1:], len(starts))[: len(first)] - 1
        starts, ends = starts[first], reach[last]
        lengths = np.cumsum(ends - starts)
        return cls(starts, ends, lengths - (ends - starts))

    @classmethod
    def union(cls, covers: Iterable[Cover]) -> Cover:
        """What any of them covers."""
        whole, waiting, num_waiting = cls.nothing(), list[Cover](), 0
        for cover in covers:
            waiting.append(cover)
            num_waiting += len(cover.starts)
            if num_waiting > len(whole.starts):  # so that each interval is merged few times
                whole, waiting, num_waiting = cls._merged([whole, *waiting]), [], 0
        return cls._merged([whole, *waiting])

    @classmethod
    def nothing(cls) -> Cover:
        """No time at all."""
        none = np.zeros(0, np.int64)
        return cls(none, none, none)

    @classmethod
    def _merged(cls, covers: list[Cover]) -> Cover:
        starts, ends = ([getattr(cover, edge) for cover in covers] for edge in ("starts", "ends"))
        return cls.of(np.concatenate(starts), np.concatenate(ends))

    def until(self, when_ns: IntArray) -> IntArray:
        """Nanoseconds covered before each instant."""
        if not len(self.starts):
            return np.zeros(len(when_ns), np.int64)
        place = np.searchsorted(self.starts, when_ns, side="right") - 1
        known = np.maximum(place, 0)
        covered = self.before[known] + np.minimum(when_ns, self.ends[known]) - self.starts[known]
        return np.where(place < 0, 0, covered)

    def within(self, starts: IntArray, ends: IntArray) -> IntArray:
        """Nanoseconds covered inside each interval."""
        return self.until(ends) - self.until(starts)
