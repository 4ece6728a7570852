"""Paged KV memory: how many blocks are free, what is cached, who holds what, what is evicted next.

vLLM's rules (v1/core/block_pool.py, 0.32.0) without its blocks: the free queue has two ends, blocks
without content in front (here a count, `BlockPool.blank`) and cached content behind, oldest freed
first (here a queue of extents). Taking blocks takes from the front and evicts what it meets; a hit
takes content out of the queue again. The work does not grow with the length of prompts.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from agentsim.domain.block_use import BlockUse
from agentsim.errors import InvariantBroken
from agentsim.machine.content import ContentTree, Extent, Node, Tip


class BlockTable:
    """The blocks of one sequence: `held` in all, the first `cached` of them with content in the
    cache. `entries` are the extents it holds, in order, each up to the block named beside it. `use`
    is what an order of eviction is told of new blocks, if it asks."""

    __slots__ = ("cached", "entries", "held", "tip", "use")

    def __init__(self, tip: Tip | None, use: BlockUse | None = None) -> None:
        self.tip = tip
        self.use = use
        self.held = 0
        self.cached = 0
        self.entries: list[tuple[Extent, float]] = []

    def extents(self) -> Iterator[Extent]:
        """The extents it holds, in order, those that were cut off of others included."""
        for first, end in self.entries:
            extent: Extent | None = first
            while extent is not None:
                yield extent
                extent = extent.rest if extent.hi < end else None


class BlockPool:
    """The KV blocks of one engine.

    Parameters
    ----------
    num_blocks : int
        Usable blocks (vLLM's `num_gpu_blocks` less the one it never uses).
    block_size : int
        Tokens in a block.
    enable_caching : bool
        Whether full blocks are entered in the prefix cache.
    two_ended : bool
        Whether blocks without content go to the front of the free queue (0.32) or, as all others,
        to its back (releases of early 2025).

    Attributes
    ----------
    blank : int
        Free blocks without content in front of the queue.
    num_queued : int
        The other free blocks.
    num_cached : int
        Distinct blocks of content in the cache.
    keeps_use : bool
        Whether tables must say their `use`.
    """

    def __init__(
        self,
        num_blocks: int,
        block_size: int,
        enable_caching: bool = True,
        two_ended: bool = True,
    ) -> None:
        self.num_blocks = num_blocks
        self.block_size = block_size
        self.enable_caching = enable_caching
        self.two_ended = two_ended
        self.tree = ContentTree(block_size)
        self.blank = num_blocks
        self.num_cached = 0
        self.num_queued = 0
        self.keeps_use = False
        self._void = Node(None, 0, 0, [], 0)  # of extents without content
        self._queue = Extent(self._void, 0, 0, 0)  # sentinel: the front is `after`
        self._queue.before = self._queue.after = self._queue

    @property
    def num_free(self) -> int:
        """Blocks that can be taken, those with cached content included."""
        return self.blank + self.num_queued

    def lookup(self, tip: Tip, max_blocks: int) -> tuple[int, int]:
        """The longest cached prefix of a path.

        Parameters
        ----------
        tip : Tip
            The path.
        max_blocks : int
            The most blocks that may count.

        Returns
        -------
        (int, int)
            Blocks found, and how many of them are free (and would be taken out of the free queue).
        """
        node, end, hit, num_free = tip.node, max_blocks, 0, 0
        size = self.block_size
        while node.parent is not None:
            first = node.start // size
            if first < end and first < node.top:
                hi = min(end, node.top)
                hit = hit or hi
                num_free += _num_free(node, first, hi)
                end = first
            elif first < end:
                end = first
            node = node.parent
        return hit, num_free

    def hold(self, table: BlockTable, num_blocks: int) -> None:
        """Take the first `num_blocks` cached blocks of the table's path into the (empty) table."""
        assert table.tip is not None and not table.held
        for node, lo, hi in reversed(list(self._path(table.tip, num_blocks))):
            for found, begin, end in _cover(node, lo, hi):
                extent = found.cut(begin) if found.lo < begin else found
                if end < extent.hi:
                    extent.cut(end)
                if not extent.refs:
                    extent.unlink()
                    self.num_queued -= end - begin
                extent.refs += 1
                table.entries.append((extent, end))
        table.held = table.cached = num_blocks

    def take(self, num_blocks: int) -> int:
        """Take free blocks from the front of the queue, and return how many were evicted for it."""
        if num_blocks <= self.blank:
            self.blank -= num_blocks
            return 0
        if num_blocks > self.num_free:
            raise InvariantBroken(f"block pool: {num_blocks} blocks taken of {self.num_free} free")
        left = num_blocks - self.blank
        self.blank = 0
        self.num_queued -= left
        return self._evict(left)

    def cache(self, table: BlockTable, num_blocks: int) -> None:
        """Enter the blocks of a table up to `num_blocks` in the cache, but for those that are."""
        if num_blocks <= table.cached or not self.enable_caching:
            return
        assert table.tip is not None
        node: Node | None = table.tip.node
        assert node is not None
        if node.start // self.block_size <= table.cached:  # all in the last node
            self._enter(table, node, table.cached, num_blocks)
            table.cached = num_blocks
            return
        parts: list[tuple[Node, int]] = []  # nodes of the new blocks, last first, and their ends
        end = num_blocks
        while end > table.cached:
            assert node is not None
            begin = node.start // self.block_size
            if begin < end:
                parts.append((node, end))
                end = begin
            node = node.parent
        for node, hi in reversed(parts):
            self._enter(table, node, table.cached, hi)
            table.cached = hi

    def release(self, table: BlockTable) -> None:
        """Give all blocks of a table back, tail first: what is cached to the back of the queue, the
        rest to the front."""
        num_blank = table.held - table.cached
        if self.two_ended:
            self.blank += num_blank
        elif num_blank:
            self.num_queued += num_blank
            Extent(self._void, 0, num_blank, 0).link_before(self._queue)
        last: Extent | None = None
        for first, end in reversed(table.entries):
            parts = [first]
            while parts[-1].hi < end and parts[-1].rest is not None:
                parts.append(parts[-1].rest)
            for extent in reversed(parts):
                extent.refs -= 1
                if extent.refs:
                    continue
                extent.rest = None
                self.num_queued += extent.hi - extent.lo
                node = extent.node
                if (
                    last
                    and last.node is node
                    and last.lo == extent.hi
                    and not node.overlap
                    and last.use == extent.use
                ):
                    extent.hi = last.hi  # neighbours in content and in the queue: one extent
                    last.unlink()
                    node.extents.remove(last)
                extent.link_before(self._queue)
                last = extent
        table.entries.clear()
        table.held = table.cached = 0

    def free_extents(self) -> Iterator[Extent]:
        """The extents of the free queue, the next to be evicted first; for checks and tests."""
        extent = self._queue.after
        while extent is not None and extent is not self._queue:
            yield extent
            extent = extent.after

    def _evict(self, num_blocks: int) -> int:
        """Free so many blocks of the queue from its front; how many of them had content."""
        evicted = left = num_blocks
        while left:
            extent = self._queue.after
            assert extent is not None
            gone = min(left, extent.hi - extent.lo)
            left -= gone
            if extent.node is self._void:
                evicted -= gone
            self._shorten(extent, gone)
        return evicted

    def _shorten(self, extent: Extent, gone: int) -> None:
        """Take the last `gone` blocks of a free extent out of queue and cache."""
        node, hi = extent.node, extent.hi
        extent.hi = hi - gone
        is_gone = extent.hi == extent.lo
        if is_gone:
            extent.unlink()
        if node is self._void:
            return
        extents = node.extents
        if is_gone:
            extents.remove(extent)
        if hi == node.top:
            top = node.start // self.block_size
            for other in extents:
                top = max(top, other.hi)
            self.num_cached -= hi - top
            node.top = top
        if len(extents) < 2:
            node.overlap = False
            if not extents:
                self.tree.prune(node)

    def _path(self, tip: Tip, max_blocks: int) -> Iterator[tuple[Node, int, int]]:
        """The nodes of a path that hold its cached prefix, last first, with the blocks in each."""
        node, end = tip.node, max_blocks
        while node.parent is not None:
            first = node.start // self.block_size
            end = min(end, node.top)
            if first < end:
                yield node, first, end
            end = min(max_blocks, first)
            node = node.parent

    def _enter(self, table: BlockTable, node: Node, lo: int, hi: int) -> None:
        """Cache the blocks ``[lo, hi)`` of a table, all of one node."""
        top = node.top
        own: Extent | None = None
        if table.entries and table.entries[-1][1] == math.inf:
            own = table.entries[-1][0]
            while own.rest is not None:
                own = own.rest
        if (
            own is not None
            and own.refs == 1
            and own.node is node
            and own.hi == lo == top
            and own.use is table.use
        ):
            own.hi = hi
        else:
            extent = Extent(node, lo, hi, 1)
            extent.use = table.use
            node.extents.append(extent)
            node.overlap = node.overlap or lo < top
            table.entries.append((extent, math.inf))
        if hi > top:
            node.top = hi
            self.num_cached += hi - top


def _num_free(node: Node, lo: int, hi: int) -> int:
    """How many of the blocks ``[lo, hi)`` of a node, all cached, are free."""
    num_free = 0
    if node.overlap:
        for extent, begin, end in _cover(node, lo, hi):
            num_free += 0 if extent.refs else end - begin
        return num_free
    for extent in node.extents:
        if not extent.refs:
            num_free += max(0, min(hi, extent.hi) - max(lo, extent.lo))
    return num_free


def _cover(node: Node, lo: int, hi: int) -> Iterator[tuple[Extent, int, int]]:
    """The extents a lookup returns for the blocks ``[lo, hi)`` of a node, with the blocks of each.

    For every block it is the first entered in the cache. The caller may cut what it is given.
    """
    while lo < hi:
        end = hi
        for extent in node.extents:
            if extent.lo <= lo < extent.hi:
                end = min(end, extent.hi)
                break
            if lo < extent.lo:
                end = min(end, extent.lo)
        else:
            raise InvariantBroken(f"block {lo} of a path is not cached, {hi} is")
        yield extent, lo, end
        lo = end
