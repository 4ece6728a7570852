"""An order of eviction: what is cheap to compute again goes first."""

from __future__ import annotations

from agentsim.domain.block_use import BlockUse
from agentsim.policies.evictions import Rank

#: depths that count as equally dear, tokens
GRAIN = 4096


class CheapFirst:
    """Short prompts first, of equally long ones the least recently used.

    A token deep in a prompt attends to more, so it takes more to compute again; after Pan et al.,
    "Marconi: prefix caching for the era of hybrid LLMs", MLSys 2025, which weighs FLOPs, recency.
    """

    sees_depth = True

    def rank(self, use: BlockUse, depth: int) -> Rank:
        """By depth, in coarse steps."""
        return (depth // GRAIN,)
