"""Why one configuration is faster (cheaper, ...) than another: `explain`.

Every combination of the mechanisms in which the two differ is simulated, and each mechanism gets
the mean of what it adds over all orders of switching them on (`attribution`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from agentsim.billing import Terms, bill_of, read_terms
from agentsim.domain.records import Run
from agentsim.domain.trace import StoredSessions, Trace
from agentsim.errors import ConfigError, DoesNotFit, TraceError
from agentsim.machine.system import System
from agentsim.report.document import package_version
from agentsim.simulator import fit_trace, simulate
from agentsim.study.attribution import Attribution, coalitions_of, exact, sampled
from agentsim.study.bounds import Bound, bounds
from agentsim.study.evaluate import Progress
from agentsim.study.explanation import End, Explanation, MechanismEffect, Method, Shown
from agentsim.study.figures import Figure, Measured
from agentsim.study.toggles import Plan, Toggle, build, plan_of, toggles_between
from agentsim.study.variants import Variant
from agentsim.study.workers import workers

#: Mechanisms up to which all orders are looked at: 256 simulations.
MOST_EXACT = 8
#: Pairs of orders drawn where there are more.
PAIRS = 16
#: Calls to simulate, of all combinations together, from which on processes share them.
_WORTH_SHARING = 50_000


@dataclass(frozen=True, slots=True)
class Meter:
    """Reads one figure of any run of one trace; can be sent to another process.

    Attributes
    ----------
    prices : mapping
        Arguments of `billing.read_terms`.
    """

    trace: Trace
    figure: Figure
    prices: Mapping[str, Any]

    def measure(self, plan: Plan, progress: Progress | None = None) -> float | str:
        """The figure of a plan, or why there is none."""
        try:
            system = build(plan)
            run = simulate(self.trace, plan.config, system=system, progress=progress)
            value = self.read(run, plan, system)
        except (ConfigError, DoesNotFit, TraceError) as error:
            return str(error)
        return f"it has no {self.figure.label}" if value is None else value

    def read(self, run: Run, plan: Plan, system: System) -> float | None:
        """The figure of a run of a plan."""
        if self.figure.unit not in ("$", "$/h", "kWh"):
            return self.figure.of(Measured(run))
        terms: Terms = read_terms(system.gpu, **{**self.prices, "apis": ("none",)})
        fitted = fit_trace(self.trace, plan.config, system)
        parts_of = system.cost.parts if run.steps.num_rows else None
        return self.figure.of(Measured(run, bill_of(run, fitted, terms, parts_of)))


def explain(
    trace: Trace,
    first: Variant,
    second: Variant | None,
    figure: Figure,
    *,
    prices: Mapping[str, Any] | None = None,
    pairs: int | None = None,
    with_bounds: bool = True,
    jobs: int | None = None,
    progress: Progress | None = None,
) -> Explanation:
    """Divide the difference of two configurations among their mechanisms.

    Parameters
    ----------
    second : Variant or None
        None: only the bounds of `first`.
    prices : mapping or None
        Arguments of `billing.read_terms`.
    pairs : int or None
        Pairs of orders to draw; None: all orders, up to `MOST_EXACT` mechanisms.
    jobs : int or None
        Processes; None: as many as there are cores, if there is enough to do.

    Raises
    ------
    ConfigError
        If the two are the same, one of them cannot be run, or no order of changes leads from one to
        the other.
    """
    meter = Meter(trace, figure, prices or {})
    toggles = [] if second is None else toggles_between(first.config, second.config)
    if second is not None and not toggles:
        raise ConfigError(
            f"{first.name} and {second.name} are the same configuration: nothing to explain"
        )
    seed = first.config.seed
    if pairs is None and len(toggles) > MOST_EXACT:
        pairs = PAIRS
    all_of_them = range(1 << len(toggles))
    asked = all_of_them if pairs is None else coalitions_of(len(toggles), pairs, seed)
    plans = {coalition: plan_of(first.config, toggles, coalition) for coalition in asked}
    last = plans[(1 << len(toggles)) - 1]
    found = _measure_all(meter, list(dict.fromkeys((plans[0], last))), 1, progress)
    ends = [_end(first, found[plans[0]])]
    if second is not None:
        ends.append(_end(second, found[last]))
    others = [plan for plan in dict.fromkeys(plans.values()) if plan not in found]
    found |= _measure_all(meter, others, jobs, progress)

    def value(coalition: int) -> Fraction | None:
        measured = found[plans[coalition]]
        return None if isinstance(measured, str) else Fraction(measured)

    effects, method = [], None
    if toggles:
        attribution = (
            exact(len(toggles), value)
            if pairs is None
            else sampled(len(toggles), value, pairs=pairs, seed=seed)
        )
        effects = _effects(toggles, attribution)
        method = _method(attribution, found.values(), seed)
    return Explanation(
        schema_version=1,
        agentsim_version=package_version(),
        figure=Shown(figure.name, figure.label, figure.unit, figure.better),
        first=ends[0],
        second=ends[1] if second is not None else None,
        effects=effects,
        method=method,
        bounds=_bounds(meter, last, progress) if with_bounds else [],
    )


def _measure_all(
    meter: Meter, plans: Sequence[Plan], jobs: int | None, progress: Progress | None
) -> dict[Plan, float | str]:
    """The figure of each plan, or why it has none."""
    from joblib import cpu_count

    calls = meter.trace.num_calls
    total, done = calls * len(plans), 0

    def tick(calls_done: int, _: int, now_ns: int) -> None:
        if progress is not None:
            progress(done + calls_done, total, now_ns)

    found: dict[Plan, float | str] = {}
    count = jobs or (cpu_count() if total >= _WORTH_SHARING else 1)
    if count == 1 or isinstance(meter.trace.sessions, StoredSessions):
        for plan in plans:
            found[plan] = meter.measure(plan, tick)
            done += calls
        return found
    with workers(meter, min(count, len(plans))) as run:
        for plan, value in zip(plans, run(Meter.measure, plans), strict=True):
            found[plan] = value
            tick(calls, calls, 0)
            done += calls
    return found


def _end(variant: Variant, measured: float | str) -> End:
    if isinstance(measured, str):
        raise ConfigError(f"{variant.name}: {measured}" if variant.name else measured)
    return End(variant.name, measured)


def _effects(toggles: Sequence[Toggle], attribution: Attribution) -> list[MechanismEffect]:
    """Largest first."""
    rows = [
        MechanismEffect(
            toggle.label,
            toggle.settings,
            float(effect.value),
            float(effect.low),
            float(effect.high),
            effect.error,
        )
        for toggle, effect in zip(toggles, attribution.effects, strict=True)
    ]
    return sorted(rows, key=lambda row: -abs(row.value))


def _method(attribution: Attribution, found: Iterable[float | str], seed: int) -> Method:
    values = list(found)
    return Method(
        kind="exact" if attribution.is_exact else "sampled",
        orders=attribution.orders,
        orders_left_out=attribution.left_out,
        impossible=sorted({value for value in values if isinstance(value, str)}),
        simulations=len(values),
        seed=seed,
    )


def _bounds(meter: Meter, plan: Plan, progress: Progress | None) -> list[Bound]:
    system = build(plan)
    run = simulate(meter.trace, plan.config, system=system, progress=progress)
    return bounds(
        meter.trace,
        plan,
        run,
        lambda run: meter.read(run, plan, system),
        higher_is_better=meter.figure.better == "higher",
        progress=progress,
    )
