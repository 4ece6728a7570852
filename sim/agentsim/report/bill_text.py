"""Money and energy on the screen: a few lines of the facts, and a table of APIs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from agentsim.report.bill import ApiCost, Bill, Energy, Quoted, SelfHosted
from agentsim.report.durations import dollars, energy, percent, significant

if TYPE_CHECKING:
    from rich.console import RenderableType


def bill_lines(bill: Bill) -> Iterator[tuple[str, str]]:
    """What one line says each: label and text."""
    if bill.self_hosted is None:
        yield "Cost", "no price for this GPU: give --gpu-price"
    else:
        yield from _hosted_lines(bill.self_hosted)
    if bill.energy is not None:
        yield "Energy", _energy_line(bill.energy)


def _hosted_lines(hosted: SelfHosted) -> Iterator[tuple[str, str]]:
    price, day = hosted.gpu_hour, hosted.day
    gpus = "GPU" if hosted.num_gpus == 1 else f"{hosted.num_gpus:,} GPUs"
    dated = f"{price.kind} {price.date}".rstrip()
    spot = ""
    if hosted.spot_run_usd is not None:
        spot = f"; spot {dollars(hosted.spot_run_usd)}"
    yield "Cost", f"{dollars(hosted.run_usd)}: {gpus} at {dollars(price.value)}/h ({dated}){spot}"
    if hosted.usd_per_million_tokens is not None:
        text = f"{dollars(hosted.usd_per_million_tokens)} per million tokens"
        if hosted.usd_per_million_output_tokens is not None:
            text += f", {dollars(hosted.usd_per_million_output_tokens)} per million of output"
        yield "", text
    if day.usd_per_session is not None:
        idle = f"{day.idle_hours.value:g} h of it idle ({day.idle_hours.kind})"
        yield "", f"{dollars(day.usd)} a day, {idle}: {dollars(day.usd_per_session)} a session"


def _energy_line(used: Energy) -> str:
    grams = used.co2_g
    co2 = f"{significant(grams / 1000)} kg" if grams >= 1000 else f"{significant(grams)} g"
    mean = "" if used.mean_w is None else f", {used.mean_w:,.0f} of {used.tdp_w.value:,.0f} W"
    grid = used.grid_g_per_kwh
    return f"{energy(used.kwh)}{mean} ({used.kind}); {co2} CO2 at {grid.value:,.0f} g/kWh"


def bill_assumptions(bill: Bill) -> list[dict[str, Any]]:
    """What goes into a bill, in the form of a run's assumptions."""
    hosted, used = bill.self_hosted, bill.energy
    named: dict[str, Quoted | None] = {}
    if hosted is not None:
        named |= {
            "price.gpu_hour": hosted.gpu_hour,
            "price.spot_gpu_hour": hosted.spot_gpu_hour,
            "price.idle_hours": hosted.day.idle_hours,
        }
    if used is not None:
        named |= {
            "power.idle": used.idle_w,
            "power.tdp": used.tdp_w,
            "power.compute_weight": used.compute_weight,
            "power.memory_weight": used.memory_weight,
            "power.grid": used.grid_g_per_kwh,
        }
    for api in bill.apis:
        if (cache := api.cache) is not None:
            source = f"{cache.rule}: {cache.source}"
            lifetime = Quoted(cache.lifetime_s, "s", cache.kind, cache.date, source)
            named[f"api.{api.model}.cache_lifetime"] = lifetime
    return [
        {
            "name": name,
            "value": quoted.value,
            "unit": quoted.unit,
            "kind": quoted.kind,
            "source": f"{quoted.source} {f'({quoted.date})' if quoted.date else ''}".rstrip(),
        }
        for name, quoted in named.items()
        if quoted is not None
    ]


def api_part(bill: Bill) -> RenderableType:
    """The same tokens at APIs, one line each, and what such a comparison leaves out."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold")
    table.add_column("API", no_wrap=True, overflow="ellipsis", max_width=34)
    for head in ("cost", "uncached", "from cache", "x self-hosted"):
        table.add_column(head, justify="right", no_wrap=True, min_width=8)
    for api in bill.apis:
        table.add_row(Text(f"  {api.model}"), *_api_cells(api))
    return Group(table, Text(f"  {bill.caveat}"))


def _api_cells(api: ApiCost) -> tuple[str, str, str, str]:
    read = "no cache" if api.cache is None else percent(api.cached_share or 0.0)
    times = "-" if api.times_self_hosted is None else significant(api.times_self_hosted)
    return dollars(api.usd), dollars(api.usd_without_cache), read, times
