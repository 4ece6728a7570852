"""What is left to gain: one run beside what it would be if something were free. Start at `bounds`.

Some bounds are proven: a call never takes less than alone on its engine, and agents that get every
answer no later end no later, so no way of serving the same calls with the same hits is faster in
this model. Others are the same simulation with one thing idealised. Where several sessions run at
once, an idealised part can change who meets whom, and so, rarely, lengthen a run (Graham, "Bounds
on multiprocessing timing anomalies", 1969): these are no proofs.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Literal

import msgspec

from agentsim.domain.records import Run
from agentsim.domain.trace import Trace
from agentsim.machine.api_server import NO_SERVER
from agentsim.machine.coefficients import Coefficients
from agentsim.machine.system import System
from agentsim.machine.transformers import TransformersCost
from agentsim.policies.evictions import Belady
from agentsim.report.metrics import served_total
from agentsim.simulator import fit_trace, simulate
from agentsim.study.alone import alone, no_service, run_alone
from agentsim.study.evaluate import Progress
from agentsim.study.mechanisms import LAYOUT
from agentsim.study.toggles import Plan, build, changed_plan
from agentsim.workload.next_uses import USE_COLUMNS, next_uses

#: Blocks of a KV cache without end.
_ENDLESS = 1 << 40


class Bound(msgspec.Struct, frozen=True):
    """A figure of a run if something were free.

    Attributes
    ----------
    value : float or None
        In the figure's unit; None where the figure does not exist of such a run.
    gain : float or None
        What the run is away from it, as a share of the run's own figure.
    kind : str
        ``proven``: no way of serving the same calls with the same hits is better. ``idealised``:
        the simulation with one thing free.
    prefilled_tokens : int
        Prompt tokens that were not found in the cache.
    """

    name: str
    value: float | None
    gain: float | None
    kind: Literal["proven", "idealised"]
    meaning: str
    prefilled_tokens: int


@dataclasses.dataclass(frozen=True, slots=True)
class Ideal:
    """A run if something were free; `kind` as of `Bound`."""

    name: str
    run: Run
    kind: Literal["proven", "idealised"]
    meaning: str


def bounds(
    trace: Trace,
    plan: Plan,
    run: Run,
    figure: Callable[[Run], float | None],
    *,
    higher_is_better: bool = False,
    progress: Progress | None = None,
) -> list[Bound]:
    """How far one figure of a run is from each of its bounds.

    Parameters
    ----------
    plan : Plan
        Of `run`.
    figure : callable
        Read from the run and from each of `ideal_runs`.
    progress : callable or None
        As for `simulate`, of one simulation after the other.
    """
    own, found = figure(run), []
    for ideal in ideal_runs(trace, plan, run, progress):
        value, gain = figure(ideal.run), None
        if own and value is not None:
            gain = (value - own if higher_is_better else own - value) / own
        tokens = [served_total(ideal.run, f"{name}_tokens") for name in ("prompt", "cached")]
        found.append(
            Bound(ideal.name, value, gain, ideal.kind, ideal.meaning, tokens[0] - tokens[1])
        )
    return found


def ideal_runs(trace: Trace, plan: Plan, run: Run, progress: Progress | None = None) -> list[Ideal]:
    """The runs behind `bounds`."""
    system, config = build(plan), plan.config
    fitted = fit_trace(trace, config, system)
    cached, cached_alone = with_perfect_cache(trace, plan, progress)
    evicting = with_best_eviction(trace, plan, run, progress)
    free = {
        name: simulate(trace, config, system=change(system), progress=progress)
        for name, change in _FREE.items()
    }
    runs = {
        "perfect cache": cached,
        "Belady eviction": evicting,
        **free,
        "no queue": run_alone(run, fitted, config, alone(system, run.requests)),
        "no queue, perfect cache": cached_alone,
        "tools only": run_alone(run, fitted, config, no_service(run)),
    }
    return [
        Ideal(name, one, "proven" if name in _PROVEN else "idealised", MEANINGS[name])
        for name, one in runs.items()
    ]


def with_perfect_cache(
    trace: Trace, plan: Plan, progress: Progress | None = None
) -> tuple[Run, Run]:
    """A run whose KV memory has no end, and the same if each of its calls were alone."""
    endless = changed_plan(plan, _PERFECT_CACHE)
    system = build(endless)
    cached = simulate(trace, endless.config, system=system, progress=progress)
    fitted = fit_trace(trace, endless.config, system)
    return cached, run_alone(cached, fitted, endless.config, alone(system, cached.requests))


def with_best_eviction(trace: Trace, plan: Plan, run: Run, progress: Progress | None = None) -> Run:
    """The run again, evicting what is used again last; the run itself where nothing is cached."""
    engine = plan.config.engine
    if not engine.enable_prefix_caching or engine.free_queue != "two-ended":
        return run
    if engine.kind != "vllm":
        return run
    system = build(plan)
    requests = {name: run.requests[name] for name in USE_COLUMNS}
    future = next_uses(fit_trace(trace, plan.config, system), requests)
    return simulate(trace, plan.config, system=system, eviction=Belady(future), progress=progress)


def _with(system: System, change: Callable[[Coefficients], Coefficients]) -> System:
    return dataclasses.replace(system, cost=system.cost.changed(change))


def _no_memory_time(c: Coefficients) -> Coefficients:
    queries = c.decode_tokens if c.decode_tokens > 1 else 0
    return dataclasses.replace(
        c,
        dense_memory=0.0,
        expert_memory=0.0,
        head_memory=0.0,
        context_full=0.0,
        context_window=0.0,
        decode_full=queries * c.pairs_full,
        decode_window=queries * c.pairs_window,
        mixed_full=c.mixed_full if c.mixed_full > c.context_full else queries * c.pairs_full,
        mixed_window=(
            c.mixed_window if c.mixed_window > c.context_window else queries * c.pairs_window
        ),
        token=c.token_link,
        row=0.0,
    )


def _no_compute_time(c: Coefficients) -> Coefficients:
    return dataclasses.replace(
        c,
        dense_compute=0.0,
        expert_compute=0.0,
        head_compute=0.0,
        pairs_full=0.0,
        pairs_window=0.0,
        decode_full=c.context_full,
        decode_window=c.context_window,
        mixed_full=c.context_full,
        mixed_window=c.context_window,
    )


def _no_fixed_time(c: Coefficients) -> Coefficients:
    return dataclasses.replace(
        c,
        layers=c.layers_link,
        sequence=0.0,
        step=0.0,
        launch_piecewise=0.0,
        launch_eager=0.0,
        cpu_step=0.0,
        cpu_sequence=0.0,
    )


def _no_overhead(system: System) -> System:
    if isinstance(system.cost, TransformersCost):
        system = dataclasses.replace(system, cost=system.cost.without_overhead())
    return dataclasses.replace(_with(system, _no_fixed_time), api=NO_SERVER)


_PERFECT_CACHE = {
    LAYOUT: "paged",
    "engine.enable_prefix_caching": True,
    "engine.num_gpu_blocks": _ENDLESS,
    "engine.kv_offloading_size": None,
}
_PROVEN = ("no queue", "tools only")
_FREE: dict[str, Callable[[System], System]] = {
    "infinite compute": lambda system: _with(system, _no_compute_time),
    "infinite bandwidth": lambda system: _with(system, _no_memory_time),
    "no overhead": _no_overhead,
}
#: What is free, by the name of the bound.
MEANINGS = {
    "perfect cache": "KV memory without end: whatever a replica has computed, it finds",
    "Belady eviction": "what is used again last is evicted first, as seen in the run itself",
    "infinite compute": "arithmetic takes no time",
    "infinite bandwidth": "reading weights, KV and activations takes no time",
    "no overhead": "launches, scheduler, API server and generate's own code take no time",
    "no queue": "each call alone on an engine of its own, with the hits it had",
    "no queue, perfect cache": "each call alone, with the hits of the perfect cache",
    "tools only": "calls take no time: what is left are waits, and sessions in turn",
}
