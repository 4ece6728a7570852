"""The one continuous batcher: what each step computes, and what its output changes.

It takes vLLM 0.32's decisions (v1/core/sched/scheduler.py: `schedule`, `update_from_output`;
async_scheduler.py), and it alone takes and returns blocks. Sequences that only decode are scheduled
together (`group`); all others, and all where order matters, one by one. `continuation` gives those
that run their tokens, `admission` takes in those that wait, `delivery` what comes out.
"""

from __future__ import annotations

import bisect

from agentsim.domain.batch import BatchShape, shape_of
from agentsim.engine.admission import Admission
from agentsim.engine.batch import Batch, Item, add_up, grouped_item
from agentsim.engine.budget import Budget
from agentsim.engine.continuation import Continuation
from agentsim.engine.delivery import Delivery
from agentsim.engine.group import DecodeGroup
from agentsim.engine.loading import LoadingAdmission
from agentsim.engine.memory import Memory
from agentsim.engine.offload import Offload
from agentsim.engine.queue import WaitingQueue
from agentsim.engine.rules import Rules
from agentsim.engine.sequence import Sequence, Status
from agentsim.errors import InvariantBroken
from agentsim.machine.blocks import BlockTable
from agentsim.machine.host_memory import HostMemory
from agentsim.machine.laws import check_pool
from agentsim.policies.evictions import EvictionOrder, make_eviction
from agentsim.policies.schedulers import make_policy


class Batcher:
    """Queues and blocks of one engine.

    Parameters
    ----------
    rules : Rules
        The settings.
    window : int or None
        Sliding window of the model in tokens, for the sums a step's duration depends on.
    host : HostMemory or None
        CPU memory that KV blocks are offloaded to.
    eviction : EvictionOrder or None
        In place of the one that `rules` names.
    """

    def __init__(
        self,
        rules: Rules,
        window: int | None = None,
        host: HostMemory | None = None,
        eviction: EvictionOrder | None = None,
    ) -> None:
        self.rules = rules
        self.window = window
        self.policy = make_policy(rules.policy)
        self.waiting = WaitingQueue(self.policy)
        self.running: dict[Sequence, None] = {}  # in order of admission
        self.lag = 1 if rules.async_scheduling else 0
        self.group = DecodeGroup(rules.block_size, self.lag, window)
        order = make_eviction(rules.eviction) if eviction is None else eviction
        self.memory = Memory(rules, self.group, order)
        self.pool = self.memory.pool
        self.loose: list[Sequence] = []  # running and not in the group, in order of admission
        self.in_flight: list[Batch] = []  # scheduled, output not yet taken in
        self.last_end_ns = 0  # end of the last step whose output was taken in
        self._arrivals = 0
        self._max_active = rules.max_active
        self.offload = None if host is None else Offload(self.pool, host)
        self._released_late: list[BlockTable] = []  # with the output of the step in flight
        self.may_group = not rules.num_speculative_tokens and self.offload is None
        # which steps evict is foreseen with the two-ended queue alone
        self._may_stride = self.may_group and rules.two_ended_free_queue
        self._continuation = Continuation(self)
        self._admission = (
            Admission(self) if self.offload is None else LoadingAdmission(self, self.offload)
        )
        self._delivery = Delivery(self)

    @property
    def num_running(self) -> int:
        """Requests admitted and not finished."""
        return len(self.running)

    @property
    def has_unfinished(self) -> bool:
        """Whether any request waits or runs."""
        return bool(self.running) or self.num_waiting > 0

    @property
    def num_waiting(self) -> int:
        """Requests that wait for their turn, or for blocks from CPU memory."""
        return len(self.waiting) + (0 if self.offload is None else len(self.offload.holding))

    def add(self, sequence: Sequence) -> None:
        """A request arrives."""
        sequence.arrival = self._arrivals
        self._arrivals += 1
        if sequence.table.tip is not None:
            sequence.table.tip.owner = sequence
        self.waiting.push(sequence)

    def schedule(self) -> Batch:
        """Decide the next step: its blocks are taken, its tokens count as computed."""
        batch = Batch()
        budget = self.new_budget()
        prefill_ran = self._continuation.schedule(batch, budget)
        if self.num_waiting and not batch.preempted:
            self._admission.admit_waiting(batch, budget, prefill_ran)
        if self.offload is not None:
            self.offload.store_full_blocks(batch)
        if batch.items:
            self._count(batch)
        for sequence, num_steps in self.group.take_leavers(self.lag + 1):
            if num_steps > 1:
                self.left_in_flight(sequence)
            self._let_go(sequence, batch)
        self.in_flight.append(batch)
        if self.lag and batch.items:
            self._regroup(batch)
        return batch

    def update(self, batch: Batch) -> None:
        """Take in the output of a batch that has run, at its `end_ns`."""
        self.in_flight.remove(batch)
        if batch.items:
            for table in self._released_late:
                self.pool.release(table)
            self._released_late.clear()
        self._delivery.take_in(batch)
        self.last_end_ns = batch.end_ns
        if not self.lag and batch.items:
            self._regroup(batch)

    def drop(self, sequence: Sequence) -> bool:
        """End a sequence whose client gave up, unless it has ended; whether it did."""
        if sequence.status is Status.FINISHED:
            return False
        self._delivery.drop(sequence)
        return True

    def stable_steps(self) -> int:
        """How many steps, if nobody arrives, are all of the decode group and nothing else.

        For some members the last of them may be their last. 0 where a step may bring anything
        else, which is always right: `schedule` forms any step.
        """
        if self.loose or not self._may_stride or len(self.in_flight) != self.lag:
            return 0
        group = self.group
        num_members = group.num_members
        if not num_members or num_members > self.rules.max_num_batched_tokens:
            return 0
        if self.lag and not self.in_flight[0].is_quiet:
            return 0
        if len(self.waiting) and self._admission.may_admit_head():
            return 0
        steps = group.steps_to_change()
        if (self.pool.num_free // num_members) * group.block_size < steps:
            steps = min(steps, group.steps_within(self.pool.num_free))
        return steps

    def repeat(self, num_steps: int) -> Batch:
        """Make `num_steps` of the stable steps, and return the last of them, now in flight.

        All before it have ended, and their output counts as taken in.
        """
        group, needs = self.group, self.group.needs(num_steps)
        batch = Batch(group.num_members)
        last_need = needs[-1]
        self.pool.take(sum(needs) - last_need)
        batch.evicted = self.pool.take(last_need)
        group.advance(num_steps - 1)
        batch.shape = self.decode_shape()
        group.advance(1)
        for sequence, _ in group.take_leavers(1):
            self._let_go(sequence, batch)
        self.in_flight.append(batch)
        return batch

    def check(self) -> None:
        """The laws of the block pool, and of the queues.

        Raises
        ------
        InvariantBroken
        """
        for sequence in self.group:
            self.memory.settle(sequence)
        tables = [sequence.table for sequence in self.running] + self._released_late
        if self.offload is not None:
            self.offload.check()
            tables += self.offload.tables()
        check_pool(self.pool, tables)
        grouped = self.group.num_members
        if grouped + len(self.loose) != self.num_running:
            raise InvariantBroken(
                f"batcher: {self.num_running} running, but {grouped} in the group and "
                f"{len(self.loose)} out of it"
            )
        context = sum(self.group.computed(sequence) for sequence in self.group)
        if context != self.group.context:
            raise InvariantBroken(f"batcher: context {self.group.context}, not {context}")

    def decode_shape(self) -> BatchShape:
        """The next step's shape if it is of the decode group alone."""
        group = self.group
        num = group.num_members
        return shape_of(
            (num, num, num, 0, 0, 0, group.context + num, 0, 0, group.window_context, 0)
        )

    def might_admit(self) -> bool:
        """Whether a request that arrives now could change what the next step is."""
        rules = self.rules
        if len(self.running) >= self._max_active:
            return False
        if self.group.num_members >= rules.max_num_batched_tokens:
            return False
        # the more requests, the smaller the adaptive cap, and the sooner the head's chunk fits
        is_adaptive = rules.long_prefill_token_threshold and rules.adaptive_long_prefill_threshold
        return self.policy.can_overtake or not len(self.waiting) or bool(is_adaptive)

    def new_budget(self) -> Budget:
        """What a step may compute, before anything is scheduled."""
        return Budget(self.rules, len(self.running) + self.num_waiting)

    def place(self, item: Item, num_blocks: int, batch: Batch) -> None:
        """Take the blocks of an item, enter what it fills in the cache, put it into the batch."""
        sequence = item.sequence
        if num_blocks:
            batch.evicted += self.pool.take(num_blocks)
            sequence.table.held += num_blocks
        after = item.computed_before + item.num_tokens
        whole = sequence.num_prompt + sequence.outputs
        self.memory.cache(sequence, after if after < whole else whole)
        batch.items.append(item)

    def is_written(self, sequence: Sequence) -> bool:
        """Whether a step in flight may still write to a sequence's blocks, where that matters: a
        load might fill them again before (vLLM's `defer_block_free`)."""
        if self.offload is None:
            return False
        return any(item.sequence is sequence for batch in self.in_flight for item in batch.items)

    def release(self, sequence: Sequence) -> None:
        """Give back the blocks of a running sequence that ends."""
        if self.is_written(sequence):
            self._released_late.append(sequence.table)
        else:
            self.pool.release(sequence.table)

    def left_in_flight(self, sequence: Sequence) -> None:
        """From now on a sequence stands by itself in the step that is in flight."""
        for batch in self.in_flight:
            batch.items.append(grouped_item(sequence))
            batch.num_grouped -= 1

    # -- what a step changes

    def _count(self, batch: Batch) -> None:
        """Count the tokens of the items as computed, and add them to the batch's shape."""
        sums = list(batch.shape)
        for item in batch.items:
            sequence = item.sequence
            if sequence.high_water:
                self._recover(batch, item)
            sequence.computed += item.num_tokens
            whole = sequence.num_prompt + sequence.outputs + sequence.placeholders
            sequence.is_prefill_chunk = sequence.computed < whole
            item.samples = not sequence.is_prefill_chunk
            if self.lag and item.samples:
                sequence.placeholders += 1 + item.num_drafts
                sequence.drafts = self.rules.num_speculative_tokens
            add_up(sums, item, self.window)
        batch.shape = shape_of(tuple(sums))

    def _let_go(self, sequence: Sequence, batch: Batch) -> None:
        """A sequence has left the group, with this batch as its last step in it."""
        self.memory.settle(sequence)
        batch.items.append(grouped_item(sequence))
        batch.num_grouped -= 1
        bisect.insort(self.loose, sequence, key=_admission_of)

    def _recover(self, batch: Batch, item: Item) -> None:
        """Count what of an item was computed before and lost, and see whether that is all."""
        sequence, before = item.sequence, item.computed_before
        again = max(0, min(item.num_tokens, sequence.high_water - before))
        sequence.recomputed += again
        batch.recomputed += again
        item.recovers = before + item.num_tokens >= sequence.high_water
        if item.recovers:
            sequence.high_water = 0

    def _regroup(self, batch: Batch) -> None:
        """Let those of a batch that only decode from now on join the group."""
        if not self.may_group:
            return
        joined = False
        for item in batch.items:
            sequence = item.sequence
            made = sequence.outputs + sequence.placeholders
            if (
                item.samples
                and sequence.joined < 0
                and sequence.num_prompt + made - sequence.computed == 1
                and sequence.status is Status.RUNNING
            ):
                is_foreseen = not self.lag or self._end_is_foreseen(sequence)
                steps = sequence.num_output - made + (not is_foreseen)
                if steps > 0:
                    self.group.join(sequence, steps, is_foreseen)
                    joined = True
        if joined:
            self.loose = [sequence for sequence in self.loose if sequence.joined < 0]

    def _end_is_foreseen(self, sequence: Sequence) -> bool:
        longest = min(sequence.max_tokens, self.rules.max_model_len - sequence.num_prompt)
        return sequence.num_output >= longest


def _admission_of(sequence: Sequence) -> int:
    return sequence.admission
