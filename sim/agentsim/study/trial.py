"""One option of a plan tried: what became of it, and why it fails."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from agentsim.domain.config import Config
from agentsim.domain.trace import Trace
from agentsim.study.evaluate import evaluate
from agentsim.study.figures import Figure, Values
from agentsim.study.objectives import Objective, all_met, worst
from agentsim.study.space import Option
from agentsim.study.variants import Variant
from agentsim.study.watch import Lost, Watcher

#: Of an option that was ended early nothing more is known than that it misses an objective.
_LOST = 1.0


@dataclass(frozen=True, slots=True)
class Task:
    """What all trials of a plan share.

    Attributes
    ----------
    base : Config
        What options are laid over.
    prices : mapping
        Arguments of `billing.read_terms`.
    """

    trace: Trace
    base: Config
    objectives: tuple[Objective, ...]
    figures: tuple[Figure, ...]
    prices: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Tried:
    """What became of an option.

    Attributes
    ----------
    values : dict
        Its figures; empty if it cannot run or was ended early.
    failure : str or None
        Why it cannot run.
    lost : str or None
        Text of the objective that it missed for certain when it was ended.
    lost_share : float
        Of the calls answered until then.
    notes : dict of str to int
        What its run left out or changed, with how many calls it touched.
    sampled : tuple of dict
        Its figures under other parameter sets, where they were asked for.
    """

    option: Option
    values: Values = field(default_factory=dict)
    failure: str | None = None
    lost: str | None = None
    lost_share: float = 0.0
    notes: dict[str, int] = field(default_factory=dict)
    sampled: tuple[Values, ...] = ()

    def is_met(self, objectives: tuple[Objective, ...]) -> bool:
        """Whether it keeps all objectives."""
        return bool(self.values) and all_met(objectives, self.values)

    def violations(self, objectives: tuple[Objective, ...]) -> list[float]:
        """By how much it misses each objective, relative to the limit; at most 0 keeps it."""
        if self.values:
            found = (one.ratio(self.values.get(one.figure.name)) - 1 for one in objectives)
            return [min(each, 1e6) for each in found]
        return [_LOST if one.text == self.lost else 0.0 for one in objectives]

    def nearness(self, objectives: tuple[Objective, ...]) -> tuple[float, ...]:
        """Less is nearer to keeping all objectives; what was ended early is behind what was not."""
        if self.values:
            return (0.0, worst(objectives, self.values)[0])
        return (2.0, 0.0) if self.failure else (1.0, -self.lost_share)


def try_option(task: Task, option: Option) -> Tried:
    """Simulate an option, up to its end or until an objective is lost."""
    return _tried(task, option, watched=True)


def try_whole(task: Task, option: Option) -> Tried:
    """Simulate an option to its end, whatever it misses."""
    return _tried(task, option, watched=False)


def _tried(task: Task, option: Option, *, watched: bool, samples: int = 0) -> Tried:
    config = option.config(task.base)
    watcher = watcher_of(task, config) if watched else None
    try:
        outcome = evaluate(
            task.trace,
            Variant(option.name(), config),
            task.figures,
            prices=task.prices,
            samples=samples,
            watch=watcher,
        )
    except Lost as lost:
        return Tried(option, lost=lost.objective.text, lost_share=lost.share)
    return Tried(
        option, outcome.values, outcome.failure, notes=outcome.notes, sampled=outcome.sampled
    )


def try_sampled(task: Task, what: tuple[Option, int]) -> Tried:
    """Simulate an option to its end, and again under so many other parameter sets."""
    option, samples = what
    return _tried(task, option, watched=False, samples=samples)


def watcher_of(task: Task, config: Config) -> Watcher:
    """What ends a run that has lost an objective."""
    sessions = max(len(task.trace), config.agents.num_agents or 0)
    repeats = -(-sessions // max(len(task.trace), 1))
    return Watcher(task.objectives, repeats * task.trace.num_calls, sessions)
