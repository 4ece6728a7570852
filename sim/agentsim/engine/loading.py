"""Admission where KV may come from CPU memory (vLLM's `Scheduler.schedule` with a KV connector).

Requests whose blocks are loaded or have been loaded come first; a waiting one that the host has
blocks of begins to load them and lets those behind it go on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentsim.engine.admission import Admission
from agentsim.engine.batch import Batch
from agentsim.engine.budget import Budget
from agentsim.engine.offload import Offload
from agentsim.engine.sequence import Sequence, Status

if TYPE_CHECKING:
    from agentsim.engine.batcher import Batcher


class LoadingAdmission(Admission):
    """Admits from the requests that hold loaded blocks, then from the queue."""

    def __init__(self, batcher: Batcher, offload: Offload) -> None:
        super().__init__(batcher)
        self._offload = offload

    def admit_waiting(self, batch: Batch, budget: Budget, prefill_ran: bool) -> None:
        """Admit, and begin to load, up to the first that does not fit."""
        if self._admit_loaded(batch, budget):
            self._admit_queue(batch, budget)

    def _admit_loaded(self, batch: Batch, budget: Budget) -> bool:
        """Admit those whose blocks are there; whether more may be admitted."""
        for sequence in list(self._offload.holding):
            if not self._has_room(budget):
                return False
            if sequence.status is Status.LOADING:
                continue
            table = sequence.table
            self._batcher.memory.cache(sequence, sequence.computed)
            sequence.computed = min(sequence.computed, sequence.num_tokens - 1)
            plan = self._fit(sequence, table.held, 0, sequence.computed, budget)
            if plan is None:
                return False
            self._offload.admitted(sequence)
            self._admit(sequence, plan, batch)
            budget.spend(plan.num_tokens)
        return True

    def _admit_queue(self, batch: Batch, budget: Budget) -> None:
        batcher, waiting = self._batcher, self._batcher.waiting
        while len(waiting) and self._has_room(budget):
            sequence = waiting.peek()
            hit, num_free = batcher.memory.lookup(sequence)
            match = self._offload.match(sequence, hit)
            if match.must_wait:
                waiting.set_aside()
            elif match.num_blocks:
                if not self._can_load(sequence, hit, num_free, match.num_blocks, batch):
                    break
                self._load(waiting.pop(), hit, match.num_blocks, batch)
            else:
                computed = hit * self._rules.block_size
                plan = self._fit(sequence, hit, num_free, computed, budget)
                if plan is None:
                    break
                self._admit(waiting.pop(), plan, batch)
                budget.spend(plan.num_tokens)
        waiting.put_back()

    def _can_load(
        self, sequence: Sequence, hit: int, num_free: int, num_blocks: int, batch: Batch
    ) -> bool:
        """Whether the blocks fit beside what prefills under way still need."""
        batcher, rules = self._batcher, self._rules
        spare = batcher.pool.num_free - num_free
        if batcher.running:
            spare -= self._watermark
        if rules.scheduler_reserve_full_isl and self._lacks(sequence, hit) > spare:
            return False
        reserved = 0
        for other in (*batcher.running, *self._offload.holding):
            if other.status is not Status.RUNNING or other.is_prefill_chunk:
                reserved += self._lacks(other, other.table.held)
        for other in batch.admitted:
            if not other.is_prefill_chunk:  # otherwise it is counted
                reserved += self._lacks(other, other.table.held)
        return num_blocks <= spare - reserved

    def _lacks(self, sequence: Sequence, num_held: int) -> int:
        """Blocks a request needs for all its tokens beyond those it has."""
        whole = min(sequence.num_tokens, self._rules.max_model_len)
        return max(0, -(-whole // self._rules.block_size) - num_held)

    def _load(self, sequence: Sequence, hit: int, num_blocks: int, batch: Batch) -> None:
        pool, table = self._batcher.pool, sequence.table
        if hit:
            pool.hold(table, hit)
        batch.evicted += pool.take(num_blocks)
        table.held += num_blocks
        sequence.computed = (hit + num_blocks) * self._rules.block_size
        self._offload.begin_load(sequence, hit, num_blocks)
        policy = self._batcher.policy
        if policy.can_overtake:
            self._offload.holding.sort(key=policy.rank)
