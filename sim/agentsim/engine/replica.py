"""The step loop of one engine.

At each BEGIN the batcher decides the next step. Synchronous: it runs, its output is taken in, the
next is decided. Asynchronous (vLLM's default on GPUs): the next is decided while it runs, so that
two are in flight. Where many equal steps follow, they are taken as one `Stride`; ``exact`` takes
each by itself. Both ways give the same columns, bit for bit.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from typing import Protocol

import numpy as np
import numpy.typing as npt
import simpy

from agentsim.domain.batch import BatchShape
from agentsim.engine.batch import Batch
from agentsim.engine.batcher import Batcher
from agentsim.engine.clock import Clock, Phase
from agentsim.engine.host_link import HostLink
from agentsim.engine.ledger import Ledger
from agentsim.engine.recorder import StepRecorder
from agentsim.engine.sequence import Sequence
from agentsim.engine.stride import Stride
from agentsim.errors import InvariantBroken

#: strides longer than this are taken in parts
MAX_STRIDE = 1 << 14
#: for so many it is not worth looking when somebody else acts: a stride too long is cut
FEW_STEPS = 32


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
    ledger : Ledger
        What the steps are written down in.
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
        ledger: Ledger,
    ) -> None:
        self.env = env
        self.batcher = batcher
        self.cost = cost
        self.steps = StepRecorder(number, ledger)
        self._finished = finished
        self._number = number
        self._exact = exact
        self._check = check
        self.max_stride = MAX_STRIDE
        self._stride: Stride | None = None
        self._begins_at = -1
        self._ends_at = -1
        self._given_up: list[Sequence] = []
        offload = batcher.offload
        self._link = None if offload is None else HostLink(offload)
        self._evicted = 0  # by decisions that scheduled nothing, to be told with the next step

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

    def give_up(self, sequence: Sequence) -> None:
        """The client of a request waits no longer; it is dropped before the next decision."""
        self._given_up.append(sequence)
        stride = self._stride
        if stride is not None:
            stride.cut(stride.num_decided(self.env.now_ns))
            self._end_at(stride.over_ns)
        elif self._link is not None and not self.batcher.in_flight:  # all wait for transfers
            self._begin_at(self.env.now_ns)

    def _begin_at(self, when_ns: int) -> None:
        if self._begins_at != when_ns:
            self._begins_at = when_ns
            self.env.at(when_ns, Phase.BEGIN + self._number, self._begin)

    def _end_at(self, when_ns: int) -> None:
        """Set the alarm; one that has become stale does no harm."""
        self._ends_at = when_ns
        self.env.at(when_ns, Phase.END + self._number, self._end)

    def _begin(self, _: simpy.Event) -> None:
        self._begins_at = -1
        self._go_on(self.env.now_ns)

    def _end(self, _: simpy.Event) -> None:
        now_ns = self.env.now_ns
        if now_ns == self._ends_at and self._take_in_ended(now_ns):
            self._go_on(now_ns)

    def _go_on(self, now_ns: int) -> None:
        """Decide steps and take them in, until something else happens before they end."""
        while True:
            over_ns = self._decide(now_ns)
            if over_ns < 0:
                return
            if not self.env.go_to(over_ns):
                self._end_at(over_ns)
                return
            now_ns = over_ns
            if not self._take_in_ended(now_ns):
                return

    def _decide(self, now_ns: int) -> int:
        """Decide the next steps; when the first of those in flight will have ended, or -1."""
        if self._given_up:
            self._drop(now_ns)
        num_stable = 0 if self._exact else self.batcher.stable_steps()
        if num_stable > 1:
            over_ns = self._begin_stride(num_stable, now_ns)
        else:
            over_ns = self._begin_steps(now_ns)
        if self._check:
            self.batcher.check()
        return over_ns

    def _drop(self, now_ns: int) -> None:
        """Drop the requests whose clients gave up; these go on a nanosecond later, so that nothing
        arrives in an instant in which a replica has decided."""
        given_up, self._given_up = self._given_up, []
        for sequence in given_up:
            if self.batcher.drop(sequence):
                sequence.last_token_ns = now_ns + 1
                self._finished(sequence)

    def _take_in_ended(self, now_ns: int) -> bool:
        """Take in the output of what has ended now; whether to decide again in this instant."""
        self._ends_at = -1
        if self._stride is not None:
            self._end_stride(self._stride)
        elif self.batcher.in_flight:
            self._take_in(self.batcher.in_flight[0])
        if not (self.batcher.in_flight or self.batcher.has_unfinished):
            if self._link is not None:
                self._link.rest(now_ns)
            return False
        if self.env.peek() > now_ns:
            return True
        self._begin_at(now_ns)  # after what else happens now
        return False

    def _begin_steps(self, now_ns: int) -> int:
        batcher = self.batcher
        in_flight = batcher.in_flight
        num_preempted = 0
        if self._link is not None:
            self._link.wake(now_ns)
        while len(in_flight) <= batcher.lag and batcher.has_unfinished:
            batch = batcher.schedule()
            for sequence in batch.preempted:
                if sequence.lost_ns < 0:
                    sequence.lost_ns = now_ns
            num_preempted += len(batch.preempted)
            if batch.shape.num_tokens:
                self._launch(batch, num_preempted, now_ns)
                num_preempted = 0
                continue
            in_flight.remove(batch)
            if self._link is not None:
                self._link.launch(batch, now_ns, in_flight[0].end_ns if in_flight else now_ns)
                self._evicted += batch.evicted
            if in_flight:  # no step may follow: what is in flight can be the last
                in_flight[0].num_preempted += num_preempted
                break
            if not batch.preempted:
                if self._link is not None and (wake_ns := self._link.rest(now_ns)) >= 0:
                    return max(now_ns, wake_ns)
                raise InvariantBroken(
                    f"replica {self._number}, {now_ns} ns: nothing can be scheduled with "
                    f"{batcher.num_running} running, {len(batcher.waiting)} waiting and "
                    f"{batcher.pool.num_free} free blocks"
                )
        if in_flight:
            return in_flight[0].end_ns
        if self._link is not None:
            self._link.rest(now_ns)
        return -1

    def _launch(self, batch: Batch, num_preempted: int, now_ns: int) -> None:
        """Let the GPU run it after what is in flight."""
        batcher = self.batcher
        start_ns = now_ns
        for other in batcher.in_flight:
            start_ns = max(start_ns, other.end_ns)  # of the batch itself it is still 0
        if self._link is not None:
            start_ns = self._link.launch(batch, now_ns, start_ns)
            batch.evicted += self._evicted
            self._evicted = 0
        batch.start_ns = start_ns
        batch.end_ns = start_ns + self.cost.step_ns(batch.shape)
        for sequence in batch.admitted:
            if sequence.scheduled_ns < 0:
                sequence.scheduled_ns = start_ns
        batch.num_preempted = num_preempted
        self._note(batch, batcher.num_waiting)

    def _note(self, batch: Batch, num_waiting: int) -> None:
        """Note what is there after scheduling."""
        pool = self.batcher.pool
        batch.running = len(self.batcher.running)
        batch.waiting = num_waiting
        batch.used_blocks = pool.num_blocks - pool.num_free

    def _take_in(self, batch: Batch) -> None:
        self.batcher.update(batch)
        if self._link is not None:
            self._link.poll(batch.polled_ns)
        facts = (
            batch.recomputed,
            batch.num_delivered,
            batch.running,
            batch.waiting,
            batch.used_blocks,
            batch.evicted,
            batch.num_preempted,
        )
        self.steps.add(batch.start_ns, batch.end_ns, batch.shape, facts)
        for gap_ns, count in batch.gaps:
            self.steps.add_gap(gap_ns, count)
        for item in batch.items:
            if item.recovers and not item.is_stale:
                sequence = item.sequence
                sequence.recovering_ns += batch.end_ns - sequence.lost_ns
                sequence.lost_ns = -1
        for sequence in batch.finished:
            self._finished(sequence)

    def _begin_stride(self, num_stable: int, now_ns: int) -> int:
        """Decide many equal steps at once, no more than fit before the next event of anybody."""
        batcher = self.batcher
        shape = batcher.decode_shape()
        starts_ns = batcher.in_flight[0].end_ns if batcher.lag else now_ns
        num_steps = min(num_stable, self.max_stride)
        if num_steps > FEW_STEPS:
            ahead = self.env.next_ns - starts_ns
            shortest_ns = self.cost.step_ns(shape)
            if ahead < num_steps * shortest_ns:
                num_steps = min(num_steps, 2 + max(0, int(ahead)) // shortest_ns)
        growth = batcher.group.window_growth
        durations = self.cost.decode_steps_ns(shape, num_steps, growth)
        num_waiting = len(batcher.waiting)
        self._stride = Stride(
            now_ns, starts_ns, durations, bool(batcher.lag), shape=shape, num_waiting=num_waiting
        )
        return self._stride.over_ns

    def _end_stride(self, stride: Stride) -> None:
        """Make the steps of the stride that were decided; all but the last have ended."""
        batcher, pool, group = self.batcher, self.batcher.pool, self.batcher.group
        self._stride = None
        if batcher.lag:
            self._take_in(batcher.in_flight[0])
        num_steps, shape = stride.num_steps, stride.shape
        start_ns, ends_ns = stride.starts_ns, stride.ends_ns
        if num_steps > 1:
            used = pool.num_blocks - pool.num_free
            facts = (0, shape.num_seqs, batcher.num_running, stride.num_waiting, used, 0, 0)
            self.steps.add_stride(
                start_ns,
                ends_ns[:-1],
                shape,
                facts,
                window_growth=group.window_growth,
                needs=group.needs(num_steps - 1),
                blank=pool.blank,
                arrivals=stride.arrivals,
            )
            start_ns = batcher.last_end_ns = int(ends_ns[-2])
        last = batcher.repeat(num_steps)
        last.start_ns, last.end_ns = start_ns, int(ends_ns[-1])
        self._note(last, stride.num_waiting + bisect_left(stride.arrivals, num_steps))
        if not batcher.lag:
            self._take_in(last)
