"""Which cached content gives way: `lru` as vLLM 0.32 has it, and others.

An order answers one question from the use of a free block and never touches blocks, so none can
lose one. Whatever it says, a block goes only when no other free block continues its content: the
end of a prompt before its beginning. A new order is a class of this shape, registered under the
entry point group ``agentsim.evictions``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from agentsim.domain.block_use import BlockUse
from agentsim.registry import Registry, check_parts

Rank = tuple[int, ...]

#: what every order has
_PARTS = ("sees_depth", "rank")


class EvictionOrder(Protocol):
    """The order in which cached blocks that nobody uses are evicted."""

    #: whether `rank` depends on the depth
    sees_depth: bool

    def rank(self, use: BlockUse, depth: int) -> Rank:
        """Place in the order: the smallest goes first, of equals the one that was freed first.

        Parameters
        ----------
        use : BlockUse
            What is known of the block, as long as it is free. The answer must depend on nothing
            else but the depth.
        depth : int
            Tokens of the prompt up to the end of the block; 0 if the order does not see it, or if
            the block is a second copy of what stays.
        """


class Lru:
    """The least recently used first, as vLLM does."""

    sees_depth = False

    def rank(self, use: BlockUse, depth: int) -> Rank:
        """All alike: by the time they were freed."""
        return ()


class Lfu:
    """What was found least often first, as SGLang's --radix-eviction-policy lfu."""

    sees_depth = False

    def rank(self, use: BlockUse, depth: int) -> Rank:
        """By hits."""
        return (use.hits,)


class SharedLast:
    """What only one session has used first: heads of prompts that sessions share stay."""

    sees_depth = False

    def rank(self, use: BlockUse, depth: int) -> Rank:
        """Private before shared."""
        return (int(use.is_shared),)


class EndedFirst:
    """What a session that has ended had to itself first; needs clients that say when they end."""

    sees_depth = False

    def rank(self, use: BlockUse, depth: int) -> Rank:
        """Ended and private before all others."""
        return (int(use.is_shared or not use.ends_session),)


class Belady:
    """What is used again furthest in the future first, from a table of the future.

    No server can: it is what the others are measured by. For blocks of one size that can all be
    evicted no order hits more often (Belady, IBM Systems Journal 5(2), 1966); blocks in use, and
    prompts that lose their end first, keep that from being exact.

    Parameters
    ----------
    next_uses : mapping of (str, str) to sequence of (int, int)
        For each session and call what follows its end: how many tokens of its prompt and output are
        used again, and when, in any unit that grows with time; both ascending. What is not in it is
        never used again.
    """

    sees_depth = True

    def __init__(self, next_uses: Mapping[tuple[str, str], Sequence[tuple[int, int]]]) -> None:
        self._next_uses = next_uses

    def rank(self, use: BlockUse, depth: int) -> Rank:
        """Never again, then the latest."""
        for tokens, when in self._next_uses.get((use.session, use.call), ()):
            if depth <= tokens:
                return (1, -when)
        return (0, 0)


def make_eviction(name: str) -> EvictionOrder:
    """The order of this name.

    Raises
    ------
    UnknownName
    ConfigError
        If it comes from outside and lacks what an order has.
    """
    order = EVICTIONS[name]()
    check_parts("eviction order", name, order, _PARTS)
    return order


EVICTIONS: Registry[type[EvictionOrder]] = Registry(
    "eviction order",
    {"lru": Lru, "lfu": Lfu, "shared-last": SharedLast, "ended-first": EndedFirst},
    entry_point_group="agentsim.evictions",
)
