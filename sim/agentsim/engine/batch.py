"""What one scheduling call decided: `Batch`, of `Item` and of a share of the decode group."""

from __future__ import annotations

from agentsim.domain.batch import BatchShape
from agentsim.engine.sequence import Sequence, Status

EMPTY = BatchShape(0, 0, 0)


class Item:
    """One sequence in a batch: what is computed of it, and whether it samples.

    `was_grouped`: it was scheduled with the decode group and has left it since. `is_stale`: it was
    preempted since, so what comes back counts as output and changes nothing else. `recovers`: it is
    as far again as before a preemption.
    """

    __slots__ = (
        "are_drafts_real",
        "computed_before",
        "is_stale",
        "num_accepted",
        "num_drafts",
        "num_tokens",
        "recovers",
        "samples",
        "sequence",
        "was_grouped",
    )

    def __init__(
        self,
        sequence: Sequence,
        num_tokens: int,
        computed_before: int,
        *,
        num_drafts: int = 0,
        are_drafts_real: bool = True,
        was_grouped: bool = False,
    ) -> None:
        self.sequence = sequence
        self.num_tokens = num_tokens
        self.computed_before = computed_before
        self.num_drafts = num_drafts
        self.are_drafts_real = are_drafts_real
        self.was_grouped = was_grouped
        self.samples = was_grouped
        self.is_stale = False
        self.num_accepted = 0
        self.recovers = False


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
    running, waiting, used_blocks, num_preempted : int
        Requests and blocks after scheduling; preemptions to be told with it.
    polled_ns : int
        With its output the scheduler hears of transfers that had ended then (KV offloading).
    """

    __slots__ = (
        "admitted",
        "end_ns",
        "evicted",
        "finished",
        "gaps",
        "items",
        "num_delivered",
        "num_grouped",
        "num_preempted",
        "polled_ns",
        "preempted",
        "recomputed",
        "running",
        "shape",
        "start_ns",
        "used_blocks",
        "waiting",
    )

    def __init__(self, num_grouped: int = 0, shape: BatchShape = EMPTY) -> None:
        self.items: list[Item] = []
        self.num_grouped = num_grouped
        self.admitted: list[Sequence] = []
        self.preempted: list[Sequence] = []
        self.finished: list[Sequence] = []
        self.evicted = 0
        self.recomputed = 0
        self.shape = shape
        self.num_delivered = 0
        self.gaps: list[tuple[int, int]] = []
        self.start_ns = 0
        self.end_ns = 0
        self.running = 0
        self.waiting = 0
        self.used_blocks = 0
        self.num_preempted = 0
        self.polled_ns = 0

    @property
    def is_quiet(self) -> bool:
        """Whether taking in its output changes nothing but what is written down: whoever stands in
        it by itself has ended before, or goes on in the decode group."""
        for item in self.items:
            sequence = item.sequence
            if sequence.status is not Status.FINISHED and (
                sequence.joined < 0 or sequence.outputs + 1 >= sequence.num_output or item.is_stale
            ):
                return False
        return True


def grouped_item(sequence: Sequence) -> Item:
    """What a step of the group computes of a member that has left the group since."""
    return Item(sequence, 1, sequence.computed - 1, was_grouped=True)


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
    sums[7] += pairs if window is None else window_pairs(before, new, window)
    sums[8] += windowed


def window_pairs(before: int, new: int, window: int) -> int:
    """Query-key pairs of a chunk whose queries see `window` tokens, their own included."""
    short = min(new, max(0, window - before))  # queries that see everything
    return short * before + short * (short + 1) // 2 + (new - short) * window
