"""What the output of a step changes: tokens, acceptances, ends (vLLM's `update_from_output`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentsim.engine.batch import Batch, Item
from agentsim.engine.sequence import Sequence, Status

if TYPE_CHECKING:
    from agentsim.engine.batcher import Batcher


class Delivery:
    """Takes in outputs for a batcher, in the order in which their sequences were admitted."""

    def __init__(self, batcher: Batcher) -> None:
        self._batcher = batcher

    def take_in(self, batch: Batch) -> None:
        """Take in the output of a batch that has run, at its `end_ns`."""
        num_gaps = batch.num_delivered = batch.num_grouped
        gap_ns = batch.end_ns - self._batcher.last_end_ns
        if len(batch.items) > 1:
            batch.items.sort(key=_admission)
        for item in batch.items:
            if item.sequence.status is not Status.FINISHED and item.samples:
                self._deliver(batch, item)
                num_gaps += item.was_grouped
        if num_gaps:
            batch.gaps.append((gap_ns, num_gaps))

    def _deliver(self, batch: Batch, item: Item) -> None:
        """Take in the output of one sequence."""
        sequence = item.sequence
        accepted = 0
        if item.num_drafts and item.are_drafts_real and sequence.drafter is not None:
            accepted = sequence.drafter.accept(item.num_drafts, sequence.outputs)
            sequence.verifications += 1
            sequence.drafted += item.num_drafts
            sequence.accepted += accepted
        item.num_accepted = accepted
        if not item.is_stale:
            rejected = item.num_drafts - accepted
            if sequence.computed:
                sequence.computed -= rejected
            if sequence.placeholders:
                sequence.placeholders -= rejected
        made = min(1 + accepted, sequence.num_output - sequence.outputs)
        self._note_tokens(batch, item, made)
        sequence.outputs += made
        if self._batcher.lag and not item.is_stale:
            sequence.placeholders -= made
            if sequence.joined < 0:
                self._batcher.memory.cache(sequence, sequence.computed - sequence.placeholders)
        if sequence.outputs == sequence.num_output:
            self._finish(sequence)
            batch.finished.append(sequence)
        elif (
            self._batcher.rules.num_speculative_tokens
            and not self._batcher.lag
            and sequence.drafter is not None
        ):
            sequence.drafts = sequence.drafter.propose()

    def _note_tokens(self, batch: Batch, item: Item, made: int) -> None:
        """Note when tokens came."""
        sequence = item.sequence
        batch.num_delivered += made
        if sequence.first_token_ns < 0:
            sequence.first_token_ns = batch.end_ns
        elif not item.was_grouped:
            batch.gaps.append((batch.end_ns - sequence.last_token_ns, 1))
        if made > 1:
            batch.gaps.append((0, made - 1))
        sequence.last_token_ns = batch.end_ns

    def drop(self, sequence: Sequence) -> None:
        """End a sequence that nobody waits for any more (vLLM's `finish_requests`); what is in
        flight of it is thrown away."""
        batcher = self._batcher
        if sequence.joined >= 0:
            batcher.memory.settle(sequence)
            if batcher.group.drop(sequence):
                batcher.left_in_flight(sequence)
            batcher.loose.append(sequence)
        sequence.was_dropped = True
        self._finish(sequence)

    def _finish(self, sequence: Sequence) -> None:
        batcher = self._batcher
        if batcher.offload is not None:
            batcher.offload.end(sequence)
        if sequence.status is Status.RUNNING:
            batcher.release(sequence)
            del batcher.running[sequence]
            batcher.loose.remove(sequence)
        elif sequence.status in (Status.WAITING, Status.PREEMPTED):
            batcher.waiting.remove(sequence)
        sequence.status = Status.FINISHED
        if sequence.table.tip is not None:
            sequence.table.tip.owner = None


def _admission(item: Item) -> int:
    return item.sequence.admission
