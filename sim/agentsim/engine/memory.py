"""Blocks and content as the batcher sees them.

What members of the decode group fill is entered in the cache only when somebody could tell: before
a lookup or an entry on a path they grow on (`Memory.settle`).
"""

from __future__ import annotations

from agentsim.engine.group import DecodeGroup
from agentsim.engine.rules import Rules
from agentsim.engine.sequence import Sequence
from agentsim.machine.blocks import BlockPool
from agentsim.machine.content import Tip
from agentsim.machine.ordered_blocks import OrderedPool
from agentsim.policies.evictions import EvictionOrder, Lru


class Memory:
    """The block pool of an engine, with its decode group in mind.

    Parameters
    ----------
    rules : Rules
    group : DecodeGroup
    order : EvictionOrder
        Which cached content gives way.
    """

    def __init__(self, rules: Rules, group: DecodeGroup, order: EvictionOrder) -> None:
        self.rules = rules
        self.pool = _new_pool(rules, order)
        self._group = group

    @property
    def num_cached(self) -> int:
        """Distinct blocks of content in the prefix cache."""
        filled = 0
        for sequence in self._group:
            tip = sequence.table.tip
            if tip is None:
                continue
            if self.growers(tip, sequence.table.cached):
                self.settle(sequence)  # others may have filled the same
            else:
                filled += max(0, self._num_filled(sequence) - sequence.table.cached)
        return self.pool.num_cached + filled

    def lookup(self, sequence: Sequence) -> tuple[int, int]:
        """Blocks of a waiting sequence found in the cache, and how many of them are free."""
        tip = sequence.table.tip
        if tip is None:
            return 0, 0
        limit = (sequence.num_tokens - 1) // self.rules.block_size
        hit, num_free = self.pool.lookup(tip, limit)
        growers = self.growers(tip, hit) if hit < limit else None
        if growers:
            for grower in growers:
                self.settle(grower)
            hit, num_free = self.pool.lookup(tip, limit)
        if hit and self.rules.drop_last_hit:
            hit, num_free = self.pool.lookup(tip, hit - 1)
        return hit, num_free

    def cache(self, sequence: Sequence, num_tokens: int) -> None:
        """Enter the full blocks of the first `num_tokens` of a sequence in the cache."""
        table = sequence.table
        blocks = num_tokens // self.rules.block_size
        if table.tip is None or blocks <= table.cached:
            return
        for grower in self.growers(table.tip, table.cached):
            self.settle(grower)
        self.pool.cache(table, blocks)

    def settle(self, sequence: Sequence) -> None:
        """Enter what a member of the group has filled in the cache; nobody could tell before."""
        table = sequence.table
        table.held = -(-self._group.computed(sequence) // self.rules.block_size)
        if table.tip is not None:
            self.pool.cache(table, self._num_filled(sequence))

    def _num_filled(self, sequence: Sequence) -> int:
        """Full blocks of a member, as far as its output has been delivered."""
        return (self._group.computed(sequence) - self._group.lag) // self.rules.block_size

    def growers(self, tip: Tip, block: int) -> list[Sequence]:
        """Members of the group whose output may be the content of a path from `block` on."""
        if not self._group.num_members:
            return []
        node, size = tip.node, self.rules.block_size
        while node.parent is not None and node.start // size > block:
            node = node.parent
        if len(node.tips) <= 1 and not node.children:
            return []
        growers: list[Sequence] = []
        stack = [node]
        while stack:
            node = stack.pop()
            stack.extend(child for child in node.children.values() if child.start // size > block)
            growers += [t.owner for t in node.tips if t.owner is not None and t.owner.joined >= 0]
        return growers


def _new_pool(rules: Rules, order: EvictionOrder) -> BlockPool:
    num_blocks, is_caching = rules.usable_blocks, rules.enable_prefix_caching
    if type(order) is Lru or not is_caching:
        return BlockPool(num_blocks, rules.block_size, is_caching, rules.two_ended_free_queue)
    return OrderedPool(num_blocks, rules.block_size, order.rank, order.sees_depth)
