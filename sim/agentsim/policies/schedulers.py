"""Who is next and who gives way: `fcfs` and `priority`, as vLLM 0.32 has them.

A policy answers two questions and never touches queues or blocks, so none can lose a request. A new
one is a class of this shape, registered under the entry point group ``agentsim.schedulers``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from agentsim.registry import Registry, check_parts

Rank = tuple[int, ...]

#: what every scheduler has
_PARTS = ("can_overtake", "rank", "rank_back", "victim")


class Request(Protocol):
    """What a policy may know of a request: nothing that a real server would not."""

    priority: int
    arrival: int
    admission: int
    num_prompt: int


class SchedulingPolicy(Protocol):
    """Order of the queue, and the victim of a shortage of blocks."""

    #: whether a request that arrives may go before one that waits
    can_overtake: bool

    def rank(self, request: Request) -> Rank:
        """Place in the queue: the smallest is next. Must differ between any two requests."""

    def rank_back(self, request: Request, num_preempted: int) -> Rank:
        """Place of a preempted request, the `num_preempted`-th of the run."""

    def victim(self, running: Mapping[Any, None]) -> Any:
        """Which of the running requests (in order of admission) gives up its blocks."""


class Fcfs:
    """First come, first served; the last admitted gives way; preempted ones go to the front."""

    can_overtake = False

    def rank(self, request: Request) -> Rank:
        """In order of arrival."""
        return (0, request.arrival)

    def rank_back(self, request: Request, num_preempted: int) -> Rank:
        """Before all others, the last preempted first."""
        return (-num_preempted, 0)

    def victim(self, running: Mapping[Any, None]) -> Any:
        """The last admitted."""
        return next(reversed(running))


class Priority:
    """The smallest priority first, then the earliest; the largest and latest gives way."""

    can_overtake = True

    def rank(self, request: Request) -> Rank:
        """By priority, then arrival."""
        return (request.priority, request.arrival)

    def rank_back(self, request: Request, num_preempted: int) -> Rank:
        """As before."""
        return self.rank(request)

    def victim(self, running: Mapping[Any, None]) -> Any:
        """The largest (priority, arrival)."""
        return max(running, key=self.rank)


def make_policy(name: str) -> SchedulingPolicy:
    """The scheduler of this name.

    Raises
    ------
    UnknownName
    ConfigError
        If it comes from outside and lacks what a scheduler has.
    """
    policy = SCHEDULERS[name]()
    check_parts("scheduler", name, policy, _PARTS)
    return policy


SCHEDULERS: Registry[type[SchedulingPolicy]] = Registry(
    "scheduler", {"fcfs": Fcfs, "priority": Priority}, entry_point_group="agentsim.schedulers"
)
