"""A plan as JSON."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from agentsim.domain.config import to_plain
from agentsim.report.document import package_version
from agentsim.report.figures import Interval
from agentsim.study.objectives import all_met
from agentsim.study.plan import Plan
from agentsim.study.plan_text import replay_line
from agentsim.study.planner import miss
from agentsim.study.space import Option, platform_name
from agentsim.study.tables import json_text
from agentsim.study.trial import Tried
from agentsim.uncertainty import LEVEL, interval


class ObjectiveRow(msgspec.Struct, frozen=True):
    """An objective, and what the answer makes of it. `used` is 1 at the limit."""

    text: str
    figure: str
    limit: float
    value: float | None
    interval: Interval | None
    used: float


class OptionRow(msgspec.Struct, frozen=True):
    """One option that was simulated.

    `settings` are laid over the configuration; `figures` are empty where it was ended early
    (`missed` says why) or cannot run (`failure`).
    """

    name: str
    settings: dict[str, Any]
    num_gpus: int
    usd_per_hour: float
    met: bool
    figures: dict[str, float | None]
    missed: str | None
    failure: str | None


class PointRow(msgspec.Struct, frozen=True):
    """One replica with so many agents."""

    agents: int
    met: bool
    figures: dict[str, float | None]


class CapacityRow(msgspec.Struct, frozen=True):
    """How many agents one replica of the answer carries; `binding` is what the next ones miss."""

    agents: int
    binding: str | None
    curve: list[PointRow]


class MoveRow(msgspec.Struct, frozen=True):
    """The answer if something is off by a factor."""

    what: str
    factor: float
    holds: bool
    missed: str | None
    answer: OptionName | None


class OptionName(msgspec.Struct, frozen=True):
    """An option by its settings."""

    name: str
    settings: dict[str, Any]
    usd_per_hour: float


class EvenRow(msgspec.Struct, frozen=True):
    """The break-even with an API; calls a day."""

    api: str
    usd_a_day: float
    usd_per_call: float
    calls_a_day: float | None
    most_calls_a_day: float
    idle_hours: float
    pays: bool
    prices_of: str


class PlanDocument(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What ``agentsim plan --json`` prints.

    `rejected` gives a reason for each GPU but the answer's; `not_tried` one for each platform (GPU,
    weights, tensor parallelism) that was not simulated. `notes`: what the answer's run left out;
    `replay`: the command that simulates it again. `sure_answer` keeps the objectives under
    all `samples` parameter sets, `kept_in_samples` counts those under which `answer` does.
    """

    schema_version: Literal[1]
    agentsim_version: str
    config: dict[str, Any]
    objectives: list[ObjectiveRow]
    budget_usd_per_hour: float | None
    level: float
    samples: int
    kept_in_samples: int
    space_size: int
    answer: OptionRow
    sure_answer: OptionName | None
    front: list[OptionRow]
    options: list[OptionRow]
    capacity: CapacityRow | None
    moves: list[MoveRow]
    break_even: list[EvenRow]
    rejected: dict[str, str]
    not_tried: dict[str, str]
    notes: dict[str, int]
    replay: str
    prices: dict[str, float]


def plan_document(plan: Plan) -> PlanDocument:
    """The plan as plain data."""
    sampled = plan.best.sampled
    return PlanDocument(
        schema_version=1,
        agentsim_version=package_version(),
        config=to_plain(plan.space.base),
        objectives=[
            ObjectiveRow(
                one.text,
                one.figure.name,
                one.limit,
                value := plan.best.values.get(one.figure.name),
                interval([each.get(one.figure.name) for each in sampled], value),
                one.ratio(value),
            )
            for one in plan.objectives
        ],
        budget_usd_per_hour=plan.space.budget,
        level=LEVEL,
        samples=len(sampled),
        kept_in_samples=sum(all_met(plan.objectives, values) for values in sampled),
        space_size=plan.space.size(),
        answer=_row(plan, plan.best),
        sure_answer=_named(plan, plan.sure.option) if plan.sure else None,
        front=[_row(plan, one) for one in plan.front],
        options=[_row(plan, one) for one in plan.tried],
        capacity=_capacity(plan),
        moves=[
            MoveRow(
                one.what,
                one.factor,
                one.holds,
                one.missed,
                _named(plan, one.answer) if one.answer else None,
            )
            for one in plan.moves
        ],
        break_even=[
            EvenRow(
                api=one.api,
                usd_a_day=one.usd_a_day,
                usd_per_call=one.usd_per_call,
                calls_a_day=one.calls_a_day,
                most_calls_a_day=one.most_calls_a_day,
                idle_hours=one.idle_hours,
                pays=one.pays,
                prices_of=one.date,
            )
            for one in plan.even
        ],
        rejected=plan.rejected(),
        notes=plan.best.notes,
        replay=replay_line(plan),
        not_tried={platform_name(one): why for one, why in plan.unfit.items()},
        prices=plan.space.rents,
    )


def plan_json(plan: Plan) -> str:
    """One JSON object, indented, keys sorted, with a newline at its end."""
    return json_text(plan_document(plan))


def _row(plan: Plan, one: Tried) -> OptionRow:
    met = one.is_met(plan.objectives)
    return OptionRow(
        name=one.option.name(),
        settings=one.option.settings(),
        num_gpus=one.option.num_gpus,
        usd_per_hour=plan.space.rent(one.option),
        met=met,
        figures=one.values,
        missed=None if met or one.failure else miss(one, plan.objectives),
        failure=one.failure,
    )


def _named(plan: Plan, option: Option) -> OptionName:
    return OptionName(option.name(), option.settings(), plan.space.rent(option))


def _capacity(plan: Plan) -> CapacityRow | None:
    found = plan.capacity
    if found is None:
        return None
    return CapacityRow(
        found.agents,
        found.binding.text if found.binding else None,
        [PointRow(point.agents, point.is_met, point.values) for point in found.curve],
    )
