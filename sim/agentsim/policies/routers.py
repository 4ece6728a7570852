"""Which replica a request goes to.

A router sees what a gateway sees: who sends, how a prompt begins, how many requests each replica
has that are not answered. A new one is a class of this shape, registered under the entry point
group ``agentsim.routers``.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import Protocol

from agentsim.domain.chance import address, uniform
from agentsim.errors import ConfigError
from agentsim.registry import Registry


class Routed(Protocol):
    """What a router may know of a request."""

    #: name of the session's run
    session: str
    num_prompt: int

    def prefix(self, num_tokens: int) -> str:
        """A name of the prompt's first tokens: equal for prompts that begin with the same."""


class Router(Protocol):
    """Chooses a replica."""

    def choose(self, request: Routed, loads: Sequence[int]) -> int:
        """The number of a replica; `loads`: requests of each that are not answered yet."""


class RoundRobin:
    """One after the other."""

    def __init__(self, num_replicas: int, seed: int) -> None:
        self._next = 0

    def choose(self, request: Routed, loads: Sequence[int]) -> int:
        """The next one."""
        chosen = self._next % len(loads)
        self._next += 1
        return chosen


class Random:
    """Any, as a Kubernetes service does."""

    def __init__(self, num_replicas: int, seed: int) -> None:
        self._seed = seed
        self._count = 0

    def choose(self, request: Routed, loads: Sequence[int]) -> int:
        """Drawn evenly."""
        self._count += 1
        return int(uniform(self._seed, "route", "", self._count) * len(loads))


class LeastLoad:
    """The one with the fewest requests that are not answered; of equals the first."""

    def __init__(self, num_replicas: int, seed: int) -> None:
        pass

    def choose(self, request: Routed, loads: Sequence[int]) -> int:
        """The least loaded."""
        return min(range(len(loads)), key=loads.__getitem__)


class PrefixHash:
    """Prompts that begin alike go to the same replica, unless it has too much to do.

    Consistent hashing with bounded loads (Mirrokni, Thorup, Zadimoghaddam, SODA 2018), with the
    defaults of KubeAI: 100 characters of the prompt, about 25 tokens; 256 places of each replica on
    the ring; at most 1.25 times the mean load.
    """

    NUM_TOKENS = 25
    PLACES = 256
    BOUND = 1.25

    def __init__(self, num_replicas: int, seed: int) -> None:
        places = [
            (address(0, "ring", f"{replica}/{place}"), replica)
            for replica in range(num_replicas)
            for place in range(self.PLACES)
        ]
        self._ring = sorted(places)

    def choose(self, request: Routed, loads: Sequence[int]) -> int:
        """The first replica from the prompt's place on the ring that may take one more."""
        most = self.BOUND * (sum(loads) + 1) / len(loads)
        at = bisect_left(self._ring, (address(0, "key", request.prefix(self.NUM_TOKENS)), 0))
        for step in range(len(self._ring)):
            replica = self._ring[(at + step) % len(self._ring)][1]
            if loads[replica] <= most:
                return replica
        raise AssertionError("one replica is always at or below the mean")


ROUTERS: Registry[type[Router]] = Registry(
    "router",
    {
        "round-robin": RoundRobin,
        "random": Random,
        "least-load": LeastLoad,
        "prefix-hash": PrefixHash,
    },
    entry_point_group="agentsim.routers",
)


def make_router(name: str, num_replicas: int, seed: int) -> Router:
    """The router of this name.

    Raises
    ------
    UnknownName
    ConfigError
        If it comes from outside and is none.
    """
    kind: type = ROUTERS[name]
    if not hasattr(kind, "choose"):
        raise ConfigError(f"router {name!r}: {kind!r} has no method choose(request, loads)")
    router: Router = kind(num_replicas, seed)
    return router
