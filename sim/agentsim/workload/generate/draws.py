"""The draws of one agent: each quantity a stream, each draw a number in it."""

from __future__ import annotations

import math
from statistics import NormalDist

from agentsim.domain.chance import address, uniform_at
from agentsim.workload.generate.distribution import Distribution

_NORMAL = NormalDist()
_LEAST = 2.0**-54


class Draws:
    """Addressed draws for one agent of one session.

    Parameters
    ----------
    seed : int
    key : str
        Names session and agent.
    """

    def __init__(self, seed: int, key: str) -> None:
        self._seed = seed
        self._key = key
        self._bases: dict[str, int] = {}

    def uniform(self, what: str, index: int) -> float:
        """Draw number `index` of a stream, in [0, 1)."""
        base = self._bases.get(what)
        if base is None:
            base = self._bases[what] = address(self._seed, f"generate/{what}", self._key)
        return uniform_at(base, index)

    def value(self, what: str, index: int, of: Distribution) -> float:
        """A value of a distribution."""
        return of.value_at(self.uniform(what, index))

    def whole(self, what: str, index: int, of: Distribution, least: int = 0) -> int:
        """A value rounded to a whole number, and at least `least`."""
        return max(least, round(self.value(what, index, of)))

    def happens(self, what: str, index: int, chance: float) -> bool:
        """Whether something of this chance happens."""
        return self.uniform(what, index) < chance

    def like(self, what: str, index: int, other: float, correlation: float) -> float:
        """A draw whose rank is correlated with that of another draw (a Gaussian copula)."""
        if not correlation:
            return self.uniform(what, index)
        normal = 2 * math.sin(math.pi / 6 * correlation)  # of the normals behind the ranks
        own = _NORMAL.inv_cdf(max(self.uniform(what, index), _LEAST))
        shared = _NORMAL.inv_cdf(max(other, _LEAST))
        return _NORMAL.cdf(normal * shared + math.sqrt(max(0.0, 1 - normal * normal)) * own)
