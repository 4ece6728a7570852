"""Drawings of a plan: rent against latency, agents of a replica, renting or an API."""

from __future__ import annotations

from collections.abc import Sequence

from agentsim.report.durations import dollars
from agentsim.report.html.mark import Html
from agentsim.report.html.page import figure
from agentsim.report.html.plot import Plot, Point, across, key, upward
from agentsim.report.html.scales import Scale, around, compact, from_zero
from agentsim.study.break_even import BreakEven
from agentsim.study.capacity import Capacity
from agentsim.study.objectives import Objective
from agentsim.study.plan import Plan
from agentsim.study.plan_text import even_line
from agentsim.study.trial import Tried
from agentsim.study.words import said

#: Values so far apart are drawn on a logarithmic axis.
_WIDE = 20.0
#: A limit is shown with at least so much of its own beyond it.
_BEYOND = 1.25
#: Height of the scatter.
_HIGH = 280.0
#: How far beyond a break-even its lines go, in its calls.
_PAST_EVEN = 2.5


def pareto(plan: Plan) -> Html | None:
    """Rent and the latency of every option simulated to its end; the front is connected."""
    name, label = plan.latency.name, plan.latency.label
    known = [one for one in plan.tried if one.values.get(name) is not None]
    if not known:
        return None

    def place(one: Tried) -> Point:
        value = one.values[name]
        assert value is not None
        rent = plan.space.rent(one.option)
        return Point(
            rent, value, f"{one.option.name()}: {dollars(rent)}/h, {said(value, plan.latency)}"
        )

    points = {id(one): place(one) for one in known}
    limit = next((one.limit for one in plan.objectives if one.figure.name == name), None)
    rents = [point.x for point in points.values()]
    x = around(min(rents), max(rents), 0, 1, is_log=max(rents) > _WIDE * min(rents) > 0)
    y = _reach([point.y for point in points.values()], limit)
    plot = Plot(across(x.low, x.high, is_log=x.is_log), upward(y, _HIGH), height=_HIGH)
    plot.axes("rent, $/h")
    if limit is not None:
        plot.rule(limit, f"limit {said(limit, plan.latency)}")
    front = [points[id(one)] for one in plan.front if id(one) in points]
    if len(front) > 1:
        plot.curve(sorted(front), 0)
    met = [one for one in known if one.is_met(plan.objectives)]
    missed = [points[id(one)] for one in known if not one.is_met(plan.objectives)]
    plot.dots(missed, 1, shape=2)
    plot.dots([points[id(one)] for one in met], 0)
    best = [points[id(one)] for one in known if one.option == plan.best.option]
    plot.dots(best, 2, shape=3)
    legend = key(("keeps all objectives", "misses one", "the answer"),
                 shapes=(0, 2, 3))  # fmt: skip
    told = f"{len(met)} options keep all objectives, {len(missed)} miss one; front: {len(front)}"
    return figure(f"{label} by rent", plot.svg(told), unit=plan.latency.unit, legend=legend)


def saturation(capacity: Capacity, one: Objective) -> Html | None:
    """A figure of one replica by the number of its agents, with the limit."""
    known = [
        (float(point.agents), value, point.is_met)
        for point in capacity.curve
        if (value := point.values.get(one.figure.name)) is not None
    ]
    if len(known) < 2:
        return None
    y = _reach([value for _, value, _ in known], one.limit)
    x = around(known[0][0], known[-1][0], 0, 1, is_log=True)
    plot = Plot(across(x.low, x.high, is_log=True), upward(y))
    plot.axes("agents on one replica (logarithmic)")
    plot.rule(one.limit, f"limit {said(one.limit, one.figure)}", is_left=True)
    points = [
        Point(agents, value, f"{agents:,.0f}: {said(value, one.figure)}")
        for agents, value, _ in known
    ]
    plot.curve(points)
    plot.dots([p for p, row in zip(points, known, strict=True) if row[2]], 0)
    plot.dots([p for p, row in zip(points, known, strict=True) if not row[2]], 1, shape=2)
    told = "; ".join(point.tip for point in points)
    drawn = plot.svg(f"{one.figure.label} by agents: {told}")
    return figure(one.figure.label, drawn, unit=one.figure.unit,
                  legend=key(("kept", "lost"), shapes=(0, 2)))  # fmt: skip


def break_even(one: BreakEven) -> Html:
    """$ a day by calls a day: rent is flat, an API is not."""
    most = _PAST_EVEN * one.calls_a_day if one.calls_a_day else one.most_calls_a_day
    api = Point(most, one.usd_per_call * most)
    plot = Plot(across(0.0, most), upward(from_zero(max(api.y, one.usd_a_day) * 1.05, 0, 1)))
    plot.axes("calls a day", x_write=compact, y_write=lambda usd: f"${compact(usd)}")
    plot.curve([Point(0.0, one.usd_a_day), Point(most, one.usd_a_day)], 0)
    plot.curve([Point(0.0, 0.0), api], 1)
    if one.calls_a_day is not None:
        plot.rule(one.calls_a_day, f"{one.calls_a_day:,.0f} calls", is_upright=True)
    if one.most_calls_a_day < most:
        plot.rule(one.most_calls_a_day, "this load", is_upright=True)
    return figure(f"Renting or {one.api}", plot.svg(even_line(one)), unit="$ a day",
                  legend=key(("rent", one.api)))  # fmt: skip


def _reach(values: Sequence[float], limit: float | None) -> Scale:
    """The vertical scale of values and the limit they should keep."""
    ends = [*values, *([limit * _BEYOND] if limit else [])]
    if 0 < min(ends) < max(ends) / _WIDE:
        return around(min(ends), max(ends), 0, 1, is_log=True)
    return from_zero(max(ends), 0, 1)
