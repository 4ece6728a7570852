"""A plan on the screen: the answer, how sure it is, and what stands around it."""

from __future__ import annotations

from collections.abc import Iterator
from textwrap import fill, wrap
from typing import TYPE_CHECKING

from agentsim.report.durations import count, dollars, percent, significant
from agentsim.report.layout import WIDTH, on_screen
from agentsim.study.break_even import BreakEven
from agentsim.study.capacity import Capacity
from agentsim.study.figures import Figure, Values
from agentsim.study.moves import Move
from agentsim.study.objectives import all_met
from agentsim.study.plan import Plan
from agentsim.study.variants import as_options
from agentsim.study.words import listed, said
from agentsim.uncertainty import LEVEL, interval

if TYPE_CHECKING:
    from rich.table import Table

HOURS_A_MONTH = 730
#: Rows of the Pareto front and of the saturation curve at most.
_ROWS = 8


def plan_text(plan: Plan, *, colour: bool = False) -> str:
    """The plan as lines of at most 80 columns."""
    parts = [_filled(headline(plan)), "", on_screen(_objectives(plan), colour=colour)]
    parts += [_filled(line) for line in certainty(plan)]
    parts += [replay_lines(plan), "", on_screen(_front(plan), colour=colour)]
    if plan.capacity is not None:
        parts += [_filled(capacity_line(plan.capacity))]
        parts += [on_screen(_curve(plan, plan.capacity), colour=colour)]
    if plan.moves:
        parts += [on_screen(_moves(plan), colour=colour)]
    parts += [_filled(even_line(one)) for one in plan.even]
    parts += ["", on_screen(_rejected(plan), colour=colour)]
    parts += [_filled(f"{note}.") for note in (*cautions(plan), _prices(plan))]
    return "\n".join(parts) + "\n"


def replay_line(plan: Plan) -> str:
    """The command that simulates the answer again."""
    return f"agentsim replay TRACE {as_options(plan.best.option.config(plan.space.base))}"


def replay_lines(plan: Plan) -> str:
    """The same in lines that a shell takes as one."""
    lines = wrap(replay_line(plan), WIDTH - 2, subsequent_indent="    ", break_long_words=False,
                 break_on_hyphens=False)  # fmt: skip
    return "\n" + " \\\n".join(lines)


def headline(plan: Plan) -> str:
    """The answer in a sentence."""
    rent = plan.space.rent(plan.best.option)
    return (
        f"{plan.best.option.name()} is the cheapest that keeps all objectives: {dollars(rent)}/h, "
        f"{dollars(rent * HOURS_A_MONTH)} a month. {count(len(plan.tried), 'option')} of "
        f"{plan.space.size():,} simulated."
    )


def _objectives(plan: Plan) -> Table:
    table = _table("Objective", "simulated", f"{LEVEL:.0%} interval".replace("%", " %"), "room")
    for one in plan.objectives:
        value = plan.best.values[one.figure.name]
        assert value is not None
        sure = interval([each.get(one.figure.name) for each in plan.best.sampled], value)
        ends = "-"
        if sure is not None:
            ends = f"{said(sure.low, one.figure)} to {said(sure.high, one.figure)}"
        table.add_row(
            one.text, said(value, one.figure), ends, percent(1 - min(one.ratio(value), 1.0))
        )
    return table


def certainty(plan: Plan) -> Iterator[str]:
    """In how many parameter sets the answer holds, and what holds in all of them."""
    sampled = plan.best.sampled
    if not sampled:
        return
    kept = sum(all_met(plan.objectives, values) for values in sampled)
    yield f"Kept in {kept} of {len(sampled)} sets of cost factors (the model's error)."
    if kept == len(sampled):
        return
    if plan.sure is None:
        yield "None of the next cheapest keeps them in all sets: plan with more room."
    else:
        rent = dollars(plan.space.rent(plan.sure.option))
        yield f"To be sure: {plan.sure.option.name()} keeps them in all sets, at {rent}/h."


def _front(plan: Plan) -> Table:
    table = _table("$/h", plan.latency.label, "cost/session", f"{len(plan.front)} not beaten")
    for one in plan.front[:_ROWS]:
        table.add_row(
            dollars(plan.space.rent(one.option)),
            _said(one.values, plan.latency),
            dollars(one.values.get("session_usd") or 0.0),
            one.option.name(),
        )
    return table


def _said(values: Values, figure: Figure) -> str:
    value = values.get(figure.name)
    return "-" if value is None else said(value, figure)


def capacity_line(capacity: Capacity) -> str:
    """How many agents one replica carries, and what stops it."""
    who = count(capacity.agents, "agent")
    if capacity.binding is None:
        return f"One replica carries {who} and more: no objective was lost."
    return f"One replica carries {who}; the next loses {capacity.binding.text!r}."


def _curve(plan: Plan, capacity: Capacity) -> Table:
    figures = [one.figure for one in plan.objectives]
    heads = [f"{figure.label}" for figure in figures]
    table = _table("agents", *heads, "output tokens/s", "reuse", "kept")
    points = capacity.curve
    for point in points[-_ROWS:]:
        rate = point.values.get("output_rate_token_per_s")
        reuse = point.values.get("prefix_reuse")
        table.add_row(
            f"{point.agents:,}",
            *(_said(point.values, figure) for figure in figures),
            "-" if rate is None else significant(rate),
            "-" if reuse is None else percent(reuse),
            "yes" if point.is_met else "no",
        )
    return table


def _moves(plan: Plan) -> Table:
    table = _table("If", "then")
    for one in plan.moves:
        table.add_row(f"{one.what} {100 * (one.factor - 1):+.0f} %", move_text(plan, one))
    return table


def move_text(plan: Plan, one: Move) -> str:
    """What a move of the workload does to the answer."""
    if one.holds and one.answer == plan.best.option:
        return "the answer holds"
    if one.answer is None:
        return f"{one.missed!r} is lost, and none of the next options keeps it"
    rent = dollars(plan.space.rent(one.answer))
    found = f"{one.answer.name()} at {rent}/h"
    return f"holds, and {found} is enough" if one.holds else f"{one.missed!r} is lost: {found}"


def even_line(one: BreakEven) -> str:
    """From how many calls a day renting beats an API."""
    if one.calls_a_day is None:
        return f"{one.api} costs nothing for these calls: renting never pays."
    day = 24 - one.idle_hours
    text = (
        f"{one.api} takes {dollars(one.usd_per_call)} a call; renting, at {dollars(one.usd_a_day)} "
        f"a day, pays from {one.calls_a_day:,.0f} calls a day. This load makes up to "
        f"{one.most_calls_a_day:,.0f} in {day:g} h of work: "
    )
    return text + ("it pays." if one.pays else "it does not pay.")


def _rejected(plan: Plan) -> Table:
    table = _table("Not chosen", "why")
    for gpu, why in plan.rejected().items():
        table.add_row(gpu, why)
    return table


def cautions(plan: Plan) -> list[str]:
    """What a reader must know to decide by the plan."""
    found = [f"Note: {note}: {number:,}" for note, number in sorted(plan.best.notes.items())]
    base = plan.space.base
    shown = {one.option.platform.model for one in (plan.best, *plan.front)} - {base.model}
    if shown:
        found.append(
            f"{listed(sorted(shown))}: other weights than {base.model} answer otherwise; how well "
            "is not simulated"
        )
    if any(
        ("engine.kv_cache_dtype", "fp8") in one.option.engine for one in (plan.best, *plan.front)
    ):
        found.append("kv_cache_dtype=fp8 may change answers too")
    if plan.best.option.platform.gpu in plan.space.spot:
        found.append(
            "A spot price: the instance can be taken away at any time, with its KV cache and the "
            "calls in flight; that is not simulated, so have a replica to spare"
        )
    return found


def _prices(plan: Plan) -> str:
    prices = ", ".join(f"{gpu} {dollars(usd)}" for gpu, usd in plan.space.rents.items())
    return f"Prices of a GPU-hour ('agentsim list prices' has dates and sources): {prices}"


def _table(*heads: str) -> Table:
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    for head in heads:
        table.add_column(head, overflow="fold")
    return table


def _filled(text: str) -> str:
    return fill(text, WIDTH, break_on_hyphens=False)
