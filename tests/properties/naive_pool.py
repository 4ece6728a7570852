"""The prefix cache as vLLM 0.32 has it, block by block, to compare `BlockPool` with.

Blocks are numbers in a free list (v1/core/kv_cache_utils.py, `FreeKVCacheBlockQueue`), a hash is
the tuple of all tokens up to the end of its block, and the cache maps a hash to its blocks in order
of insertion (v1/core/block_pool.py, `BlockHashToBlockMap`). With an order of eviction, the block
of the smallest rank among those that may go.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from agentsim.domain.block_use import BlockUse
from agentsim.policies.evictions import EvictionOrder

#: the adapter, then (segment, offset) of each token from the start
Tokens = tuple[object, ...]


@dataclass
class NaiveTable:
    """The blocks of one sequence, of which the first `num_cached` carry a hash."""

    tokens: Tokens
    use: BlockUse | None = None
    blocks: list[int] = field(default_factory=list)
    num_cached: int = 0


class NaivePool:
    """Blocks, one by one."""

    def __init__(
        self, num_blocks: int, block_size: int, two_ended: bool, order: EvictionOrder | None = None
    ) -> None:
        self.block_size = block_size
        self.two_ended = two_ended
        self.order = order
        self.uses: dict[int, BlockUse] = {}
        self.num_released = 0
        self.free = list(range(num_blocks))
        self.references = [0] * num_blocks
        self.hashes: dict[int, Tokens] = {}
        self.cached: dict[Tokens, dict[int, None]] = {}

    def lookup(self, tokens: Tokens, max_blocks: int) -> list[int]:
        """The blocks of the longest cached prefix, the first inserted of each content."""
        found: list[int] = []
        while len(found) < max_blocks:
            copies = self.cached.get(self._hash(tokens, len(found)))
            if not copies:
                break
            found.append(next(iter(copies)))
        return found

    def num_unused(self, blocks: Sequence[int]) -> int:
        """How many of these nobody holds."""
        return sum(not self.references[block] for block in blocks)

    def touch(self, table: NaiveTable, blocks: Sequence[int]) -> None:
        """Hold blocks that were found."""
        for block in blocks:
            if not self.references[block]:
                self.free.remove(block)
            self.references[block] += 1
            if table.use is not None:
                use = self.uses[block]
                is_shared = use.is_shared or use.session != table.use.session
                self.uses[block] = use._replace(hits=use.hits + 1, is_shared=is_shared)
        table.blocks.extend(blocks)
        table.num_cached += len(blocks)

    def take(self, table: NaiveTable, num_blocks: int) -> int:
        """Allocate from the front of the free list, or in the order of ranks, and return how many
        blocks were evicted."""
        evicted = 0
        for _ in range(num_blocks):
            block = self._next()
            self.free.remove(block)
            content = self.hashes.pop(block, None)
            if content is not None:
                evicted += 1
                del self.cached[content][block]
                if not self.cached[content]:
                    del self.cached[content]
            self.references[block] = 1
            table.blocks.append(block)
        return evicted

    def _next(self) -> int:
        """The block to be taken now."""
        if self.order is None or self.free[0] not in self.hashes:
            return self.free[0]
        size = self.block_size
        continued = {
            content[: 1 + end]
            for content in (self.hashes[block] for block in self.free)
            for end in range(size, len(content) - 1, size)
        }

        def is_second_copy(block: int) -> bool:
            return next(iter(self.cached[self.hashes[block]])) != block

        def may_go(block: int) -> bool:
            return self.hashes[block] not in continued or is_second_copy(block)

        def key(block: int) -> tuple[object, ...]:
            depth = len(self.hashes[block]) - 1
            use = self.uses[block]
            assert self.order is not None
            has_depth = self.order.sees_depth and not is_second_copy(block)
            return self.order.rank(use, depth if has_depth else 0), use.freed, -depth

        return min(filter(may_go, self.free), key=key)

    def cache(self, table: NaiveTable, num_blocks: int) -> None:
        """Give the blocks of a table up to `num_blocks` their hashes."""
        for index in range(table.num_cached, num_blocks):
            content = self._hash(table.tokens, index)
            block = table.blocks[index]
            self.hashes[block] = content
            if table.use is not None:
                self.uses[block] = table.use
            self.cached.setdefault(content, {})[block] = None
        table.num_cached = max(table.num_cached, num_blocks)

    def release(self, table: NaiveTable) -> None:
        """Give the blocks back, tail first."""
        self.num_released += 1
        for block in reversed(table.blocks):
            self.references[block] -= 1
            if self.references[block]:
                continue
            if block in self.hashes and table.use is not None:
                use = self.uses[block]
                self.uses[block] = table.use._replace(
                    hits=use.hits, is_shared=use.is_shared, freed=self.num_released
                )
            if block in self.hashes or not self.two_ended:
                self.free.append(block)
            else:
                self.free.insert(0, block)
        table.blocks = []
        table.num_cached = 0

    def _hash(self, tokens: Tokens, index: int) -> Tokens:
        return tokens[: 1 + (index + 1) * self.block_size]
