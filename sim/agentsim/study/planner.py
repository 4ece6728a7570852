"""The stages of a plan: search, how sure the answer is, and what stands around it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from agentsim.errors import UserError
from agentsim.report.durations import dollars
from agentsim.study.break_even import BreakEven, break_even
from agentsim.study.capacity import Capacity, capacity_of
from agentsim.study.figures import Figure, read_figure
from agentsim.study.moves import CHANGES, Move, move
from agentsim.study.objectives import Objective, all_met, worst
from agentsim.study.search import Search
from agentsim.study.space import Space
from agentsim.study.trial import Task, Tried, try_option, try_sampled, try_whole
from agentsim.study.words import said
from agentsim.study.workers import Workers

#: Options with room that are asked under other parameter sets, until one keeps all objectives.
_SURE = 3
#: Options that a move of the workload asks at most, on each side of the answer.
_LADDER = 4
#: Options that are simulated to their end to find what comes nearest, if nothing is met.
_NEAREST = 4

#: Stage, options done, options expected, the best so far in words.
Told = Callable[[str, int, int, str], None]


class Infeasible(UserError):
    """No option keeps all objectives; the message says which comes nearest and what it misses."""


class Planner:
    """One plan in the making.

    Parameters
    ----------
    task : Task
    space : Space
    run : Workers
        With `task` as what all share.

    Attributes
    ----------
    latency : Figure
        What is weighed against the rent: that of the first objective in seconds.
    found : Search
    """

    def __init__(
        self,
        task: Task,
        space: Space,
        run: Workers,
        told: Told | None = None,
    ) -> None:
        timed = [one.figure for one in task.objectives if one.figure.unit == "s"]
        self.latency: Figure = timed[0] if timed else read_figure("p90 session")
        self._task = task
        self._space = space
        self._run = run
        self._told = told
        self.found = Search(
            space,
            task.objectives,
            self.latency,
            lambda options: list(run(try_option, options)),
            self._tell_search,
        )

    def _tell_search(self, done: int, expected: int, best: Tried | None) -> None:
        told = "" if best is None else f"{dollars(self._space.rent(best.option))}/h"
        self._tell("search", done, expected, told)

    def _tell(self, stage: str, done: int, expected: int, told: str = "") -> None:
        if self._told is not None:
            self._told(stage, done, expected, told)

    def search(self, trials: int) -> None:
        """Try options until the cheapest is known.

        Raises
        ------
        Infeasible
            If none keeps all objectives.
        """
        self.found.coarse()
        self.found.fine(trials)
        if self.found.best() is None:
            raise Infeasible(self._nearest())

    def answer(self, samples: int) -> tuple[Tried, Tried | None]:
        """The cheapest option, and the cheapest that keeps the objectives whatever the error is.

        Both with figures under other parameter sets, if `samples` asks for them.
        """
        met = _apart(self.found.met())
        if not samples:
            return met[0], None
        self._tell("intervals", 0, 1 + _SURE)
        (best,) = self._run(try_sampled, [(met[0].option, samples)])
        if _always(best, self._task.objectives):
            return best, best
        # with as much room as the answer's own error takes up
        error = _error(best, self._task.objectives)
        roomy = [o for o in met[1:] if error * worst(self._task.objectives, o.values)[0] <= 1]
        for number, one in enumerate(roomy[:_SURE]):
            self._tell("intervals", 1 + number, 1 + _SURE)
            (found,) = self._run(try_sampled, [(one.option, samples)])
            if _always(found, self._task.objectives):
                return best, found
        return best, None

    def front(self) -> tuple[Tried, ...]:
        """The answer, and what costs more and answers sooner than all that costs less.

        Other weights or KV formats than the user's own stand there only where these GPUs were not
        met with his.
        """
        met = self.found.met()
        own = {
            (one.option.platform.gpu, one.option.num_gpus)
            for one in met
            if not one.option.changes_quality(self._space.base)
        }
        by_rent = sorted(
            (
                one
                for one in met[1:]
                if not one.option.changes_quality(self._space.base)
                or (one.option.platform.gpu, one.option.num_gpus) not in own
            ),
            key=lambda one: (self._space.rent(one.option), self._latency_of(one)),
        )
        front = [met[0]]
        for one in by_rent:
            if self._space.rent(one.option) > self._space.rent(front[-1].option) and (
                self._latency_of(one) < self._latency_of(front[-1])
            ):
                front.append(one)
        return tuple(front)

    def _latency_of(self, one: Tried) -> float:
        value = one.values.get(self.latency.name)
        return math.inf if value is None else value

    def capacity(self, best: Tried) -> Capacity | None:
        """How many agents one replica carries; None where sessions start at times of their own."""
        if self._task.base.agents.arrival != "closed-loop":
            return None
        self._tell("capacity", 0, 1)
        return capacity_of(self._task, best.option, self._run)

    def moves(self, best: Tried) -> tuple[Move, ...]:
        """How the answer moves if the workload is 20 % off."""
        changes = [(name, by) for name, by in CHANGES if self._can_change(name, by)]
        rent = self._space.rent(best.option)
        cheaper = [
            one.option
            for one in self.found.nearest()
            if not one.failure and self._space.rent(one.option) < rent
        ][:_LADDER]
        cheaper.sort(key=self._space.rent)
        dearer = [o.option for o in _apart(self.found.met()) if o.option != best.option][:_LADDER]
        options = (*cheaper, best.option, *dearer)
        tasks = [(name, factor, options, len(cheaper)) for name, factor in changes]
        found = []
        for number, one in enumerate(self._run(move, tasks)):
            self._tell("what if", number + 1, len(tasks))
            found.append(one)
        return tuple(found)

    def _can_change(self, name: str, factor: float) -> bool:
        """Recorded sessions come when they come; and of two agents there is no fifth."""
        agents = self._task.base.agents
        if name != "load" or agents.arrival.startswith("poisson"):
            return True
        number = agents.num_agents or len(self._task.trace)
        return agents.arrival == "closed-loop" and round(number * factor) != number

    def break_even(self, best: Tried, prices: Mapping[str, Any]) -> tuple[BreakEven, ...]:
        """From how many calls a day the answer beats the APIs of the terms."""
        rent = self._space.rent(best.option)
        (found,) = self._run(break_even, [(best.option, rent, dict(prices))])
        return tuple(found)

    def _nearest(self) -> str:
        """What comes nearest to an answer, where there is none."""
        near = [one.option for one in self.found.nearest() if not one.failure][:_NEAREST]
        if not near:
            reasons = [one.failure for one in self.found.tried.values()]
            reasons += list(self.found.unfit.values())
            return f"no option can run: {reasons[0] if reasons else 'the space is empty'}"
        whole = list(self._run(try_whole, near))
        best = min(whole, key=lambda one: one.nearness(self._task.objectives))
        rent = dollars(self._space.rent(best.option))
        missed = [
            f"{one.figure.label} is {_shown(best, one)} ({one.text})"
            for one in self._task.objectives
            if not one.is_met(best.values.get(one.figure.name))
        ]
        binding = worst(self._task.objectives, best.values)[1]
        within = "" if self._space.budget is None else f" within ${self._space.budget:.2f}/h"
        return (
            f"no option{within} keeps all objectives; nearest is {best.option.name()} at {rent}/h, "
            f"where {' and '.join(missed)}; {binding.text!r} binds: loosen it"
            f"{self._beyond_budget(binding)}"
        )

    def _beyond_budget(self, binding: Objective) -> str:
        """What would do if there were no budget; more GPUs help against time, not against money."""
        if self._space.budget is None:
            return ", or raise --max-gpus" if binding.figure.unit in ("s", "token/s") else ""
        space = dataclasses.replace(self._space, budget=None)
        search = Search(
            space,
            self._task.objectives,
            self.latency,
            lambda options: list(self._run(try_option, options)),
        )
        search.coarse()
        best = search.best()
        if best is None:
            return "; no --budget helps"
        return f", or --budget {dollars(space.rent(best.option))}/h for {best.option.name()}"


def miss(one: Tried, objectives: Sequence[Objective]) -> str:
    """What an option misses, in words."""
    if one.lost is not None:
        return f"misses {one.lost} (certain after {one.lost_share:.0%} of the calls)"
    binding = worst(objectives, one.values)[1]
    return f"misses {binding.text}: {_shown(one, binding)}"


def _shown(one: Tried, objective: Objective) -> str:
    value = one.values.get(objective.figure.name)
    return "unknown" if value is None else said(value, objective.figure)


def _always(one: Tried, objectives: tuple[Objective, ...]) -> bool:
    """Whether the objectives are kept under all parameter sets."""
    return all(all_met(objectives, values) for values in one.sampled)


def _error(one: Tried, objectives: tuple[Objective, ...]) -> float:
    """How much more of an objective is used up under the worst parameter set than without."""
    found = [
        each.ratio(values.get(each.figure.name)) / each.ratio(one.values.get(each.figure.name))
        for each in objectives
        for values in one.sampled
    ]
    return max(found)


def _apart(found: Sequence[Tried]) -> list[Tried]:
    """The first of each machine: platform and replicas."""
    by_machine = {(one.option.platform, one.option.replicas): one for one in reversed(found)}
    return [one for one in found if by_machine[one.option.platform, one.option.replicas] is one]
