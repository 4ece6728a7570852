"""The one continuous batcher: what each step computes, and what its output changes.

It takes vLLM 0.32's decisions (v1/core/sched/scheduler.py: `schedule`, `update_from_output`;
async_scheduler.py), and it alone takes and returns blocks. Sequences that only decode are scheduled
together (`group`); all others, and all where order matters, one by one. `admission` takes in those
that wait, `delivery` what comes out.
"""

from __future__ import annotations

import bisect

from agentsim.domain.batch import BatchShape
from agentsim.engine.admission import Admission
from agentsim.engine.batch import Batch, Item, add_up, grouped_item
from agentsim.engine.budget import Budget
from agentsim.engine.delivery import Delivery
from agentsim.engine.group import DecodeGroup
from agentsim.engine.memory import Memory
from agentsim.engine.rules import Rules
from agentsim.engine.sequence import Sequence, Status
from agentsim.errors import InvariantBroken
from agentsim.policies.schedulers import WaitingQueue, make_policy


class Batcher:
    """Queues and blocks of one engine.

    Parameters
    ----------
    rules : Rules
        The settings.
    window : int or None
        Sliding window of the model in tokens, for the sums a step's duration depends on.
    """

    def __init__(self, rules: Rules, window: int | None = None) -> None:
        self.rules = rules
        self.window = window
        self.policy = make_policy(rules.policy)
        self.waiting = WaitingQueue(self.policy)
        self.running: dict[Sequence, None] = {}  # in order of admission
        self.lag = 1 if rules.async_scheduling else 0
        self.group = DecodeGroup(rules.block_size, self.lag, window)
        self.memory = Memory(rules, self.group)
        self.pool = self.memory.pool
        self.loose: list[Sequence] = []  # running and not in the group, in order of admission
        self.in_flight: list[Batch] = []  # scheduled, output not yet taken in
        self._arrivals = 0
        self._admission = Admission(self)
        self._delivery = Delivery(self)
        self.last_end_ns = 0  # end of the last step whose output was taken in

    @property
    def num_running(self) -> int:
        """Requests admitted and not finished."""
        return len(self.running)

    @property
    def has_unfinished(self) -> bool:
        """Whether any request waits or runs."""
        return bool(self.running) or len(self.waiting) > 0

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
        if self.group.num_members and not self._group_comes_first(budget):
            self._dissolve()
        if self.group.num_members:
            self._schedule_group(batch, budget)
        prefill_ran = self._schedule_running(batch, budget)
        if not batch.preempted:
            self._admission.admit_waiting(batch, budget, prefill_ran)
        self._after_schedule(batch)
        return batch

    def update(self, batch: Batch) -> None:
        """Take in the output of a batch that has run, at its `end_ns`."""
        self.in_flight.remove(batch)
        self._delivery.take_in(batch)
        self.last_end_ns = batch.end_ns
        if not self.lag:
            self._regroup(batch)

    def stable_steps(self) -> int:
        """How many steps, if nobody arrives, are all of the decode group and nothing else.

        0 where a step may bring anything else, which is always right: `schedule` forms any step.
        """
        group = self.group
        if not group.num_members or self.loose or len(self.in_flight) != self.lag:
            return 0
        if not self.rules.two_ended_free_queue:  # which steps evict is not foreseen then
            return 0
        if not all(batch.is_pure for batch in self.in_flight):
            return 0
        steps = group.steps_to_change()
        if steps <= 0 or group.num_members > self.rules.max_num_batched_tokens:
            return 0
        if len(self.waiting) and self._admission.may_admit_head():
            return 0
        if (self.pool.num_free // group.num_members) * group.block_size < steps:
            steps = min(steps, group.steps_within(self.pool.num_free))
        return steps

    def repeat(self, num_steps: int, end_ns: int) -> None:
        """Make `num_steps` of the stable steps; all that was in flight has ended by `end_ns`.

        With asynchronous scheduling the last of them is in flight from now on.
        """
        group = self.group
        cycles, rest = divmod(num_steps, group.block_size)
        self.pool.take(cycles * group.num_members + sum(group.needs_cycle[:rest]))
        group.advance(num_steps)
        self.last_end_ns = end_ns
        if self.lag:
            self.in_flight[:] = [Batch(num_grouped=group.num_members)]

    def check(self) -> None:
        """The laws of the block pool, and of the queues.

        Raises
        ------
        InvariantBroken
        """
        for sequence in self.group:
            self.memory.settle(sequence)
        self.pool.check(sequence.table for sequence in self.running)
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
        return BatchShape(
            num_tokens=num,
            num_seqs=num,
            num_sampled=num,
            decode_context=group.context + num,
            window_decode_context=group.window_context,
        )

    def might_admit(self) -> bool:
        """Whether a request that arrives now could change what the next step is."""
        rules = self.rules
        if self.num_running >= rules.max_active:
            return False
        if self.group.num_members >= rules.max_num_batched_tokens:
            return False
        # the more requests, the smaller the adaptive cap, and the sooner the head's chunk fits
        is_adaptive = rules.long_prefill_token_threshold and rules.adaptive_long_prefill_threshold
        return self.policy.can_overtake or not len(self.waiting) or bool(is_adaptive)

    # -- running requests

    def _group_comes_first(self, budget: Budget) -> bool:
        """Whether scheduling the group before all others is what going in order would give."""
        group = self.group
        tokens, blocks = group.num_members, group.block_needs
        if tokens > budget.tokens or blocks > self.pool.num_free:
            return False
        demanding = []
        for sequence in self.loose:  # few: prefills, and decodes that wait for their last output
            new = self._demand(sequence, budget)
            if new:
                if sequence.admission < group.last_admission and self._shares_growth(sequence):
                    return False
                demanding.append(sequence)
                tokens += new
                blocks += self._blocks_needed(sequence, new)
        if tokens <= budget.tokens and blocks <= self.pool.num_free:
            return True
        return not self.policy.can_overtake and all(
            sequence.admission > group.last_admission for sequence in demanding
        )

    def _shares_growth(self, sequence: Sequence) -> bool:
        """Whether a member of the group may fill the same blocks: who is first then matters."""
        table = sequence.table
        return table.tip is not None and bool(self.memory.growers(table.tip, table.cached))

    def _schedule_group(self, batch: Batch, budget: Budget) -> None:
        group = self.group
        batch.num_grouped = group.num_members
        batch.shape = self.decode_shape()
        batch.evicted = self.pool.take(group.block_needs)
        budget.spend(batch.num_grouped, batch.num_grouped)
        group.advance(1)

    def _dissolve(self) -> None:
        """From now on one by one: the order of the members matters in this step."""
        for sequence in self.group:
            self.memory.settle(sequence)
        for sequence, num_steps in self.group.dissolve():
            if num_steps:
                sequence.last_token_ns = self.last_end_ns
                self._left_in_flight(sequence)
        self.loose = list(self.running)

    def _left_in_flight(self, sequence: Sequence) -> None:
        """From now on the sequence stands by itself in the step that is in flight."""
        for batch in self.in_flight:
            batch.items.append(grouped_item(sequence))
            batch.num_grouped -= 1

    def _schedule_running(self, batch: Batch, budget: Budget) -> bool:
        """Give the running requests their tokens in order; whether a prefill is among them."""
        prefill_ran = False
        index = 0
        while index < len(self.loose) and budget.tokens > 0 and budget.has_slots:
            sequence = self.loose[index]
            new = self._demand(sequence, budget)
            if not new:
                index += 1
                continue
            need = self._blocks_needed(sequence, new)
            while need > self.pool.num_free and sequence.status is Status.RUNNING:
                victim = self.policy.victim(self.running)
                if victim.admission < sequence.admission:
                    index -= 1
                self._preempt(victim, batch, budget)
            if sequence.status is not Status.RUNNING:
                break
            prefill_ran |= sequence.is_prefill_chunk
            item = Item(sequence, new, sequence.computed)
            drafts = new + sequence.computed - sequence.num_tokens - sequence.placeholders
            item.num_drafts = max(0, min(drafts, sequence.drafts))
            sequence.drafts = 0
            self.place(item, need, batch)
            budget.spend(new)
            index += 1
        return prefill_ran

    def _demand(self, sequence: Sequence, budget: Budget) -> int:
        """Tokens a running sequence gets if it is next; 0 where it has nothing to compute."""
        if sequence.is_full:
            return 0
        new = sequence.num_tokens + sequence.drafts + sequence.placeholders - sequence.computed
        return min(budget.cut(new), self.rules.max_model_len - 1 - sequence.computed)

    def _blocks_needed(self, sequence: Sequence, new: int) -> int:
        """Blocks a running sequence lacks for `new` more tokens."""
        rules = self.rules
        slots = min(sequence.computed + new + rules.num_lookahead_tokens, rules.max_model_len)
        return max(0, -(-slots // rules.block_size) - sequence.table.held)

    def _preempt(self, victim: Sequence, batch: Batch, budget: Budget) -> None:
        """Put a running sequence back into the queue, its blocks given up."""
        for item in batch.items:
            if item.sequence is victim:  # it was scheduled in this very step
                batch.items.remove(item)
                budget.spend(-item.num_tokens, -1)
                break
        for other in self.in_flight:
            for item in other.items:
                item.is_stale |= item.sequence is victim
        del self.running[victim]
        self.loose.remove(victim)
        self.pool.release(victim.table)
        victim.status = Status.PREEMPTED
        victim.high_water = max(victim.high_water, min(victim.computed, victim.num_tokens))
        victim.computed = victim.drafts = victim.placeholders = 0
        victim.preemptions += 1
        self.waiting.push_back(victim)
        batch.preempted.append(victim)

    def place(self, item: Item, num_blocks: int, batch: Batch) -> None:
        """Take the blocks of an item, enter what it fills in the cache, put it into the batch."""
        sequence, table = item.sequence, item.sequence.table
        batch.evicted += self.pool.take(num_blocks)
        table.held += num_blocks
        after = item.computed_before + item.num_tokens
        self.memory.cache(sequence, min(after, sequence.num_tokens))
        batch.items.append(item)

    # -- what a step changes

    def _after_schedule(self, batch: Batch) -> None:
        """Count the tokens as computed, add up the batch, let those go whose last step it is."""
        sums = list(batch.shape)
        for item in batch.items:
            sequence = item.sequence
            if sequence.high_water:
                self._recover(batch, item)
            sequence.computed += item.num_tokens
            whole = sequence.num_tokens + sequence.placeholders
            sequence.is_prefill_chunk = sequence.computed < whole
            item.samples = not sequence.is_prefill_chunk
            if self.lag and item.samples:
                sequence.placeholders += 1 + item.num_drafts
                sequence.drafts = self.rules.num_speculative_tokens
            add_up(sums, item, self.window)
        batch.shape = BatchShape(*sums)
        for sequence, num_steps in self.group.take_leavers():
            self.memory.settle(sequence)
            if num_steps > 1:
                self._left_in_flight(sequence)
            batch.items.append(grouped_item(sequence))
            batch.num_grouped -= 1
            bisect.insort(self.loose, sequence, key=_admission_of)
        self.in_flight.append(batch)
        if self.lag:
            self._regroup(batch)

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
        if self.rules.num_speculative_tokens:
            return
        joined = False
        for item in batch.items:
            sequence = item.sequence
            made = sequence.outputs + sequence.placeholders
            if (
                item.samples
                and sequence.status is Status.RUNNING
                and sequence.joined < 0
                and sequence.num_prompt + made - sequence.computed == 1
            ):
                steps = sequence.num_output - made
                if self.lag and not self._end_is_foreseen(sequence):
                    steps += 1
                if steps > 0:
                    self.group.join(sequence, steps)
                    joined = True
        if joined:
            self.loose = [sequence for sequence in self.loose if sequence.joined < 0]

    def _end_is_foreseen(self, sequence: Sequence) -> bool:
        longest = min(sequence.max_tokens, self.rules.max_model_len - sequence.num_prompt)
        return sequence.num_output >= longest

    def new_budget(self) -> Budget:
        """What a step may compute, before anything is scheduled."""
        return Budget(self.rules, self.num_running + len(self.waiting))


def _admission_of(sequence: Sequence) -> int:
    return sequence.admission
