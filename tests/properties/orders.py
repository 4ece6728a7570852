"""Orders of eviction to try everything with: all there are, and one without sense."""

from __future__ import annotations

import zlib

from agentsim.domain.block_use import BlockUse
from agentsim.policies.evictions import EVICTIONS, Belady, EvictionOrder


class Scrambled:
    """Any block may go before any other."""

    sees_depth = True

    def rank(self, use: BlockUse, depth: int) -> tuple[int, ...]:
        """By chance."""
        known = (use.session, use.call, use.hits, use.is_shared, use.ends_session, depth)
        return (zlib.crc32(repr(known).encode()) % 4,)


#: the future of some calls, as the loads of tests name them
FORESEEN = {
    ("s0", "c0"): [(4, 1), (9, 6)],
    ("s0", "c3"): [(8, 3)],
    ("s1", "c1"): [(2, 2), (30, 4)],
    ("s2", "c0"): [(60, 5)],
}

ORDERS: dict[str, EvictionOrder] = {
    **{name: EVICTIONS[name]() for name in ("lru", "lfu", "shared-last", "ended-first")},
    "belady": Belady(FORESEEN),
    "scrambled": Scrambled(),
}
