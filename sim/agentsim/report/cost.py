"""What the GPUs of a run cost: over the run, a day with idle hours, a session, a million tokens."""

from __future__ import annotations

from agentsim.domain.records import Run
from agentsim.domain.units import NS_PER_S
from agentsim.report.bill import Day, Quoted, SelfHosted
from agentsim.report.gpu_prices import GpuPrice
from agentsim.report.metrics import served_total

HOURS_A_DAY = 24
_S_PER_HOUR = 3600
_MILLION = 1e6


def gpus_of(run: Run, replicas: int) -> int:
    """GPUs that a run rents: those of each replica, times the replicas."""
    return replicas * int(run.config.get("engine", {}).get("tensor_parallel_size", 1))


def self_hosted(run: Run, num_gpus: int, price: GpuPrice, idle_hours: Quoted) -> SelfHosted:
    """The price of renting `num_gpus` GPUs for a run.

    Parameters
    ----------
    idle_hours : Quoted
        Hours of a day, below 24, in which the GPUs are paid for and nobody calls. In the others
        the run is repeated.
    """
    hours = run.makespan_ns / NS_PER_S / _S_PER_HOUR
    sessions = run.sessions.num_rows
    output = served_total(run, "output_tokens")
    tokens = output + served_total(run, "prompt_tokens")
    an_hour = num_gpus * price.on_demand.value
    usd = an_hour * hours
    return SelfHosted(
        num_gpus=num_gpus,
        gpu_hour=price.on_demand,
        run_usd=usd,
        usd_per_session=share(usd, sessions),
        usd_per_million_tokens=share(usd, tokens / _MILLION),
        usd_per_million_output_tokens=share(usd, output / _MILLION),
        day=_day(HOURS_A_DAY * an_hour, hours, sessions, idle_hours),
        spot_gpu_hour=price.spot,
        spot_run_usd=num_gpus * price.spot.value * hours if price.spot else None,
        kind=price.on_demand.kind,
        date=price.on_demand.date,
    )


def _day(usd: float, hours: float, sessions: int, idle_hours: Quoted) -> Day:
    done = share((HOURS_A_DAY - idle_hours.value) * sessions, hours)
    return Day(idle_hours, usd, done, share(usd, done or 0))


def share(amount: float, number: float) -> float | None:
    """What falls on each of `number`; None where there is none."""
    return amount / number if number else None
