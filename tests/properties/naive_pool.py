"""The prefix cache as vLLM 0.32 has it, block by block, to compare `BlockPool` with.

Blocks are numbers in a free list (v1/core/kv_cache_utils.py, `FreeKVCacheBlockQueue`), a hash is
the tuple of all tokens up to the end of its block, and the cache maps a hash to its blocks in order
of insertion (v1/core/block_pool.py, `BlockHashToBlockMap`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

#: the adapter, then (segment, offset) of each token from the start
Tokens = tuple[object, ...]


@dataclass
class NaiveTable:
    """The blocks of one sequence, of which the first `num_cached` carry a hash."""

    tokens: Tokens
    blocks: list[int] = field(default_factory=list)
    num_cached: int = 0


class NaivePool:
    """Blocks, one by one."""

    def __init__(self, num_blocks: int, block_size: int, two_ended: bool) -> None:
        self.block_size = block_size
        self.two_ended = two_ended
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
        table.blocks.extend(blocks)
        table.num_cached += len(blocks)

    def take(self, table: NaiveTable, num_blocks: int) -> int:
        """Allocate from the front of the free list, and return how many blocks were evicted."""
        taken, self.free = self.free[:num_blocks], self.free[num_blocks:]
        assert len(taken) == num_blocks
        evicted = 0
        for block in taken:
            content = self.hashes.pop(block, None)
            if content is not None:
                evicted += 1
                del self.cached[content][block]
                if not self.cached[content]:
                    del self.cached[content]
            self.references[block] = 1
        table.blocks.extend(taken)
        return evicted

    def cache(self, table: NaiveTable, num_blocks: int) -> None:
        """Give the blocks of a table up to `num_blocks` their hashes."""
        for index in range(table.num_cached, num_blocks):
            content = self._hash(table.tokens, index)
            block = table.blocks[index]
            self.hashes[block] = content
            self.cached.setdefault(content, {})[block] = None
        table.num_cached = max(table.num_cached, num_blocks)

    def release(self, table: NaiveTable) -> None:
        """Give the blocks back, tail first."""
        for block in reversed(table.blocks):
            self.references[block] -= 1
            if self.references[block]:
                continue
            if block in self.hashes or not self.two_ended:
                self.free.append(block)
            else:
                self.free.insert(0, block)
        table.blocks = []
        table.num_cached = 0

    def _hash(self, tokens: Tokens, index: int) -> Tokens:
        return tokens[: 1 + (index + 1) * self.block_size]
