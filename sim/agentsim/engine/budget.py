"""How many tokens a step has left, and the most one request may take of them."""

from __future__ import annotations

from agentsim.engine.rules import Rules


class Budget:
    """Tokens left in a step.

    Parameters
    ----------
    rules : Rules
    num_requests : int
        Running and waiting when the step is formed: alone, a request is not held back.

    Attributes
    ----------
    left : int
        Tokens that the next request can get, its draft slots apart; none where it is not above 0.
    """

    __slots__ = ("_limit", "_slots", "left")

    def __init__(self, rules: Rules, num_requests: int) -> None:
        self._slots = rules.num_draft_slots
        self.left = rules.max_num_batched_tokens - self._slots
        limit = rules.long_prefill_token_threshold
        if limit:
            if num_requests <= 1 and rules.lone_prefill_exempt:
                limit = 0
            elif rules.adaptive_long_prefill_threshold:
                limit = max(limit, rules.max_num_batched_tokens // max(1, num_requests))
        self._limit = limit

    def cap(self, new: int) -> int:
        """Cut at the long-prefill threshold."""
        return self._limit if 0 < self._limit < new else new

    def cut(self, new: int) -> int:
        """Cut at the threshold and at what is left."""
        new = self.cap(new)
        return new if new < self.left else self.left

    def spend(self, tokens: int, num_requests: int = 1) -> None:
        """Take tokens out of the budget (negative: give them back)."""
        self.left -= tokens + num_requests * self._slots
