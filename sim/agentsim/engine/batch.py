"""What one scheduling call decided: `Batch`, of `Item` and of a share of the decode group."""

from __future__ import annotations

from dataclasses import dataclass, field

from agentsim.domain.batch import BatchShape
from agentsim.engine.sequence import Sequence

_EMPTY = BatchShape(0, 0, 0)


@dataclass(slots=True, eq=False)
class Item:
    """One sequence in a batch: what is computed of it, and whether it samples.

    `was_grouped`: it was scheduled with the decode group and has left it since. `is_stale`: it was
    preempted since, so what comes back counts as output and changes nothing else. `recovers`: it is
    as far again as before a preemption.
    """

    sequence: Sequence
    num_tokens: int
    computed_before: int
    num_drafts: int = 0
    are_drafts_real: bool = True
    samples: bool = False
    was_grouped: bool = False
    is_stale: bool = False
    num_accepted: int = 0
    recovers: bool = False


@dataclass(slots=True, eq=False)
class Batch:
    """What one scheduling call decided.

    Attributes
    ----------
    items : list of Item
        Sequences scheduled one by one, in order.
    num_grouped : int
        Sequences scheduled with the decode group, one token each.
    admitted, preempted, finished : list of Sequence
        In order; `finished` is known once the output has been taken in.
    evicted, recomputed : int
        Cached blocks evicted for it; tokens of it that were computed before and lost.
    num_delivered : int
        Output tokens it brought.
    gaps : list of (int, int)
        Nanoseconds between successive tokens, and how many sequences saw that gap.
    """

    items: list[Item] = field(default_factory=list)
    num_grouped: int = 0
    admitted: list[Sequence] = field(default_factory=list)
    preempted: list[Sequence] = field(default_factory=list)
    evicted: int = 0
    recomputed: int = 0
    shape: BatchShape = _EMPTY
    num_delivered: int = 0
    finished: list[Sequence] = field(default_factory=list)
    gaps: list[tuple[int, int]] = field(default_factory=list)
    start_ns: int = 0
    end_ns: int = 0

    @property
    def is_pure(self) -> bool:
        """Whether only the decode group is in it, and nobody of it leaves."""
        return not self.items and self.num_grouped > 0


def grouped_item(sequence: Sequence) -> Item:
    """What a step of the group computes of a member that has left the group since."""
    return Item(sequence, 1, sequence.computed - 1, samples=True, was_grouped=True)


def add_up(sums: list[int], item: Item, window: int | None) -> None:
    """Add an item to the fields of a `BatchShape`."""
    before, new = item.computed_before, item.num_tokens
    context = before + new
    decodes = new <= 1 + item.num_drafts
    sums[0] += new
    sums[1] += 1
    if item.samples:
        sums[2] += 1 + item.num_drafts
    windowed = context if window is None else min(context, window + new - 1)
    if decodes:
        sums[6] += context
        sums[9] += windowed
        sums[10] += item.num_drafts
        return
    pairs = new * before + new * (new + 1) // 2
    sums[3] += new
    sums[4] += pairs
    sums[5] += context
    sums[7] += pairs if window is None else _window_pairs(before, new, window)
    sums[8] += windowed


def _window_pairs(before: int, new: int, window: int) -> int:
    """Query-key pairs of a chunk whose queries see `window` tokens, their own included."""
    short = min(new, max(0, window - before))  # queries that see everything
    return short * before + short * (short + 1) // 2 + (new - short) * window
