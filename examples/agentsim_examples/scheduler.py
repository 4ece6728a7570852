"""A scheduler: short prompts first, but nobody waits for ever."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agentsim.policies.schedulers import Rank, Request

#: tokens that one later arrival is worth
PATIENCE = 200


class ShortFirst:
    """Short prompts first; who has waited for many arrivals goes before them.

    Shortest job first with a guard against starvation, as Fu et al., "Efficient LLM scheduling by
    learning to rank", NeurIPS 2024, do with predicted answers; here with what a server knows.
    """

    can_overtake = True

    def rank(self, request: Request) -> Rank:
        """By prompt and arrival; no two are equal, since no two arrivals are."""
        return (request.num_prompt + PATIENCE * request.arrival, request.arrival)

    def rank_back(self, request: Request, num_preempted: int) -> Rank:
        """A preempted request goes back to where it was."""
        return self.rank(request)

    def victim(self, running: Mapping[Any, None]) -> Any:
        """Who would be the last to be admitted gives up its blocks."""
        return max(running, key=self.rank)
