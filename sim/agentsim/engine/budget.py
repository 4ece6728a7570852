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
    """

    def __init__(self, rules: Rules, num_requests: int) -> None:
        self.tokens = rules.max_num_batched_tokens
        self.input_tokens = rules.max_num_batched_tokens
        self.slots = rules.num_draft_slots
        limit = rules.long_prefill_token_threshold
        if num_requests <= 1 and rules.lone_prefill_exempt:
            limit = 0
        if limit and rules.adaptive_long_prefill_threshold:
            limit = max(limit, rules.max_num_batched_tokens // max(1, num_requests))
        self.limit = limit

    @property
    def has_slots(self) -> bool:
        """Whether another request can be taken in, its draft slots included."""
        return self.input_tokens > self.slots

    @property
    def request_tokens(self) -> int:
        """The most tokens the next request can get."""
        return min(self.tokens, self.input_tokens - self.slots)

    def cap(self, new: int) -> int:
        """Cut at the long-prefill threshold."""
        return min(new, self.limit) if self.limit else new

    def cut(self, new: int) -> int:
        """Cut at the threshold and at what is left."""
        return min(self.cap(new), self.request_tokens)

    def spend(self, tokens: int, num_requests: int = 1) -> None:
        """Take tokens out of the budget (negative: give them back)."""
        self.tokens -= tokens
        self.input_tokens -= tokens + num_requests * self.slots
