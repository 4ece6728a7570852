"""A block pool that evicts in another order than vLLM's: `OrderedPool`.

A block may go when it is of no use to anything that stays: when no free block continues its
content, or when it is a second copy, which no lookup returns. Of these the one of the smallest rank
goes, of equals the one that was freed first, and of those freed together the last in its prompt. So
cached content always begins at the start of a prompt, whatever the order, as in SGLang's radix
cache, which evicts leaves. Blocks in use do not count: what they continue is in use too, or is
found nowhere. A second copy has no depth: losing it costs nothing, wherever it stands.

Ranks are of blocks; the work is in extents. Those that may go next stand in a heap, with entries
that may be stale and are looked at again when they come up.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush

from agentsim.domain.block_use import BlockUse
from agentsim.errors import InvariantBroken
from agentsim.machine.blocks import BlockPool, BlockTable
from agentsim.machine.content import Extent, Node

Rank = tuple[int, ...]
#: rank, number of the release, end (negative), number of the entry
Key = tuple[Rank, int, int, int]


class OrderedPool(BlockPool):
    """The KV blocks of one engine that evicts by rank.

    Parameters
    ----------
    num_blocks, block_size : int
        As of `BlockPool`.
    rank : callable
        From the use of a free block and its depth to its rank.
    sees_depth : bool
        Whether `rank` is told the depth, the tokens of a prompt up to the end of the block; else it
        is told 0, and asked once for all blocks of the same use.
    """

    def __init__(
        self,
        num_blocks: int,
        block_size: int,
        rank: Callable[[BlockUse, int], Rank],
        sees_depth: bool,
    ) -> None:
        super().__init__(num_blocks, block_size)
        self.keeps_use = True
        self._rank = rank
        self._sees_depth = sees_depth
        self._heap: list[tuple[Key, Extent]] = []
        self._most = 1000  # entries of the heap before stale ones are thrown out
        self._num_entries = 0
        self._num_released = 0
        self._changed: list[Extent] = []  # extents that may be free and in no entry
        self.tree.parted = self._changed

    def hold(self, table: BlockTable, num_blocks: int) -> None:
        """Take the first `num_blocks` cached blocks of the table's path into the (empty) table."""
        super().hold(table, num_blocks)
        assert table.use is not None
        session = table.use.session
        last: Node | None = None
        for extent, _ in table.entries:
            use = extent.use
            assert use is not None
            is_shared = use.is_shared or use.session != session
            extent.use = use._replace(hits=use.hits + 1, is_shared=is_shared)
            if extent.node is not last:
                last = extent.node
                self._changed += [other for other in last.extents if not other.refs]

    def release(self, table: BlockTable) -> None:
        """Give all blocks of a table back; what is cached stays until it is evicted."""
        self._num_released += 1
        freed = [extent for extent in table.extents() if extent.refs == 1]
        for extent in freed:
            assert table.use is not None and extent.use is not None
            extent.use = table.use._replace(
                hits=extent.use.hits, is_shared=extent.use.is_shared, freed=self._num_released
            )
        super().release(table)
        self._changed += freed

    def _evict(self, num_blocks: int) -> int:
        """Free so many blocks in the order of their ranks; all of them had content."""
        if len(self._heap) > self._most:
            self._heap.clear()
            self._changed += self.free_extents()
            self._most = 1000 + 2 * len(self._changed)
        for extent in self._changed:
            if extent.before is not None:
                self._offer(extent)
        self._changed.clear()
        left = num_blocks
        while left:
            left -= self._evict_next(left)
        return num_blocks

    def _evict_next(self, most: int) -> int:
        """Evict what is next, `most` blocks at most; how many it was."""
        heap = self._heap
        while heap:
            key, extent = heappop(heap)
            use = extent.use
            assert use is not None
            if extent.before is None or extent.hi != -key[2] or use.freed != key[1]:  # stale
                continue
            if self._sees_depth and key[0] != self._rank_of(extent, extent.hi):  # another copy left
                continue
            num_blocks = min(most, extent.hi - self._first_to_go(extent))
            if num_blocks <= 0:  # it is offered again when what keeps it has gone
                continue
            node, is_alone = extent.node, not extent.node.overlap
            if not is_alone:
                num_blocks = 1  # the next may be another copy's
            elif self._sees_depth and heap:
                num_blocks = self._num_before(heap[0][0], extent, num_blocks)
            self._shorten(extent, num_blocks)
            if is_alone and extent.lo < extent.hi:
                self._push(extent)
            else:
                self._offer_kept_by(node)
            return num_blocks
        raise InvariantBroken("block pool: blocks are free and none may be evicted")

    def _num_before(self, bound: Key, extent: Extent, most: int) -> int:
        """How many of the last blocks of an extent go before what has the key `bound`."""
        num_blocks = 1
        while num_blocks < most and self._key(extent, extent.hi - num_blocks) < bound:
            num_blocks += 1
        return num_blocks

    def _first_to_go(self, extent: Extent) -> int:
        """The first of the blocks at the end of a free extent that may go now, last first."""
        node, first = extent.node, extent.lo
        if _is_second_copy(extent):
            return first
        for other in node.extents:
            if not other.refs and other is not extent:
                first = max(first, other.hi - 1)
        for child in node.children.values():
            block = child.start // self.block_size
            if block > first and _has_free(child):
                first = block
        return first

    def _offer_kept_by(self, node: Node) -> None:
        """Offer what may go because a free block of a node has gone."""
        above: Node | None = node
        while above is not None:
            free = [extent for extent in above.extents if not extent.refs]
            for extent in free:
                self._offer(extent)
            above = None if free else above.parent

    def _offer(self, extent: Extent) -> None:
        """Enter a free extent, in parts of which each is one copy among the same others."""
        if extent.node.overlap:
            edges = {edge for other in extent.node.extents for edge in (other.lo, other.hi)}
            for edge in sorted(edges, reverse=True):
                if extent.lo < edge < extent.hi:
                    self._push(extent.cut(edge))
        self._push(extent)

    def _push(self, extent: Extent) -> None:
        self._num_entries += 1
        heappush(self._heap, (self._key(extent, extent.hi), extent))

    def _key(self, extent: Extent, end: int) -> Key:
        """The key of the block of an extent that ends at `end`."""
        use = extent.use
        assert use is not None
        return self._rank_of(extent, end), use.freed, -end, self._num_entries

    def _rank_of(self, extent: Extent, end: int) -> Rank:
        use = extent.use
        assert use is not None
        has_depth = self._sees_depth and not _is_second_copy(extent)
        return self._rank(use, end * self.block_size if has_depth else 0)


def _is_second_copy(extent: Extent) -> bool:
    """Whether a lookup returns another extent for the last block of this one."""
    if extent.node.overlap:
        for other in extent.node.extents:
            if other is extent:
                return False
            if other.lo < extent.hi <= other.hi:
                return True
    return False


def _has_free(node: Node) -> bool:
    """Whether any block of a node, or of what continues it, is free."""
    stack = [node]
    while stack:
        node = stack.pop()
        for extent in node.extents:
            if not extent.refs:
                return True
        stack.extend(node.children.values())
    return False
