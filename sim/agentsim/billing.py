"""What a run costs: from the options of the command line to the `Bill` of a run.

`read_terms` finds every price before anything runs; `bill_of` applies them to what was run.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
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
from agentsim.report.bill import CAVEAT, Bill, Quoted
from agentsim.report.cost import HOURS_A_DAY, gpus_of, self_hosted
from agentsim.report.energy import PowerModel, default_grid, energy_of, power_model
from agentsim.report.gpu_prices import (
    GpuPrice,
    find_gpu_price,
    given_gpu_price,
    read_price_table,
)
from agentsim.report.metrics import FloatArray, IntArray, served
from agentsim.workload.held import held_prefixes

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
        price = given_gpu_price(_number("--gpu-price", gpu_price, "of $ for an hour"))
    hours, intensity = _IDLE_HOURS, default_grid()
    if idle_hours is not None:
        value = _number("--idle-hours", idle_hours, "below 24", below=HOURS_A_DAY)
        hours = Quoted(value, hours.unit, "given", "", "--idle-hours")
    if grid is not None:
        value = _number("--grid", grid, "of g CO2 for a kWh")
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


def _number(option: str, text: str, of_what: str, *, below: float = math.inf) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < below:
        raise ConfigError(f"{option}: expected a number >= 0 {of_what}, got {text!r}")
    return value


def bill_of(
    run: Run, trace: Trace, terms: Terms, parts: Mapping[str, FloatArray] | None = None
) -> Bill:
    """Money and energy of a run.

    Parameters
    ----------
    trace : Trace
        The trace as it was run: after `simulator.fit_trace`.
    parts : mapping of str to ndarray of float64, or None
        What `Roofline.parts` says of `run.steps`; None (a measured run): no energy.
    """
    replicas = max(len(set(run.steps["replica"].tolist())), 1)
    num_gpus = gpus_of(run, replicas)
    hosted = None
    if terms.gpu_price is not None:
        hosted = self_hosted(run, num_gpus, terms.gpu_price, terms.idle_hours)
    energy = None
    if parts is not None:
        energy = energy_of(run, parts, num_gpus, terms.power, terms.grid)
    apis = tuple(api_cost(run, api, _held(run, trace, api), hosted) for api in terms.apis)
    return Bill(hosted, energy, apis, CAVEAT)


def _held(run: Run, trace: Trace, api: Api) -> IntArray | None:
    if api.cache is None:
        return None
    mask = served(run)
    requests = {name: column[mask] for name, column in run.requests.items()}
    lifetime_ns = seconds_to_ns(api.cache.lifetime_s)
    return held_prefixes(trace, requests, lifetime_ns, with_outputs=api.cache.outputs)
