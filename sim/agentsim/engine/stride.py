"""A run of equal decisions: steps of the decode group alone, decided at once, cut when need be."""

from __future__ import annotations

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
    num_waiting : int
        Requests in the queue.
    """

    def __init__(
        self,
        now_ns: int,
        starts_ns: int,
        durations_ns: IntArray,
        is_async: bool,
        *,
        shape: BatchShape,
        num_waiting: int,
    ) -> None:
        self.shape = shape
        self.starts_ns = starts_ns
        self.ends_ns: IntArray = durations_ns.cumsum()
        self.ends_ns += starts_ns
        self.num_steps = len(durations_ns)
        self.num_waiting = num_waiting
        self.arrivals: list[int] = []  # for each request that came meanwhile: the step it missed
        self._now_ns = now_ns
        self._is_async = is_async

    @property
    def over_ns(self) -> int:
        """When the step after these is decided."""
        last = self.num_steps - 1 - self._is_async
        return int(self.ends_ns[last]) if last >= 0 else self.starts_ns

    def num_decided(self, now_ns: int) -> int:
        """Steps decided before now, at least one."""
        if now_ns <= self._now_ns:
            return 1
        if not self._is_async:
            return 1 + int(self.ends_ns.searchsorted(now_ns))
        if now_ns <= self.starts_ns:
            return 1
        return 2 + int(self.ends_ns[: self.num_steps - 1].searchsorted(now_ns))

    def cut(self, num_steps: int) -> None:
        """Keep only the first `num_steps`."""
        if num_steps < self.num_steps:
            self.num_steps = num_steps
            self.ends_ns = self.ends_ns[:num_steps]
