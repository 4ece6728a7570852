"""Which draft tokens are accepted.

A drafter tells for one sequence how many drafts each step proposes and how many of them the model
accepts; draws are by address, so nothing shifts them.
"""

from __future__ import annotations

from agentsim.domain.chance import address, uniform_at


class FixedRate:
    """Each draft token is accepted with the same chance, as long as those before it were.

    The independent model of Leviathan et al., "Fast inference from transformers via speculative
    decoding", ICML 2023: k drafts bring (1 - rate^(k+1)) / (1 - rate) tokens a step.

    Parameters
    ----------
    rate : float
        In [0, 1].
    num_drafts : int
        Proposed after every step that samples.
    seed, key : int, str
        Address of the draws.
    """

    def __init__(self, rate: float, num_drafts: int, seed: int, key: str) -> None:
        self._rate = rate
        self._num_drafts = num_drafts
        self._base = address(seed, "acceptance", key)
        self._draws = 0

    def propose(self) -> int:
        """Always as many."""
        return self._num_drafts

    def accept(self, num_drafts: int) -> int:
        """A run of successes."""
        accepted = 0
        while accepted < num_drafts and uniform_at(self._base, self._draws + accepted) < self._rate:
            accepted += 1
        self._draws += num_drafts
        return accepted
