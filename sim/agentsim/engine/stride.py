"""A run of equal decisions: steps of the decode group alone, decided at once, cut when need be."""

from __future__ import annotations

from bisect import bisect_left

import numpy as np
import numpy.typing as npt

from agentsim.domain.batch import BatchShape

IntArray = npt.NDArray[np.int64]


class Stride:
    """Steps that are alike but for the context that grows.

    Parameters
    ----------
    now_ns : int
        When the first of them is decided.
    starts_ns : int
        When the first of them starts to execute: now, or the end of the step in flight.
    durations_ns : ndarray of int64, shape (num_steps,)
        How long each executes.
    is_async : bool
        Whether a step is decided while the one before it executes.
    shape : BatchShape
        Of the first step.
    """

    def __init__(
        self,
        now_ns: int,
        starts_ns: int,
        durations_ns: IntArray,
        is_async: bool,
        shape: BatchShape,
    ) -> None:
        self.shape = shape
        self.starts_ns = starts_ns
        self.ends_ns = starts_ns + np.cumsum(durations_ns)
        self.num_steps = len(durations_ns)
        self.arrivals: list[int] = []  # for each request that came meanwhile: the step it missed
        ends = [int(end) for end in self.ends_ns]
        #: when each step is decided, and when the one after the last would be
        self.decided_ns = [now_ns, starts_ns, *ends[:-1]] if is_async else [now_ns, *ends]

    @property
    def over_ns(self) -> int:
        """When the step after these is decided."""
        return self.decided_ns[self.num_steps]

    def num_decided(self, now_ns: int) -> int:
        """Steps decided before now, at least one."""
        return max(1, bisect_left(self.decided_ns, now_ns, 0, self.num_steps + 1))

    def cut(self, num_steps: int) -> None:
        """Keep only the first `num_steps`."""
        if num_steps < self.num_steps:
            self.num_steps = num_steps
            self.ends_ns = self.ends_ns[:num_steps]
