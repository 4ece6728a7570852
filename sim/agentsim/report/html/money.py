"""What a run costs: rent, the same tokens at APIs, a day with idle hours, energy."""

from __future__ import annotations

from collections.abc import Iterator

from agentsim.report.bill import ApiCost, Bill, Quoted
from agentsim.report.durations import dollars, energy, percent, significant
from agentsim.report.figures import Interval
from agentsim.report.html.mark import Html, tag
from agentsim.report.html.page import paragraph
from agentsim.report.html.tables import Cell, table

_DAY_HOURS = 24


def money(bill: Bill, run_usd: Interval | None) -> tuple[Html, ...]:
    """Tables of rent and energy, and of APIs."""
    heads: tuple[str, ...] = ("figure", "value", "rests on")
    rows = [*_rent(bill, run_usd), *_energy(bill)]
    parts = [table(heads, rows, caption="Rent and energy of this run", words=(0, 2))]
    if bill.self_hosted is None:
        parts.insert(0, paragraph("No price is known for this GPU: give --gpu-price."))
    if bill.apis:
        heads = ("API", "cost", "without its cache", "from cache", "times self-hosted",
                 "sessions a day to break even", "prices of")  # fmt: skip
        rows = [_api(api) for api in bill.apis]
        parts.append(table(heads, rows, caption="The same tokens at an API"))
        parts.append(tag("p", f"{bill.caveat[0].upper()}{bill.caveat[1:]}.", class_="note"))
    return tuple(parts)


def _rent(bill: Bill, sure: Interval | None) -> Iterator[tuple[object, ...]]:
    hosted = bill.self_hosted
    if hosted is None:
        return
    price = hosted.gpu_hour
    said = f"{hosted.num_gpus:,} x {dollars(price.value)}/h, {_of(price)}"
    if sure:
        said += f"; {dollars(sure.low)} to {dollars(sure.high)} with the runtime's interval"
    yield "this run", dollars(hosted.run_usd), said
    if hosted.spot_run_usd is not None and hosted.spot_gpu_hour is not None:
        yield "this run, spot", dollars(hosted.spot_run_usd), _of(hosted.spot_gpu_hour)
    for name, usd in (
        ("a session", hosted.usd_per_session),
        ("a million tokens", hosted.usd_per_million_tokens),
        ("a million output tokens", hosted.usd_per_million_output_tokens),
    ):
        if usd is not None:
            yield name, dollars(usd), "the rent of this run"
    day = hosted.day
    idle = day.idle_hours
    yield "a day", dollars(day.usd), f"{_DAY_HOURS} h of rent, {idle.value:g} h idle ({_of(idle)})"
    if day.usd_per_session is not None and day.sessions is not None:
        told = f"{day.sessions:,.0f} sessions fit into the other {_DAY_HOURS - idle.value:g} h"
        yield "a session of such a day", dollars(day.usd_per_session), told


def _energy(bill: Bill) -> Iterator[tuple[object, ...]]:
    used = bill.energy
    if used is None:
        return
    limit = f"of {used.tdp_w.value:,.0f} W; GPUs alone"
    watts = "" if used.mean_w is None else f"{used.mean_w:,.0f} W in the mean {limit} ({used.kind})"
    yield "energy", energy(used.kwh), watts
    grid = used.grid_g_per_kwh
    grams = used.co2_g
    mass = f"{significant(grams / 1000)} kg" if grams >= 1000 else f"{significant(grams)} g"
    yield "CO2", mass, f"{grid.value:,.0f} g/kWh ({_of(grid)})"


def _api(api: ApiCost) -> tuple[object, ...]:
    times, even = api.times_self_hosted, api.even_sessions_a_day
    return (
        api.model,
        Cell(dollars(api.usd), api.usd),
        Cell(dollars(api.usd_without_cache), api.usd_without_cache),
        "no cache" if api.cache is None else percent(api.cached_share or 0.0),
        "-" if times is None else Cell(significant(times), times),
        "-" if even is None else Cell(f"{even:,.0f}", even),
        f"{api.date} ({api.kind})",
    )


def _of(quoted: Quoted) -> str:
    return f"{quoted.kind} {quoted.date}".rstrip()
