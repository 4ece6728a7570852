"""Which waiting requests join a step (the second half of vLLM's `Scheduler.schedule`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from agentsim.engine.batch import Batch, Item
from agentsim.engine.budget import Budget
from agentsim.engine.sequence import Sequence, Status

if TYPE_CHECKING:
    from agentsim.engine.batcher import Batcher


class Plan(NamedTuple):
    """How a request is admitted."""

    hit_blocks: int
    computed: int
    num_tokens: int
    num_pads: int
    new_blocks: int


class Admission:
    """Admits from the front of a batcher's queue."""

    def __init__(self, batcher: Batcher) -> None:
        self._batcher = batcher
        self._rules = batcher.rules
        self._max_active = batcher.rules.max_active
        self._watermark = batcher.rules.watermark_blocks
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
        if not self._has_room(budget):
            return None
        hit, num_free = self._batcher.memory.lookup(sequence)
        computed = hit * self._rules.block_size
        num_pads = 0
        drafts = self._rules.num_speculative_tokens
        if drafts and (pads or (hit and not prefill_ran)):
            # a lone token is padded to the size of a verification, so that all decodes are alike
            is_lone = sequence.num_tokens - computed == 1
            if is_lone and computed + drafts + 2 <= self._rules.max_model_len:
                if 1 + drafts > budget.left:
                    return None
                num_pads = drafts
        return self._fit(sequence, hit, num_free, computed, budget, num_pads=num_pads)

    def _has_room(self, budget: Budget) -> bool:
        """Whether a step takes in one request more, whatever it is."""
        return budget.left > 0 and len(self._batcher.running) < self._max_active

    def _fit(
        self,
        sequence: Sequence,
        hit: int,
        num_free: int,
        computed: int,
        budget: Budget,
        *,
        num_pads: int = 0,
    ) -> Plan | None:
        """How a request would be admitted that has `hit` blocks, `num_free` of them to be taken out
        of the free queue, and `computed` tokens, if it can be."""
        batcher, rules = self._batcher, self._rules
        size, max_len = rules.block_size, rules.max_model_len
        whole = sequence.num_prompt + sequence.outputs
        new = budget.cap(whole - computed + num_pads)
        if new > budget.left:
            if not rules.enable_chunked_prefill:
                return None
            new = budget.left
        spare = batcher.pool.num_free - num_free
        if batcher.running:
            spare -= self._watermark
        slots = min(computed + new + rules.num_lookahead_tokens, max_len)
        need = max(0, -(-slots // size) - hit)
        if need > spare:
            return None
        if rules.scheduler_reserve_full_isl and -(-min(whole, max_len) // size) - hit > spare:
            return None
        return Plan(hit, computed, new, num_pads, need)

    def _admit(self, sequence: Sequence, plan: Plan, batch: Batch) -> None:
        computed = plan.computed
        if not sequence.preemptions:
            sequence.cached_tokens = computed
        sequence.status = Status.RUNNING
        sequence.computed = computed
        sequence.admission = self._num_admitted
        self._num_admitted += 1
        self._batcher.running[sequence] = None
        self._batcher.loose.append(sequence)
        batch.admitted.append(sequence)
        if plan.hit_blocks > sequence.table.held:  # those that were loaded are held
            self._batcher.pool.hold(sequence.table, plan.hit_blocks)
        item = Item(
            sequence, plan.num_tokens, computed, num_drafts=plan.num_pads, are_drafts_real=False
        )
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
