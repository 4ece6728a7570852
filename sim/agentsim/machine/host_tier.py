"""KV blocks kept in CPU memory: what is there, what is in transfer, what goes first.

vLLM's rules (v1/kv_offload/cpu/manager.py and policies/lru.py, 0.32.0): the least recently used
block gives way, blocks in transfer do not, and what a request used becomes recent when the request
ends, its first block last. Unlike on the GPU, any block of a prompt may go before any other, so
blocks are known one by one, by a number of their content (`block_keys`).
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import NamedTuple

from agentsim.errors import InvariantBroken
from agentsim.machine.content import ContentTree, Tip

_PRIME = (1 << 61) - 1
_FACTORS = (1123581321345589144, 2718281828459045235, 1414213562373095048, 1732050807568877293)

#: holders of a block that is being written
_IN_STORE = -1


class Found(NamedTuple):
    """The blocks of a path, from one on, that are in the tier without a gap.

    `is_pending`: one of them is still being written.
    """

    num_blocks: int
    is_pending: bool


class HostTier:
    """The blocks in CPU memory of one engine.

    Parameters
    ----------
    num_blocks : int
        How many fit.

    Attributes
    ----------
    num_idle : int
        Blocks that are in no transfer, and can give way.
    num_evicted : int
        Blocks that gave way so far.
    """

    def __init__(self, num_blocks: int) -> None:
        self.num_blocks = num_blocks
        self.num_idle = 0
        self.num_evicted = 0
        self._holders: dict[int, int] = {}  # loads that read a block, or `_IN_STORE`
        self._ranks: dict[int, int] = {}  # the smallest was used the longest ago
        self._queue: list[tuple[int, int]] = []  # heap of (rank, block); stale where it disagrees
        self._next_rank = 0

    def __len__(self) -> int:
        return len(self._ranks)

    def __contains__(self, key: int) -> bool:
        return key in self._ranks

    def is_ready(self, key: int) -> bool:
        """Whether a block is there and written."""
        return self._holders.get(key, _IN_STORE) != _IN_STORE

    def find(self, keys: Sequence[int], begin: int, end: int) -> Found:
        """How many of the blocks ``[begin, end)`` of a path are there, from `begin` on."""
        is_pending = False
        for i in range(begin, end):
            holders = self._holders.get(keys[i])
            if holders is None:
                return Found(i - begin, is_pending)
            is_pending = is_pending or holders == _IN_STORE
        return Found(max(0, end - begin), is_pending)

    def begin_store(self, keys: Sequence[int], protected: Iterable[int]) -> bool:
        """Make room for blocks that are not there; whether it was possible.

        Parameters
        ----------
        keys : sequence of int
            The blocks, from now on in transfer.
        protected : iterable of int
            Blocks that may not give way for them.
        """
        short = len(keys) + len(self._ranks) - self.num_blocks
        if short > 0 and not self._evict(short, set(protected)):
            return False
        for key in keys:
            self._holders[key] = _IN_STORE
            self._ranks[key] = self._new_rank()
        return True

    def end_store(self, keys: Iterable[int]) -> None:
        """The blocks are written."""
        for key in keys:
            self._holders[key] = 0
            self._set_idle(key)

    def begin_load(self, keys: Iterable[int]) -> None:
        """The blocks, all of them ready, are read."""
        for key in keys:
            if not self._holders[key]:
                self.num_idle -= 1
            self._holders[key] += 1

    def end_load(self, keys: Iterable[int]) -> None:
        """They have been read."""
        for key in keys:
            self._holders[key] -= 1
            if not self._holders[key]:
                self._set_idle(key)

    def touch(self, keys: Iterable[int]) -> None:
        """Count the blocks as used now, the last of them as the most recent."""
        for key in keys:
            if key in self._ranks:
                self._ranks[key] = self._new_rank()
                if not self._holders[key]:
                    self._enqueue(key)

    def check(self) -> None:
        """The laws of the tier.

        Raises
        ------
        InvariantBroken
        """
        if len(self._ranks) > self.num_blocks:
            raise InvariantBroken(f"host tier: {len(self._ranks)} blocks of {self.num_blocks}")
        idle = {key for key, holders in self._holders.items() if not holders}
        queued = {key for rank, key in self._queue if self._ranks.get(key) == rank}
        if self._holders.keys() != self._ranks.keys() or len(idle) != self.num_idle:
            raise InvariantBroken(f"host tier: {self.num_idle} blocks idle, not {len(idle)}")
        if not idle <= queued:
            raise InvariantBroken(f"host tier: {len(idle - queued)} idle blocks can never go")

    def _evict(self, num_blocks: int, protected: set[int]) -> bool:
        """Let the least recently used idle blocks go, if there are so many."""
        if num_blocks > self.num_idle:
            return False
        going: list[tuple[int, int]] = []
        kept: list[tuple[int, int]] = []
        chosen: set[int] = set()
        while self._queue and len(going) < num_blocks:
            entry = heapq.heappop(self._queue)
            rank, key = entry
            if self._ranks.get(key) != rank or self._holders[key] or key in chosen:
                continue
            if key in protected:
                kept.append(entry)
            else:
                going.append(entry)
                chosen.add(key)
        is_enough = len(going) == num_blocks
        for entry in kept if is_enough else [*kept, *going]:
            heapq.heappush(self._queue, entry)
        if is_enough:
            for _, key in going:
                del self._holders[key], self._ranks[key]
            self.num_idle -= num_blocks
            self.num_evicted += num_blocks
        return is_enough

    def _new_rank(self) -> int:
        self._next_rank += 1
        return self._next_rank

    def _set_idle(self, key: int) -> None:
        self.num_idle += 1
        self._enqueue(key)

    def _enqueue(self, key: int) -> None:
        if len(self._queue) > 64 + 2 * len(self._ranks):
            self._queue = [
                (rank, key) for key, rank in self._ranks.items() if not self._holders[key]
            ]
            heapq.heapify(self._queue)
        heapq.heappush(self._queue, (self._ranks[key], key))


def block_keys(tree: ContentTree, tip: Tip) -> list[int]:
    """A number for each whole block of a path: that of its content and of all before it.

    Different content has the same number with a chance below 1e-18 for each pair of blocks.
    """
    size, (adapter, spans) = tree.block_size, tree.path(tip)
    of_key, of_name, of_offset, of_length = _FACTORS
    key, filled = _number(adapter), 0
    keys: list[int] = []
    for name, begin, length in spans:
        number = _number(name) * of_name
        at, end = begin, begin + length
        while at < end:
            part = min(end - at, size - filled)
            key = (key * of_key + number + at * of_offset + part * of_length) % _PRIME
            at += part
            filled += part
            if filled == size:
                keys.append(key)
                filled = 0
    return keys


def _number(name: str | int) -> int:
    return int.from_bytes(blake2b(repr(name).encode(), digest_size=7).digest(), "little")
