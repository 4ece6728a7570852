"""Which waiting requests join a step (the second half of vLLM's `Scheduler.schedule`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from agentsim.engine.batch import Batch, Item
from agentsim.engine.budget import Budget
from agentsim.engine.sequence import Sequence, Status

if TYPE_CHECKING:
    from agentsim.engine.batcher import Batcher


@dataclass(frozen=True, slots=True)
class Plan:
    """How a request is admitted."""

    hit_blocks: int
    num_tokens: int
    num_pads: int
    new_blocks: int


class Admission:
    """Admits from the front of a batcher's queue."""

    def __init__(self, batcher: Batcher) -> None:
        self._batcher = batcher
        self._num_admitted = 0

    def admit_waiting(self, batch: Batch, budget: Budget, prefill_ran: bool) -> None:
        """Admit from the front of the queue, up to the first that does not fit."""
        pads = bool(batch.items) and not prefill_ran
        while len(self._batcher.waiting):
            plan = self._plan(self._batcher.waiting.peek(), budget, pads, prefill_ran)
            if plan is None:
                break
            self._admit(self._batcher.waiting.pop(), plan, batch)
            budget.spend(plan.num_tokens)

    def _plan(
        self, sequence: Sequence, budget: Budget, pads: bool, prefill_ran: bool
    ) -> Plan | None:
        """How the next request would be admitted now, if it can be."""
        rules = self._batcher.rules
        if (
            budget.tokens <= 0
            or not budget.has_slots
            or self._batcher.num_running >= rules.max_active
        ):
            return None
        hit, num_free = self._batcher.memory.lookup(sequence)
        computed = hit * rules.block_size
        new = sequence.num_tokens - computed
        num_pads = 0
        if rules.num_speculative_tokens and new == 1 and (pads or (hit and not prefill_ran)):
            # a lone token is padded to the size of a verification, so that all decodes are alike
            padded = 1 + rules.num_speculative_tokens
            if computed + padded + 1 <= rules.max_model_len:
                if padded > budget.request_tokens:
                    return None
                new, num_pads = padded, padded - 1
        new = budget.cap(new)
        if new > budget.request_tokens and not rules.enable_chunked_prefill:
            return None
        new = min(new, budget.request_tokens)
        spare = self._batcher.pool.num_free - num_free
        if self._batcher.running:
            spare -= rules.watermark_blocks
        slots = min(computed + new + rules.num_lookahead_tokens, rules.max_model_len)
        need = max(0, -(-slots // rules.block_size) - hit)
        whole = -(-min(sequence.num_tokens, rules.max_model_len) // rules.block_size) - hit
        if max(need, whole if rules.scheduler_reserve_full_isl else 0) > spare:
            return None
        return Plan(hit, new, num_pads, need)

    def _admit(self, sequence: Sequence, plan: Plan, batch: Batch) -> None:
        computed = plan.hit_blocks * self._batcher.rules.block_size
        if sequence.status is Status.WAITING:
            sequence.cached_tokens = computed
        sequence.status = Status.RUNNING
        sequence.computed = computed
        sequence.admission = self._num_admitted
        self._num_admitted += 1
        self._batcher.running[sequence] = None
        self._batcher.loose.append(sequence)
        batch.admitted.append(sequence)
        if plan.hit_blocks:
            self._batcher.pool.hold(sequence.table, plan.hit_blocks)
        item = Item(sequence, plan.num_tokens, computed, plan.num_pads, are_drafts_real=False)
        self._batcher.place(item, plan.new_blocks, batch)

    def may_admit_head(self) -> bool:
        """Whether the next steps of the group might admit the head of the queue.

        Not if it does not fit now: blocks only become fewer, and nobody else makes its content.
        """
        head: Sequence = self._batcher.waiting.peek()
        tip = head.table.tip
        if tip is not None:
            hit, _ = self._batcher.pool.lookup(
                tip, (head.num_tokens - 1) // self._batcher.rules.block_size
            )
            if self._batcher.memory.growers(tip, hit):
                return True
        budget = self._batcher.new_budget()
        budget.spend(self._batcher.group.num_members, self._batcher.group.num_members)
        return self._plan(head, budget, pads=False, prefill_ran=False) is not None
