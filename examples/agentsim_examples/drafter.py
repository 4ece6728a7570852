"""A drafter: each draft token is right less often than the one before it."""

from __future__ import annotations

from agentsim.domain.chance import address, uniform_at
from agentsim.policies.acceptance import Acceptance
from agentsim.policies.drafters import Drafted

#: how much of the chance each further token keeps
KEEPS = 0.85


class Decaying:
    """Draft token i is right with the chance rate * 0.85^i, as long as those before it were."""

    def __init__(self, acceptance: Acceptance, request: Drafted) -> None:
        self._rate = acceptance.rate
        self._num_drafts = request.num_drafts
        self._base = address(request.seed, "decaying", request.name)

    def propose(self) -> int:
        """All of them, after each step."""
        return self._num_drafts

    def accept(self, num_drafts: int, position: int) -> int:
        """A run of successes; drawn by place in the answer, so that a run can be repeated."""
        for i in range(num_drafts):
            if uniform_at(self._base, position + i) >= self._rate * KEEPS**i:
                return i
        return num_drafts
