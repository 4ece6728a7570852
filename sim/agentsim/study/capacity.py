"""How many agents one replica carries within the objectives, and how it fills up."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from agentsim.domain.config import Config
from agentsim.study.figures import Values
from agentsim.study.objectives import Objective, all_met, worst
from agentsim.study.space import Option
from agentsim.study.trial import Task, Tried, try_option, try_whole
from agentsim.study.workers import Workers

if TYPE_CHECKING:
    import pandas as pd

#: Agents asked at most: so many times the plan's own, and so many at least.
_TIMES, _LEAST = 8, 128
#: The number of agents is found to this share of itself.
_FINE = 0.02


@dataclass(frozen=True, slots=True)
class Point:
    """One replica with so many agents."""

    agents: int
    values: Values
    is_met: bool


@dataclass(frozen=True, slots=True)
class Capacity:
    """What one replica carries.

    Attributes
    ----------
    agents : int
        The most that kept all objectives, next to a number that did not; 0: not even one.
    binding : Objective or None
        What the first number beyond it misses; None: even the most that was tried kept all.
    curve : tuple of Point
        Numbers of agents, ascending, each simulated to its end.
    """

    option: Option
    agents: int
    binding: Objective | None
    curve: tuple[Point, ...]

    def frame(self) -> pd.DataFrame:
        """A row for each number of agents: ``agents``, ``is_met``, figures."""
        import pandas as pd

        return pd.DataFrame(
            [{"agents": at.agents, "is_met": at.is_met, **at.values} for at in self.curve]
        )


def capacity_of(task: Task, option: Option, run: Workers) -> Capacity:
    """Bisect the number of agents that one replica of an option carries.

    Between two numbers the objectives are taken as kept up to one and missed from then on.

    Parameters
    ----------
    task : Task
        With a closed loop of `agents.num_agents`.
    """
    one = dataclasses.replace(option, replicas=1)
    most = max(_TIMES * (task.base.agents.num_agents or len(task.trace)), _LEAST)
    numbers = [2**power for power in range(most.bit_length()) if 2**power <= most]
    curve: dict[int, Tried] = {}
    for start in range(0, len(numbers), 2):  # in pairs: beyond what is missed nothing is asked
        batch = numbers[start : start + 2]
        found = run(_try_agents, [(one, number, False) for number in batch])
        curve |= dict(zip(batch, found, strict=True))
        if not all(tried.is_met(task.objectives) for tried in curve.values()):
            break
    met = [number for number, tried in curve.items() if tried.is_met(task.objectives)]
    missed = [number for number, tried in curve.items() if number > max(met, default=0)]
    low, high = max(met, default=0), min(missed, default=None)
    last = curve[high] if high is not None else None
    while high is not None and high - low > max(1, round(_FINE * low)):
        middle = (low + high) // 2
        (tried,) = run(_try_agents, [(one, middle, True)])
        if tried.is_met(task.objectives):
            low = middle
        else:
            high, last = middle, tried
    if low and low not in curve:
        (curve[low],) = run(_try_agents, [(one, low, False)])
    points = [
        Point(number, tried.values, all_met(task.objectives, tried.values))
        for number, tried in sorted(curve.items())
        if tried.values
    ]
    return Capacity(option, low, _binding(task, last), tuple(points))


def _binding(task: Task, last: Tried | None) -> Objective | None:
    if last is None:
        return None
    if last.lost is not None:
        return next(one for one in task.objectives if one.text == last.lost)
    return worst(task.objectives, last.values)[1] if last.values else None


def _try_agents(task: Task, what: tuple[Option, int, bool]) -> Tried:
    option, agents, is_watched = what
    changed = dataclasses.replace(task, base=with_agents(task.base, agents))
    return (try_option if is_watched else try_whole)(changed, option)


def with_agents(config: Config, agents: int) -> Config:
    """The configuration with so many agents at work."""
    changed = msgspec.structs.replace(config.agents, num_agents=agents)
    return msgspec.structs.replace(config, agents=changed)
