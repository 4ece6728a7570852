"""The laws of the block pool: no block lost or held twice, the free queue and the tree agree."""

from __future__ import annotations

from collections.abc import Iterable

from agentsim.errors import InvariantBroken
from agentsim.machine.blocks import BlockPool, BlockTable
from agentsim.machine.content import Extent


def check_pool(pool: BlockPool, tables: Iterable[BlockTable]) -> None:
    """Check a pool of which these tables hold all that is in use.

    Raises
    ------
    InvariantBroken
    """
    references, num_private = _held(tables)
    num_used, num_free, num_cached = _check_tree(pool, references)
    queued = blank = 0
    for extent in pool.free_extents():
        _must(not extent.refs and extent.lo < extent.hi, "a free extent is in use or empty")
        queued += extent.hi - extent.lo
        blank += (extent.hi - extent.lo) * (extent.node.parent is None)  # without content
    num_free += blank
    _must(num_free == queued == pool.num_queued, f"{num_free} free, {queued} queued blocks")
    _must(num_cached == pool.num_cached, f"{num_cached} cached blocks, not {pool.num_cached}")
    total = pool.blank + num_free + num_used + num_private
    _must(total == pool.num_blocks, f"{total} blocks of {pool.num_blocks} accounted for")


def _held(tables: Iterable[BlockTable]) -> tuple[dict[Extent, int], int]:
    """How many tables hold each extent, and the blocks that are in no extent."""
    references: dict[Extent, int] = {}
    num_private = 0
    for table in tables:
        num_private += table.held - table.cached
        position = 0
        for first, end in table.entries:
            extent: Extent | None = first
            while extent is not None and extent.lo < end:
                _must(extent.lo == position, f"a table has a gap at block {position}")
                position = extent.hi
                references[extent] = references.get(extent, 0) + 1
                extent = extent.rest if extent.hi < end else None
        _must(position == table.cached, f"a table has {position} cached blocks, not {table.cached}")
    return references, num_private


def _check_tree(pool: BlockPool, references: dict[Extent, int]) -> tuple[int, int, int]:
    """Blocks of the tree that are in use, free ones, and distinct ones."""
    num_used = num_free = num_cached = 0
    for node in pool.tree.nodes():
        first_block = node.start // pool.block_size
        covered = first_block
        for extent in sorted(node.extents, key=lambda e: e.lo):
            _must(extent.lo <= covered, f"cached content has a gap at block {covered}")
            covered = max(covered, extent.hi)
            _must(
                extent.refs == references.get(extent, 0), "an extent has a wrong count of holders"
            )
            num_used += (extent.hi - extent.lo) * (extent.refs > 0)
            num_free += (extent.hi - extent.lo) * (extent.refs == 0)
        _must(covered == node.top, f"a node has top {node.top}, not {covered}")
        if covered > first_block and node.parent is not None:
            _must(node.parent.top >= first_block, "content is cached without what it follows")
        num_cached += covered - first_block
    return num_used, num_free, num_cached


def _must(truth: bool, otherwise: str) -> None:
    if not truth:
        raise InvariantBroken(f"block pool: {otherwise}")
