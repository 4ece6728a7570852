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
        """Decide the next steps."""
        self._begins_at = -1
        num_stable = 0 if self._exact else self.batcher.stable_steps()
        if num_stable > 1:
            self._begin_stride(num_stable)
        else:
            self._begin_steps()
        if self._check:
            self.batcher.check()

    def _begin_steps(self) -> None:
        batcher = self.batcher
        while len(batcher.in_flight) <= batcher.lag and batcher.has_unfinished:
            free_before = batcher.pool.num_free
            batch = batcher.schedule()
            for sequence in batch.preempted:
                if sequence.lost_ns < 0:
                    sequence.lost_ns = self.env.now_ns
            if batch.shape.num_tokens:
                self._launch(batch)
                continue
            batcher.in_flight.remove(batch)
            if batcher.in_flight:
                break
            if not batch.preempted:
                raise InvariantBroken(
                    f"replica {self._number}, {self.env.now_ns} ns: nothing can be scheduled with "
                    f"{batcher.num_running} running, {len(batcher.waiting)} waiting and "
                    f"{free_before} free blocks"
                )
        if batcher.in_flight:
            self._end_at(batcher.in_flight[0].end_ns)

    def _launch(self, batch: Batch) -> None:
        """Let the GPU run it after what is in flight."""
        batcher = self.batcher
        ahead = [other.end_ns for other in batcher.in_flight if other is not batch]
        batch.start_ns = max([self.env.now_ns, *ahead])
        batch.end_ns = batch.start_ns + self.cost.step_ns(batch.shape)
        for sequence in batch.admitted:
            if sequence.scheduled_ns < 0:
                sequence.scheduled_ns = batch.start_ns
        self._rows[batch] = step_row(
            batch.shape,
            replica=self._number,
            start_ns=batch.start_ns,
            end_ns=batch.end_ns,
            recomputed_tokens=batch.recomputed,
            running=batcher.num_running,
            waiting=len(batcher.waiting),
            used_blocks=batcher.pool.num_blocks - batcher.pool.num_free,
            evicted_blocks=batch.evicted,
            preempted=len(batch.preempted),
        )

    def _end(self, _: simpy.Event) -> None:
        """Take in the output of what has ended now."""
        if self.env.now_ns != self._ends_at:
            return
        self._ends_at = -1
        if self._stride is not None:
            self._end_stride()
        else:
            self._take_in(self.batcher.in_flight[0])
        if self.batcher.has_unfinished or self.batcher.in_flight:
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
        batcher, stride = self.batcher, self._stride
        assert stride is not None
        self._stride = None
        num_steps, num_members = stride.num_steps, stride.shape.num_seqs
        ends = stride.ends_ns
        starts = np.concatenate(([stride.starts_ns], ends[:-1]))
        steps = np.arange(num_steps)
        cycle = np.resize(np.array(batcher.group.needs_cycle, dtype=np.int64), num_steps)
        taken = np.cumsum(cycle)
        evicted = np.maximum(0, taken - batcher.pool.blank)
        waiting = np.full(num_steps, self._stride_waiting, dtype=np.int64)
        for missed in stride.arrivals:
            waiting[missed:] += 1
        changes = {
            "start_ns": starts,
            "end_ns": ends,
            "decode_context": stride.shape.decode_context + num_members * steps,
            "window_decode_context": stride.shape.window_decode_context
            + batcher.group.window_growth * steps,
            "used_blocks": batcher.pool.num_blocks - batcher.pool.num_free + taken,
            "evicted_blocks": np.diff(evicted, prepend=0),
            "waiting": waiting,
        }
        first = step_row(
            stride.shape,
            replica=self._number,
            new_tokens=num_members,
            running=batcher.num_running,
        )
        gaps = ends - np.concatenate(([batcher.last_end_ns], ends[:-1]))
        if batcher.lag:
            in_flight = batcher.in_flight[0]
            self._take_in(in_flight)
            gaps = gaps[:-1].copy()
            gaps[:1] = ends[:1] - in_flight.end_ns
            last = StepRow(first)
            last.set(new_tokens=0, **{name: int(column[-1]) for name, column in changes.items()})
            changes = {name: column[:-1] for name, column in changes.items()}
        delivered = num_steps - batcher.lag
        batcher.repeat(num_steps, int(ends[delivered - 1]) if delivered else batcher.last_end_ns)
        if delivered:
            self.steps.add_stride(first, changes)
            self.steps.add_equal_gaps(gaps, num_members)
        if batcher.lag:
            batch = batcher.in_flight[0]
            batch.start_ns, batch.end_ns = int(starts[-1]), int(ends[-1])
            self._rows[batch] = last
