"""The report of a plan: `plan_page`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from agentsim.domain.config import to_plain
from agentsim.machine.system import build_system
from agentsim.report.durations import dollars, percent, significant
from agentsim.report.gpu_prices import PriceRow, find_gpu_price
from agentsim.report.html.mark import Html, short, tag
from agentsim.report.html.page import Page, Section, bullets, card, cards, folded, page_name
from agentsim.report.html.tables import Cell, table
from agentsim.report.html.trust import assumptions, limits, settings
from agentsim.study.capacity import Capacity
from agentsim.study.objectives import Objective
from agentsim.study.plan import Plan
from agentsim.study.plan_drawings import break_even, pareto, saturation
from agentsim.study.plan_text import (
    HOURS_A_MONTH,
    capacity_line,
    cautions,
    certainty,
    even_line,
    headline,
    move_text,
    replay_line,
)
from agentsim.study.planner import miss
from agentsim.study.trial import Tried
from agentsim.study.words import said
from agentsim.uncertainty import LEVEL, interval

Prices = dict[str, list[PriceRow]]


def plan_page(plan: Plan, subject: str, prices: Prices) -> Page:
    """Everything a report says of a plan.

    Parameters
    ----------
    subject : str
        Where the trace comes from.
    prices : dict
        The table of `report.gpu_prices.read_price_table` that the plan used.
    """
    return Page(
        "plan",
        page_name(subject),
        headline(plan),
        (cards(*_key_figures(plan)), tag("p", " ".join(_sureness(plan)), class_="about")),
        tuple(_sections(plan, prices)),
    )


def _key_figures(plan: Plan) -> Iterator[Html]:
    rent = plan.space.rent(plan.best.option)
    yield card("Rent", f"{dollars(rent)}/h", f"{dollars(rent * HOURS_A_MONTH)} a month")
    for one in plan.objectives:
        value = plan.best.values[one.figure.name]
        assert value is not None
        room = percent(1 - min(one.ratio(value), 1.0))
        yield card(one.figure.label, said(value, one.figure), _ends(plan, one),
                   f"{one.text}: {room} room")  # fmt: skip
    for name, label in (
        ("session_usd", "Rent of a session"),
        ("prefix_reuse", "Prompt from the cache"),
    ):
        found = plan.best.values.get(name)
        if found is not None:
            yield card(label, dollars(found) if name.endswith("usd") else percent(found))
    if plan.capacity is not None:
        yield card("Agents a replica carries", f"{plan.capacity.agents:,}",
                   "" if plan.capacity.binding else "and more")  # fmt: skip


def _sureness(plan: Plan) -> Iterator[str]:
    if plan.best.sampled:
        level = f"{LEVEL:.0%}".replace("%", " %")
        sets = f"{len(plan.best.sampled)} sets of cost factors"
        yield f"Below a value: its {level} interval, from {sets}."
    else:
        yield "No intervals were asked for (--samples N)."
    yield from certainty(plan)


def _ends(plan: Plan, one: Objective) -> str:
    """The interval of the answer's figure."""
    value = plan.best.values.get(one.figure.name)
    found = interval([each.get(one.figure.name) for each in plan.best.sampled], value)
    if found is None:
        return ""
    return f"{said(found.low, one.figure)} to {said(found.high, one.figure)}"


def _sections(plan: Plan, prices: Prices) -> Iterator[Section]:
    drawn = pareto(plan)
    parts: tuple[Html, ...] = (_front(plan),) if drawn is None else (drawn, _front(plan))
    yield Section("Rent against latency", parts, _pareto_about(plan), is_wide=False)
    if plan.capacity is not None:
        curves = tuple(saturation(plan.capacity, one) for one in plan.objectives)
        grid = tag("div", *curves, class_="grid")
        yield Section("How many agents a replica carries", (grid, _curve(plan, plan.capacity)),
                      capacity_line(plan.capacity))  # fmt: skip
    if plan.moves:
        rows = [
            (f"{one.what} {100 * (one.factor - 1):+.0f} %", move_text(plan, one))
            for one in plan.moves
        ]
        listed = table(("if", "then"), rows, caption="If the workload is otherwise", words=(0, 1),
                       is_titled=False)  # fmt: skip
        yield Section("If the workload is otherwise", (listed,))
    if plan.even:
        parts = tuple(break_even(one) for one in plan.even)
        yield Section("Renting or an API", (*parts, bullets([even_line(one) for one in plan.even])),
                      is_wide=False)  # fmt: skip
    rows = [(gpu, why) for gpu, why in plan.rejected().items()]
    listed = table(
        ("GPU", "why not"), rows, caption="GPUs not chosen", words=(0, 1), is_titled=False
    )
    yield Section("Not chosen", (listed,))
    told = [f"{line}." for line in cautions(plan)]
    told.append(f"The answer, simulated again: {replay_line(plan)}")
    yield Section("Before you decide", (bullets(told),))
    yield Section("Every option tried", (folded(f"{len(plan.tried):,} options", _options(plan)),))
    yield Section("Prices", (_prices(plan, prices),))
    config = plan.best.option.config(plan.space.base)
    yield assumptions(build_system(config).assumptions)
    yield settings(to_plain(config), {})
    yield limits()


def _pareto_about(plan: Plan) -> str:
    early = sum(1 for one in plan.tried if one.lost is not None)
    failed = sum(1 for one in plan.tried if one.failure is not None)
    text = "The line joins the options that no other beats in both."
    if early:
        text += f" {early:,} more were ended when they had missed an objective for certain."
    return text + (f" {failed:,} cannot run." if failed else "")


def _front(plan: Plan) -> Html:
    heads = ("option", "$/h", plan.latency.label, "cost/session")
    rows = [
        (
            one.option.name(),
            Cell(dollars(plan.space.rent(one.option)), plan.space.rent(one.option)),
            _value(one, plan),
            dollars(one.values.get("session_usd") or 0.0),
        )
        for one in plan.front
    ]
    return table(heads, rows, caption="Options that no other beats", is_sorted=True)


def _value(one: Tried, plan: Plan) -> Cell:
    value = one.values.get(plan.latency.name)
    return Cell("-") if value is None else Cell(said(value, plan.latency), value)


def _curve(plan: Plan, capacity: Capacity) -> Html:
    figures = [one.figure for one in plan.objectives]
    heads = ("agents", *(each.label for each in figures), "output tokens/s", "reuse", "kept")
    rows = []
    for point in capacity.curve:
        values = [point.values.get(each.name) for each in figures]
        rate, reuse = (point.values.get(n) for n in ("output_rate_token_per_s", "prefix_reuse"))
        rows.append((
            f"{point.agents:,}",
            *("-" if v is None else said(v, each) for v, each in zip(values, figures, strict=True)),
            "-" if rate is None else significant(rate),
            "-" if reuse is None else percent(reuse),
            "yes" if point.is_met else "no",
        ))  # fmt: skip
    return folded("Values", table(heads, rows, caption="One replica by the number of its agents"))


def _options(plan: Plan) -> Html:
    heads = ("option", "$/h", *(one.figure.label for one in plan.objectives), "kept", "why not")
    rows = []
    for one in plan.tried:
        met = one.is_met(plan.objectives)
        values = [one.values.get(each.figure.name) for each in plan.objectives]
        rent = plan.space.rent(one.option)
        rows.append((
            one.option.name(),
            Cell(dollars(rent), rent),
            *(Cell("-") if v is None else Cell(said(v, each.figure), v)
              for v, each in zip(values, plan.objectives, strict=True)),
            "yes" if met else "no",
            "" if met else short(one.failure or miss(one, plan.objectives), 120),
        ))  # fmt: skip
    words = (0, len(heads) - 1)
    return table(heads, rows, caption="Every option tried", words=words, is_sorted=True,
                 is_filtered=True)  # fmt: skip


def _prices(plan: Plan, prices: Prices) -> Html:
    rows: list[Sequence[object]] = []
    for gpu, usd in sorted(plan.space.rents.items(), key=lambda pair: (pair[1], pair[0])):
        found = find_gpu_price(prices, gpu)
        quotes = [q for q in (found.on_demand, found.spot) if q] if found else []
        used = next((quote for quote in quotes if quote.value == usd), None)
        told = (used.kind, used.date, used.source) if used else ("given", "", "--gpu-price")
        rows.append((gpu, Cell(dollars(usd), usd), *told))
    heads = ("GPU", "$/h", "kind", "date", "source")
    return table(heads, rows, caption="Prices of a GPU-hour", words=(0, 2, 3, 4), is_sorted=True,
                 is_titled=False)  # fmt: skip
