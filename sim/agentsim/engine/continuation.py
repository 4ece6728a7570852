"""Which tokens those that run get (the first half of vLLM's `Scheduler.schedule`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentsim.engine.batch import Batch, Item
from agentsim.engine.budget import Budget
from agentsim.engine.sequence import Sequence, Status

if TYPE_CHECKING:
    from agentsim.engine.batcher import Batcher


class Continuation:
    """Goes on with what a batcher runs: the decode group as a whole, the others in order."""

    def __init__(self, batcher: Batcher) -> None:
        self._batcher = batcher
        self._block_size = batcher.rules.block_size
        self._lookahead = batcher.rules.num_lookahead_tokens
        self._max_len = batcher.rules.max_model_len

    def schedule(self, batch: Batch, budget: Budget) -> bool:
        """Give the running requests their tokens; whether a prefill is among them."""
        if self._batcher.group.num_members:
            if self._group_comes_first(budget):
                self._schedule_group(batch, budget)
            else:
                self._dissolve()
        return self._schedule_loose(batch, budget) if self._batcher.loose else False

    def _group_comes_first(self, budget: Budget) -> bool:
        """Whether scheduling the group before all others is what going in order would give."""
        batcher = self._batcher
        group, num_free = batcher.group, batcher.pool.num_free
        tokens, blocks = group.num_members, group.block_needs
        if tokens > budget.left or blocks > num_free:
            return False
        if not batcher.loose:
            return True
        demanding = []
        for sequence in batcher.loose:  # few: prefills, and decodes that wait for their last output
            new = self._demand(sequence, budget)
            if new:
                if sequence.admission < group.last_admission and self._shares_growth(sequence):
                    return False
                demanding.append(sequence)
                tokens += new
                blocks += self._blocks_needed(sequence, new)
        if tokens <= budget.left and blocks <= num_free:
            return True
        return not batcher.policy.can_overtake and all(
            sequence.admission > group.last_admission for sequence in demanding
        )

    def _shares_growth(self, sequence: Sequence) -> bool:
        """Whether a member of the group may fill the same blocks: who is first then matters."""
        table = sequence.table
        return table.tip is not None and bool(self._batcher.memory.growers(table.tip, table.cached))

    def _schedule_group(self, batch: Batch, budget: Budget) -> None:
        batcher = self._batcher
        group = batcher.group
        batch.num_grouped = group.num_members
        batch.shape = batcher.decode_shape()
        need = group.block_needs
        if need:
            batch.evicted = batcher.pool.take(need)
        budget.spend(batch.num_grouped, batch.num_grouped)
        group.advance(1)

    def _dissolve(self) -> None:
        """From now on one by one: the order of the members matters in this step."""
        batcher = self._batcher
        for sequence in batcher.group:
            batcher.memory.settle(sequence)
        for sequence, num_steps in batcher.group.dissolve():
            if num_steps:
                sequence.last_token_ns = batcher.last_end_ns
                batcher.left_in_flight(sequence)
        batcher.loose = list(batcher.running)

    def _schedule_loose(self, batch: Batch, budget: Budget) -> bool:
        """Give those outside the group their tokens in order; whether a prefill is among them."""
        batcher = self._batcher
        pool, loose = batcher.pool, batcher.loose
        prefill_ran = False
        index = 0
        while index < len(loose) and budget.left > 0:
            sequence = loose[index]
            new = self._demand(sequence, budget)
            if not new:
                index += 1
                continue
            need = self._blocks_needed(sequence, new)
            while need > pool.num_free and sequence.status is Status.RUNNING:
                victim = batcher.policy.victim(batcher.running)
                if batcher.is_written(victim):  # its blocks would not be free now
                    return prefill_ran
                if victim.admission < sequence.admission:
                    index -= 1
                self._preempt(victim, batch, budget)
            if sequence.status is not Status.RUNNING:
                break
            prefill_ran |= sequence.is_prefill_chunk
            item = Item(sequence, new, sequence.computed)
            if sequence.drafts:
                drafts = new + sequence.computed - sequence.num_tokens - sequence.placeholders
                item.num_drafts = max(0, min(drafts, sequence.drafts))
                sequence.drafts = 0
            batcher.place(item, need, batch)
            budget.spend(new)
            index += 1
        return prefill_ran

    def _demand(self, sequence: Sequence, budget: Budget) -> int:
        """Tokens a running sequence gets if it is next; 0 where it has nothing to compute."""
        if sequence.placeholders and sequence.is_full:
            return 0
        computed = sequence.computed
        new = budget.cut(
            sequence.num_prompt
            + sequence.outputs
            + sequence.drafts
            + sequence.placeholders
            - computed
        )
        most = self._max_len - 1 - computed
        return new if new < most else most

    def _blocks_needed(self, sequence: Sequence, new: int) -> int:
        """Blocks a running sequence lacks for `new` more tokens."""
        slots = min(sequence.computed + new + self._lookahead, self._max_len)
        return max(0, -(-slots // self._block_size) - sequence.table.held)

    def _preempt(self, victim: Sequence, batch: Batch, budget: Budget) -> None:
        """Put a running sequence back into the queue, its blocks given up."""
        batcher = self._batcher
        for item in batch.items:
            if item.sequence is victim:  # it was scheduled in this very step
                batch.items.remove(item)
                budget.spend(-item.num_tokens, -1)
                break
        for other in batcher.in_flight:
            for item in other.items:
                item.is_stale |= item.sequence is victim
        del batcher.running[victim]
        batcher.loose.remove(victim)
        batcher.pool.release(victim.table)
        victim.status = Status.PREEMPTED
        victim.high_water = max(victim.high_water, min(victim.computed, victim.num_tokens))
        victim.computed = victim.drafts = victim.placeholders = 0
        victim.preemptions += 1
        batcher.waiting.push_back(victim)
        batch.preempted.append(victim)
