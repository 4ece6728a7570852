"""The cheapest way to serve a trace within objectives: `plan`.

The search (`search`) finds it; around the answer stand how sure it is, the Pareto front, how many
agents a replica carries (`capacity`), how the answer moves with the workload (`moves`), from how
many calls a day it beats an API (`break_even`), and why everything else fails.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agentsim.billing import number_of
from agentsim.domain.trace import StoredSessions, Trace
from agentsim.errors import ConfigError
from agentsim.machine.catalog import gpus
from agentsim.report.durations import dollars
from agentsim.report.gpu_prices import given_gpu_price, read_price_table
from agentsim.study.break_even import BreakEven
from agentsim.study.capacity import Capacity
from agentsim.study.figures import Figure, read_figure
from agentsim.study.moves import Move
from agentsim.study.objectives import Objective, check_together, read_budget, read_objective
from agentsim.study.planner import Planner, Told, miss
from agentsim.study.space import MAX_GPUS, Platform, Space, default_space
from agentsim.study.trial import Task, Tried
from agentsim.study.variants import Sources
from agentsim.study.workers import workers
from agentsim.uncertainty import SAMPLES

if TYPE_CHECKING:
    import pandas as pd

#: Options that optuna chooses after the coarse stage.
TRIALS = 64
#: Figures of every option, beside those of the objectives.
FIGURES = ("p50 ttft", "p95 ttft", "mean e2e", "p90 session", "runtime", "output_rate", "reuse",
           "cost/session", "energy")  # fmt: skip
NO_API = {"apis": ("none",)}


@dataclass(frozen=True, slots=True)
class Plan:
    """The answer, and what stands around it.

    Attributes
    ----------
    best : Tried
        The cheapest option that keeps all objectives, with `sampled` figures.
    sure : Tried or None
        The cheapest that keeps them under all parameter sets as well; None: none of those asked.
    front : tuple of Tried
        Options that no other beats in both rent and latency, cheapest first.
    tried : tuple of Tried
        Everything simulated, in that order.
    unfit : dict of Platform to str
        Why a platform was not simulated.
    """

    space: Space
    objectives: tuple[Objective, ...]
    latency: Figure
    best: Tried
    sure: Tried | None
    front: tuple[Tried, ...]
    tried: tuple[Tried, ...]
    unfit: dict[Platform, str]
    capacity: Capacity | None
    moves: tuple[Move, ...] = ()
    even: tuple[BreakEven, ...] = ()

    def rejected(self) -> dict[str, str]:
        """Why each GPU is not the answer, by its best option."""
        found = dict(self.space.passed_over)
        for gpu in self.space.rents:
            if gpu != self.best.option.platform.gpu:
                found[gpu] = self._why_not(gpu)
        return found

    def frame(self) -> pd.DataFrame:
        """A row for each option simulated, in that order: rent, verdict, settings, figures."""
        import pandas as pd

        rows = []
        for one in self.tried:
            met = one.is_met(self.objectives)
            row: dict[str, Any] = {
                "name": one.option.name(),
                "num_gpus": one.option.num_gpus,
                "usd_per_hour": self.space.rent(one.option),
                "met": met,
                "missed": None if met or one.failure else miss(one, self.objectives),
                "failure": one.failure,
            }
            rows.append(row | one.option.settings() | one.values)
        return pd.DataFrame(rows)

    def _why_not(self, gpu: str) -> str:
        met = [o for o in self.tried if o.option.platform.gpu == gpu and o.is_met(self.objectives)]
        if met:
            rent, one = min(((self.space.rent(o.option), o) for o in met), key=lambda pair: pair[0])
            return f"dearer: {dollars(rent)}/h for {one.option.name()}"
        limit = self.space.rent(self.best.option)
        tried = [o for o in self.tried if o.option.platform.gpu == gpu and not o.failure]
        cheaper = [one for one in tried if self.space.rent(one.option) <= limit]
        if cheaper:
            near = min(cheaper, key=lambda one: one.nearness(self.objectives))
            missed = f"{miss(near, self.objectives)} with {near.option.name()}"
            return f"{missed}; more would be dearer" if self._could_grow(near) else missed
        if tried:
            return f"dearer: at least {dollars(min(self.space.rent(o.option) for o in tried))}/h"
        unfit = [why for platform, why in self.unfit.items() if platform.gpu == gpu]
        prices = [why for why in unfit if why.startswith("price")]
        beyond = ", above the budget" if prices and self.space.budget is not None else ""
        return (prices or unfit or ["not tried"])[0] + beyond

    def _could_grow(self, one: Tried) -> bool:
        """Whether more of these GPUs may be rented."""
        counts = self.space.counts(one.option.platform)
        return counts[-1] > one.option.replicas


def plan(
    trace: Trace,
    slo: Sequence[str],
    *,
    sources: Sources | None = None,
    budget: str | None = None,
    space: Space | None = None,
    weights: str = "all",
    max_gpus: int = MAX_GPUS,
    vary: Sequence[str] = (),
    spot: bool = False,
    prices: Mapping[str, Any] | None = None,
    trials: int = TRIALS,
    samples: int = SAMPLES,
    jobs: int = 1,
    told: Told | None = None,
) -> Plan:
    """The cheapest deployment that serves a trace within objectives.

    Parameters
    ----------
    slo : sequence of str
        At least one, see `objectives.read_objective`.
    sources : Sources or None
        Settings that all options share; what they state is not chosen. Agents are theirs too.
    budget : str or None
        Most rent, see `objectives.read_budget`.
    space : Space or None
        In place of `space.default_space` with `budget`, `weights`, `max_gpus`, `vary`, `spot`.
    prices : mapping or None
        Arguments of `billing.read_terms`.
    trials : int
        Options that optuna chooses after the coarse stage.
    samples : int
        Parameter sets under which the answer is simulated again; 0: none.
    jobs : int
        Processes; the answer does not depend on them.

    Raises
    ------
    Infeasible
        If no option keeps all objectives.
    ConfigError
        For objectives or a budget that cannot be.
    """
    objectives = tuple(read_objective(text) for text in slo)
    if not objectives:
        raise ConfigError("no objective: give --slo, such as --slo 'p95 ttft < 2s'")
    check_together(objectives)
    most = read_budget(budget) if budget is not None else None
    sources = sources or Sources()
    if space is None:
        space = priced_space(
            sources,
            prices or {},
            weights=weights,
            max_gpus=max_gpus,
            budget=most,
            vary=vary,
            spot=spot,
        )
    task = Task(
        in_memory(trace), space.base, objectives, _figures(objectives), {**(prices or {}), **NO_API}
    )
    with workers(task, jobs) as run:
        planner = Planner(task, space, run, told)
        planner.search(trials)
        best, sure = planner.answer(samples)
        return Plan(
            space=space,
            objectives=objectives,
            latency=planner.latency,
            best=best,
            sure=sure,
            front=planner.front(),
            tried=tuple(planner.found.tried.values()),
            unfit=planner.found.unfit,
            capacity=planner.capacity(best),
            moves=planner.moves(best),
            even=planner.break_even(best, {"apis": (), **(prices or {})}),
        )


def priced_space(sources: Sources, prices: Mapping[str, Any], **choices: Any) -> Space:
    """`space.default_space` with the prices of `billing.read_terms`' arguments."""
    table = read_price_table(prices.get("price_table"), gpus())
    given = prices.get("gpu_price")
    if given is not None:
        given = given_gpu_price(number_of("--gpu-price", given, "of $ for an hour")).on_demand.value
    return default_space(sources, table, gpu_price=given, **choices)


def in_memory(trace: Trace) -> Trace:
    """The trace as other processes can be given it."""
    if isinstance(trace.sessions, StoredSessions):
        return Trace(tuple(trace), trace.header, trace.notes)
    return trace


def _figures(objectives: Sequence[Objective]) -> tuple[Figure, ...]:
    found = [one.figure for one in objectives] + [read_figure(text) for text in FIGURES]
    return tuple({figure.name: figure for figure in found}.values())
