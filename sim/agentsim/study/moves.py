"""How the answer of a plan moves when the workload is not quite what was thought."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import msgspec

from agentsim.study.capacity import with_agents
from agentsim.study.space import Option
from agentsim.study.trial import Task, Tried, try_option
from agentsim.workload.scale import scale_growth

#: What may be off, and by how much.
CHANGES = (("tool time", 0.8), ("tool time", 1.2), ("growth", 0.8), ("growth", 1.2),
           ("load", 0.8), ("load", 1.2))  # fmt: skip


@dataclass(frozen=True, slots=True)
class Move:
    """The answer under a changed workload.

    Attributes
    ----------
    what : str
        ``tool time``, ``growth`` of prompts and answers, or ``load``: agents, or sessions a second.
    factor : float
    holds : bool
        The plan's own answer keeps the objectives.
    missed : str or None
        The objective that it loses.
    answer : Option or None
        The cheapest of the options asked that keeps them; None: none of them.
    """

    what: str
    factor: float
    holds: bool
    missed: str | None
    answer: Option | None


def move(task: Task, what: tuple[str, float, tuple[Option, ...], int]) -> Move:
    """The answer if one thing is off by a factor.

    Parameters
    ----------
    what : tuple
        ``(name, factor, options, own)``: options from the cheapest on, the plan's answer at `own`.
        If it holds, those before it are asked from the cheapest; if not, those after it.
    """
    name, factor, options, own = what
    changed = _changed(task, name, factor)
    found = try_option(changed, options[own])
    holds = found.is_met(task.objectives)
    others = options[:own] if holds else options[own + 1 :]
    answer = options[own] if holds else None
    for option in others:
        if try_option(changed, option).is_met(task.objectives):
            answer = option
            break
    return Move(name, factor, holds, None if holds else _missed(task, found), answer)


def _missed(task: Task, found: Tried) -> str:
    missed = [o.text for o in task.objectives if not o.is_met(found.values.get(o.figure.name))]
    return found.failure or found.lost or missed[0]


def _changed(task: Task, name: str, factor: float) -> Task:
    agents = task.base.agents
    if name == "growth":
        return dataclasses.replace(task, trace=scale_growth(task.trace, factor))
    if name == "tool time":
        scaled = msgspec.structs.replace(agents, tool_time_scale=agents.tool_time_scale * factor)
    elif agents.arrival.startswith("poisson:"):
        rate = float(agents.arrival.removeprefix("poisson:")) * factor
        scaled = msgspec.structs.replace(agents, arrival=f"poisson:{rate:.9f}")
    else:
        number = agents.num_agents or len(task.trace)
        base = with_agents(task.base, max(1, round(number * factor)))
        return dataclasses.replace(task, base=base)
    return dataclasses.replace(task, base=msgspec.structs.replace(task.base, agents=scaled))
