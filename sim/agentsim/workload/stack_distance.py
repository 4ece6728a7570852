"""How large a cache must be for a block to be found again: LRU stack distances in one pass.

The distance of a block is how many different blocks were used since it was, itself included; a
cache of at least so many blocks that evicts the least recently used one still holds it (Mattson et
al., IBM Systems Journal 9(2), 1970). All blocks of a request are used at once; of these, as in
vLLM, the last ones of the prompt go first.

Blocks that are used together stay together: the blocks of a prompt fall into a few stretches by
their last use, and each takes one look into a Fenwick tree over the requests. So the work is in
calls, not in blocks.
"""

from __future__ import annotations

from array import array

import numpy as np

from agentsim.workload.prefix_edge import Edge
from agentsim.workload.reuse import BLOCK_SIZE


class Fenwick:
    """Counts at places 0 to `size` - 1, and their sums (Fenwick, Software 24(3), 1994)."""

    def __init__(self, size: int) -> None:
        self._sums = [0] * (size + 1)
        self.total = 0

    def add(self, place: int, count: int) -> None:
        """Add to the count of a place, in O(log size)."""
        self.total += count
        sums = self._sums
        at = place + 1
        while at < len(sums):
            sums[at] += count
            at += at & -at

    def above(self, place: int) -> int:
        """The sum of the counts behind a place, in O(log size)."""
        sums = self._sums
        at, below = place + 1, 0
        while at:
            below += sums[at]
            at &= at - 1
        return self.total - below


class Used:
    """Blocks that a request uses.

    Attributes
    ----------
    stretches : list of (int, int)
        Request of the last use and number of blocks, from the prompt's start on.
    num_new : int
        Blocks never used before.
    """

    __slots__ = ("num_new", "stretches")

    def __init__(self, stretches: list[tuple[int, int]], num_new: int) -> None:
        self.stretches = stretches
        self.num_new = num_new


class StackDistances:
    """The distances of all blocks that requests look up.

    Parameters
    ----------
    num_requests : int
        At most so many will come.
    """

    def __init__(self, num_requests: int) -> None:
        self._last_uses = Fenwick(num_requests)
        self._now = 0
        self._first = array("q")  # of each stretch: the distance of its first block,
        self._length = array("q")  # and how many blocks follow at one more each

    @property
    def distinct_blocks(self) -> int:
        """Different blocks used so far."""
        return self._last_uses.total

    def use(self, edge: Edge, depth: int, lookup_tokens: int) -> Used:
        """Use the blocks of a path.

        Parameters
        ----------
        edge, depth
            Where it ends, in a prefix tree whose uses are the numbers of the requests here.
        lookup_tokens : int
            How much of it is looked up first: the prompt without its last token.
        """
        while 0 < depth <= edge.depth:
            edge = edge.edge
        lookup = lookup_tokens // BLOCK_SIZE
        stretches = []
        begin = 0
        for end_tokens, request in _last_uses(edge, depth):
            end = end_tokens // BLOCK_SIZE
            if end <= begin:
                continue
            if begin < lookup:
                self._first.append(self._last_uses.above(request) + 1)
                self._length.append(min(end, lookup) - begin)
            stretches.append((request, end - begin))
            begin = end
        for request, count in stretches:
            self._last_uses.add(request, -count)
        num_blocks = depth // BLOCK_SIZE
        self._last_uses.add(self._now, num_blocks)
        edge.use(depth, self._now)
        self._now += 1
        return Used(stretches, num_blocks - begin)

    def hits(self, num_blocks: int) -> int:
        """Blocks that a cache of so many blocks finds."""
        first = np.frombuffer(self._first, dtype=np.int64)
        length = np.frombuffer(self._length, dtype=np.int64)
        return int(np.clip(num_blocks - first + 1, 0, length).sum())

    def blocks_for(self, share: float) -> int:
        """The smallest cache that finds this share of what one without limit finds."""
        wanted = share * self.hits(self.distinct_blocks)
        low, high = 0, self.distinct_blocks
        while low < high:
            middle = (low + high) // 2
            if self.hits(middle) >= wanted:
                high = middle
            else:
                low = middle + 1
        return low


def _last_uses(edge: Edge, depth: int) -> list[tuple[int, int]]:
    """Tokens up to which a path was last used by which request, from its start on."""
    steps: list[tuple[int, int]] = []
    while depth:
        for used, request in edge.uses:
            if steps and steps[-1][0] == min(used, depth):
                steps.pop()  # used again later, at least as deep
            if not steps or steps[-1][1] != request:  # else the deeper step goes on up here
                steps.append((min(used, depth), request))
        edge, depth = edge.edge, edge.depth
    return steps[::-1]
