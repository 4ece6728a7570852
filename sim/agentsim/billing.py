"""What a run costs: from the options of the command line to the `Bill` of a run.

`read_terms` finds every price before anything runs; `bill_of` applies them to what was run.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from agentsim.domain.records import Run
from agentsim.domain.specs import GpuSpec
from agentsim.domain.trace import Trace
from agentsim.domain.units import seconds_to_ns
from agentsim.errors import ConfigError
from agentsim.machine.catalog import gpus
from agentsim.report.api_cost import Api, api_cost, find_api
from agentsim.report.api_prices import AS_OF
from agentsim.report.bill import CAVEAT, ApiCache, Bill, Quoted
from agentsim.report.cost import HOURS_A_DAY, gpus_of, self_hosted
from agentsim.report.energy import PowerModel, default_grid, energy_of, power_model
from agentsim.report.gpu_prices import (
    GpuPrice,
    find_gpu_price,
    given_gpu_price,
    read_price_table,
)
from agentsim.report.metrics import IntArray, PartsOf, replicas_of, served
from agentsim.workload.held import HELD_COLUMNS, held_prefixes

#: The API the case study compares with.
DEFAULT_APIS = ("gpt-4o",)
#: ``--api none``: compare with nothing.
NO_API = "none"
#: A GPU that is used for an eight-hour working day and paid for all 24 hours.
_IDLE_HOURS = Quoted(16.0, "hours/day", "assumed", "2026-11", "used for an eight-hour working day")


@dataclass(frozen=True, slots=True)
class Terms:
    """Every price and assumption of a bill.

    Attributes
    ----------
    gpu_price : GpuPrice or None
        None if the GPU has no price.
    power : PowerModel
    grid, idle_hours : Quoted
    apis : tuple of Api
    """

    gpu_price: GpuPrice | None
    power: PowerModel
    grid: Quoted
    idle_hours: Quoted
    apis: tuple[Api, ...]


def read_terms(
    gpu: GpuSpec,
    *,
    gpu_price: str | None = None,
    price_table: Path | None = None,
    apis: Sequence[str] = (),
    api_date: str | None = None,
    idle_hours: str | None = None,
    grid: str | None = None,
) -> Terms:
    """The terms that the options of a command state; what they leave open is the default.

    Parameters
    ----------
    gpu_price : str or None
        $ for an hour of one GPU; before any table.
    price_table : Path or None
        See `report.gpu_prices.read_price_table`.
    apis : sequence of str
        Models to compare with, see `report.api_cost.find_api`; empty: `DEFAULT_APIS`; ``none``:
        none.
    api_date : str or None
        Day whose API prices are taken, ``YYYY-MM-DD``; None: `report.api_prices.AS_OF`.
    idle_hours : str or None
        Hours of a day in which the GPU is paid for and idle.
    grid : str or None
        g CO2 for a kWh.

    Raises
    ------
    ConfigError, UnknownName
        Naming the option and what was expected.
    """
    price = find_gpu_price(read_price_table(price_table, gpus()), gpu.name)
    if gpu_price is not None:
        price = given_gpu_price(number_of("--gpu-price", gpu_price, "of $ for an hour"))
    hours, intensity = _IDLE_HOURS, default_grid()
    if idle_hours is not None:
        value = number_of("--idle-hours", idle_hours, "below 24", below=HOURS_A_DAY)
        hours = Quoted(value, hours.unit, "given", "", "--idle-hours")
    if grid is not None:
        value = number_of("--grid", grid, "of g CO2 for a kWh")
        intensity = Quoted(value, intensity.unit, "given", "", "--grid")
    as_of = AS_OF if api_date is None else _day("--api-date", api_date)
    names = [name for name in dict.fromkeys(apis or DEFAULT_APIS) if name != NO_API]
    return Terms(
        gpu_price=price,
        power=power_model(gpu.name, gpu.tdp_w, gpu.source),
        grid=intensity,
        idle_hours=hours,
        apis=tuple(find_api(name, as_of) for name in names),
    )


def _day(option: str, text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"{option}: expected a day YYYY-MM-DD, got {text!r}") from None


def number_of(option: str, text: str, of_what: str, *, below: float = math.inf) -> float:
    """The number >= 0 that an option states.

    Raises
    ------
    ConfigError
        If it is none.
    """
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < below:
        raise ConfigError(f"{option}: expected a number >= 0 {of_what}, got {text!r}")
    return value


def bill_of(run: Run, trace: Trace, terms: Terms, parts_of: PartsOf | None = None) -> Bill:
    """Money and energy of a run.

    Parameters
    ----------
    trace : Trace
        The trace as it was run: after `simulator.fit_trace`.
    parts_of : callable or None
        `Roofline.parts` of the run's system; None (a measured run): no energy.
    """
    num_gpus = gpus_of(run, len(replicas_of(run)))
    hosted = None
    if terms.gpu_price is not None:
        hosted = self_hosted(run, num_gpus, terms.gpu_price, terms.idle_hours)
    energy = None
    if parts_of is not None:
        energy = energy_of(run, parts_of, num_gpus, terms.power, terms.grid)
    held = _held(run, trace, terms.apis)
    apis = tuple(
        api_cost(run, api, held[_kept(api.cache)] if api.cache else None, hosted)
        for api in terms.apis
    )
    return Bill(hosted, energy, apis, CAVEAT)


def _kept(cache: ApiCache) -> tuple[int, bool]:
    """What of a cache decides what it holds: its lifetime, and whether it keeps answers."""
    return seconds_to_ns(cache.lifetime_s), cache.outputs


def _held(run: Run, trace: Trace, apis: Sequence[Api]) -> dict[tuple[int, bool], IntArray]:
    """What each kind of cache holds of the prompts that were served."""
    kinds = dict.fromkeys(_kept(api.cache) for api in apis if api.cache is not None)
    if not kinds:
        return {}
    mask = served(run)
    requests = {name: run.requests[name][mask] for name in HELD_COLUMNS}
    return {
        (lifetime_ns, outputs): held_prefixes(trace, requests, lifetime_ns, with_outputs=outputs)
        for lifetime_ns, outputs in kinds
    }
