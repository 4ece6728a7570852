"""The step loop of one engine.

At each BEGIN the batcher decides the next step. Synchronous: it runs, its output is taken in, the
next is decided. Asynchronous (vLLM's default on GPUs): the next is decided while it runs, so that
two are in flight. Where many equal steps follow, they are taken as one `Stride`; ``exact`` takes
each by itself. Both ways give the same columns, bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
import numpy.typing as npt
import simpy

from agentsim.domain.batch import BatchShape
from agentsim.engine.batch import Batch
from agentsim.engine.batcher import Batcher
from agentsim.engine.clock import Clock, Phase
from agentsim.engine.recorder import StepRecorder, StepRow, step_row
from agentsim.engine.sequence import Sequence
from agentsim.engine.stride import Stride
from agentsim.errors import InvariantBroken

#: strides longer than this are taken in parts
MAX_STRIDE = 1 << 14


class StepCost(Protocol):
    """How long steps take, in integer nanoseconds, each at least 1."""

    def step_ns(self, shape: BatchShape) -> int:
        """Duration of one step."""

    def decode_steps_ns(
        self, shape: BatchShape, num_steps: int, window_growth: int
    ) -> npt.NDArray[np.int64]:
        """Durations of `num_steps` steps of a decode batch, the first of them of this shape; each
        equals `step_ns` of its own shape."""


class Replica:
    """One engine on its GPUs.

    Parameters
    ----------
    env : Clock
    batcher : Batcher
    cost : StepCost
    finished : callable
        Called with each sequence that is answered in full, at that time.
    exact : bool
        Take every step by itself.
    check : bool
        Check the laws of the block pool after every decision.
    """

    def __init__(
        self,
        env: Clock,
        batcher: Batcher,
        cost: StepCost,
        finished: Callable[[Sequence], None],
        *,
        number: int = 0,
        exact: bool = False,
        check: bool = False,
    ) -> None:
        self.env = env
        self.batcher = batcher
        self.cost = cost
        self.steps = StepRecorder()
        self._finished = finished
        self._number = number
        self._exact = exact
        self._check = check
        self._stride: Stride | None = None
        self._stride_waiting = 0
        self._rows: dict[Batch, StepRow] = {}  # of the steps in flight
        self._begins_at = -1
        self._ends_at = -1

    def enqueue(self, sequence: Sequence) -> None:
        """A request arrives (in `Phase.ROUTE`)."""
        might_admit = self.batcher.might_admit()
        self.batcher.add(sequence)
        stride = self._stride
        if stride is None:
            if not self.batcher.in_flight:
                self._begin_at(self.env.now_ns)
        elif might_admit:
            stride.cut(stride.num_decided(self.env.now_ns))
            self._end_at(stride.over_ns)
        else:
            stride.arrivals.append(stride.num_decided(self.env.now_ns))

    def _begin_at(self, when_ns: int) -> None:
        if self._begins_at != when_ns:
            self._begins_at = when_ns
            self.env.at(when_ns, Phase.BEGIN, self._begin)

    def _end_at(self, when_ns: int) -> None:
        """Set the alarm; one that has become stale does no harm."""
        self._ends_at = when_ns
        self.env.at(when_ns, Phase.END, self._end)

    def _begin(self, _: simpy.Event) -> None:
        self._begins_at = -1
        self._decide()

    def _decide(self) -> None:
        """Decide the next steps."""
        num_stable = 0 if self._exact else self.batcher.stable_steps()
        if num_stable > 1:
            self._begin_stride(num_stable)
        else:
            self._begin_steps()
        if self._check:
            self.batcher.check()

    def _begin_steps(self) -> None:
        batcher = self.batcher
        num_preempted = 0
        while len(batcher.in_flight) <= batcher.lag and batcher.has_unfinished:
            free_before = batcher.pool.num_free
            batch = batcher.schedule()
            for sequence in batch.preempted:
                if sequence.lost_ns < 0:
                    sequence.lost_ns = self.env.now_ns
            num_preempted += len(batch.preempted)
            if batch.shape.num_tokens:
                self._launch(batch, num_preempted)
                num_preempted = 0
                continue
            batcher.in_flight.remove(batch)
            if batcher.in_flight:  # no step may follow: what is in flight can be the last
                self._rows[batcher.in_flight[0]].add(preempted=num_preempted)
                break
            if not batch.preempted:
                raise InvariantBroken(
                    f"replica {self._number}, {self.env.now_ns} ns: nothing can be scheduled with "
                    f"{batcher.num_running} running, {len(batcher.waiting)} waiting and "
                    f"{free_before} free blocks"
                )
        if batcher.in_flight:
            self._end_at(batcher.in_flight[0].end_ns)

    def _launch(self, batch: Batch, num_preempted: int) -> None:
        """Let the GPU run it after what is in flight."""
        batcher = self.batcher
        start = self.env.now_ns
        for other in batcher.in_flight:
            start = max(start, other.end_ns)  # of the batch itself it is still 0
        batch.start_ns = start
        batch.end_ns = batch.start_ns + self.cost.step_ns(batch.shape)
        for sequence in batch.admitted:
            if sequence.scheduled_ns < 0:
                sequence.scheduled_ns = batch.start_ns
        pool = batcher.pool
        facts = (
            batch.recomputed,
            0,
            len(batcher.running),
            len(batcher.waiting),
            pool.num_blocks - pool.num_free,
            batch.evicted,
            num_preempted,
        )
        row = step_row(batch.shape, self._number, batch.start_ns, batch.end_ns, facts)
        self._rows[batch] = row

    def _end(self, _: simpy.Event) -> None:
        """Take in the output of what has ended now."""
        if self.env.now_ns != self._ends_at:
            return
        self._ends_at = -1
        if self._stride is not None:
            self._end_stride()
        else:
            self._take_in(self.batcher.in_flight[0])
        if not (self.batcher.has_unfinished or self.batcher.in_flight):
            return
        if self.env.peek() > self.env.now:  # nothing else happens in this instant
            self._decide()
        else:
            self._begin_at(self.env.now_ns)

    def _take_in(self, batch: Batch) -> None:
        self.batcher.update(batch)
        self.steps.add(self._rows.pop(batch).set(new_tokens=batch.num_delivered))
        self.steps.add_gaps(batch.gaps)
        for item in batch.items:
            if item.recovers and not item.is_stale:
                sequence = item.sequence
                sequence.recovering_ns += batch.end_ns - sequence.lost_ns
                sequence.lost_ns = -1
        for sequence in batch.finished:
            self._finished(sequence)

    def _begin_stride(self, num_stable: int) -> None:
        """Decide many equal steps at once, no more than fit before the next event of anybody."""
        batcher, now = self.batcher, self.env.now_ns
        shape = batcher.decode_shape()
        starts = batcher.in_flight[0].end_ns if batcher.lag else now
        ahead = self.env.peek() - starts
        if ahead < num_stable * self.cost.step_ns(shape):
            num_stable = min(num_stable, 2 + max(0, int(ahead)) // self.cost.step_ns(shape))
        num_steps = min(num_stable, MAX_STRIDE)
        growth = batcher.group.window_growth
        durations = self.cost.decode_steps_ns(shape, num_steps, growth)
        self._stride = Stride(now, starts, durations, bool(batcher.lag), shape)
        self._stride_waiting = len(batcher.waiting)
        self._end_at(self._stride.over_ns)

    def _end_stride(self) -> None:
        """Make the steps of the stride that were decided; all but one in flight have ended."""
        batcher, pool, stride = self.batcher, self.batcher.pool, self._stride
        assert stride is not None
        self._stride = None
        num_steps, num_members = stride.num_steps, stride.shape.num_seqs
        ends = stride.ends_ns
        growth = (num_members, batcher.group.window_growth)
        taken = np.cumsum(np.resize(np.array(batcher.group.needs_cycle), num_steps))
        used = pool.num_blocks - pool.num_free + taken
        varying = {"end_ns": ends, "start_ns": np.concatenate(([stride.starts_ns], ends[:-1]))}
        if taken[-1]:
            varying["used_blocks"] = used
        if taken[-1] > pool.blank:
            varying["evicted_blocks"] = np.diff(np.maximum(0, taken - pool.blank), prepend=0)
        if stride.arrivals:
            varying["waiting"] = np.full(num_steps, self._stride_waiting)
            for missed in stride.arrivals:
                varying["waiting"][missed:] += 1
        facts = (0, num_members, batcher.num_running, self._stride_waiting, int(used[0]), 0, 0)
        first = step_row(stride.shape, self._number, stride.starts_ns, int(ends[0]), facts)
        last: StepRow | None = None
        if batcher.lag:
            self._take_in(batcher.in_flight[0])
            last = StepRow(first)
            last.set(
                decode_context=stride.shape.decode_context + growth[0] * (num_steps - 1),
                window_decode_context=stride.shape.window_decode_context
                + growth[1] * (num_steps - 1),
                **{name: int(column[-1]) for name, column in varying.items()},
            )
            varying = {name: column[:-1] for name, column in varying.items()}
        delivered = num_steps - batcher.lag
        gaps = np.diff(ends[:delivered], prepend=batcher.last_end_ns)
        batcher.repeat(num_steps, int(ends[delivered - 1]) if delivered else batcher.last_end_ns)
        if delivered:
            self.steps.add_stride(first, growth, varying)
            self.steps.add_equal_gaps(gaps, num_members)
        if last is not None:
            batch = batcher.in_flight[0]
            batch.start_ns, batch.end_ns = last[2], last[3]
            self._rows[batch] = last
