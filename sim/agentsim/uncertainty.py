"""How sure a prediction is: the same run under other parameter sets, and what 90 % of them give.

`parameter_sets` draws the factors of the step-time model from what is known of them: standard
errors and correlations of the GPU's profile, and one scale of all step times for what whole runs
differ by that no factor explains (the profile's ``spread``). A draw depends on the name of its
factor alone, so configurations are compared under the same ones (common random numbers).
`predict_intervals` simulates a trace with each.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from statistics import NormalDist, fmean, stdev
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from agentsim.domain.chance import uniforms
from agentsim.domain.config import Config, CostConfig
from agentsim.domain.records import Run
from agentsim.domain.trace import Trace
from agentsim.machine.system import System, build_system
from agentsim.report.bill import Bill
from agentsim.report.figures import Bands, Interval, Intervals
from agentsim.report.metrics import METRICS
from agentsim.simulator import simulate

#: Probability that a measured figure lies within its interval.
LEVEL = 0.9
#: Parameter sets drawn unasked, and the calls of a trace up to which they are.
SAMPLES, MOST_CALLS = 8, 5_000

_STREAM = "uncertainty"
_SCALE = "step time"
_LATENCIES = ("ttft", "tpot", "e2e", "session")
_QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99}

FloatArray = npt.NDArray[np.float64]


def default_samples(trace: Trace) -> int:
    """Parameter sets drawn unasked: none for a long trace, which would take nine times as long."""
    return SAMPLES if trace.num_calls <= MOST_CALLS else 0


def parameter_sets(system: System, count: int) -> list[dict[str, float]]:
    """Values of the uncertain cost factors, `count` times.

    Each factor's normal draws are stratified: one from the middle of each of `count` equally likely
    parts, in an order of its own.

    Returns
    -------
    list of dict
        By the names of `CostConfig`; without factors that the user gave.
    """
    rows = {row["name"]: row for row in system.assumptions if row.get("error")}
    names = [name for name in CostConfig.__struct_fields__ if name in rows]
    profile = system.gpu.profile
    normal = {name: _normals(name, count) for name in names}
    known = [name for name in profile.correlation.names if name in normal]
    if known:
        at = [profile.correlation.names.index(name) for name in known]
        matrix = np.array(profile.correlation.rows)[np.ix_(at, at)]
        mixed = np.linalg.cholesky(matrix) @ np.stack([normal[name] for name in known])
        normal |= dict(zip(known, mixed, strict=True))
    scales = np.exp(profile.spread * _normals(_SCALE, count))
    steps = {row["name"]: row for row in system.assumptions if row["name"] in _step_factors()}
    sets = []
    for number in range(count):
        values = {
            name: row["value"] * math.exp(row["error"] * normal[name][number])
            for name, row in rows.items()
            if name in normal
        }
        for name, row in steps.items():
            scale = float(scales[number]) ** _step_factors()[name]
            values[name] = values.get(name, row["value"]) * scale
        sets.append({name: min(value, _most(name)) for name, value in values.items()})
    return sets


def with_factors(config: Config, values: dict[str, float]) -> Config:
    """The configuration with these cost factors."""
    return msgspec.structs.replace(config, cost=msgspec.structs.replace(config.cost, **values))


def interval(values: Sequence[float | None], central: float | None) -> Interval | None:
    """Where a figure lies with probability `LEVEL`: lognormal, and never without `central`.

    Parameters
    ----------
    values : sequence of float or None
        The figure under each parameter set.
    central : float or None
        Under the factors as they are.

    Returns
    -------
    Interval or None
        None where one of the values does not exist or is not above 0, or with fewer than 2.
    """
    above = [value for value in values if value is not None and value > 0]
    if central is None or central <= 0 or len(values) < 2 or len(above) < len(values):
        return None
    logs = [math.log(value) for value in above]
    half = NormalDist().inv_cdf((1 + LEVEL) / 2) * stdev(logs)
    low, high = (math.exp(fmean(logs) + side * half) for side in (-1, 1))
    return Interval(min(low, central), max(high, central))


def predict_intervals(
    trace: Trace,
    config: Config,
    run: Run,
    system: System,
    *,
    samples: int,
    bill: Bill | None = None,
    progress: Callable[[int, int, int], None] | None = None,
) -> Intervals:
    """The intervals of a run's figures.

    Parameters
    ----------
    run : Run
        Of `trace` under `config` and `system`.
    samples : int
        Parameter sets, each simulated, >= 2.
    bill : Bill or None
        Of the run: its cost follows the runtime.
    progress : callable or None
        Called with (calls done, calls in all, simulated nanoseconds) over all parameter sets.
    """
    figures = []
    for number, values in enumerate(parameter_sets(system, samples)):
        sampled = with_factors(config, values)

        def tick(done: int, calls: int, now_ns: int, before: int = number) -> None:
            if progress is not None:
                progress(before * calls + done, samples * calls, now_ns)

        one = simulate(trace, sampled, system=build_system(sampled), progress=tick)
        figures.append(_figures(one))
    central = _figures(run)
    found = {key: interval([each[key] for each in figures], central[key]) for key in central}
    runtime = found["runtime", "mean"]
    usd = None
    if runtime is not None and bill is not None and bill.self_hosted is not None:
        usd_per_s = bill.self_hosted.run_usd / (central["runtime", "mean"] or 1.0)
        usd = Interval(runtime.low * usd_per_s, runtime.high * usd_per_s)
    return Intervals(
        level=LEVEL,
        samples=samples,
        runtime_s=runtime,
        output_tokens_per_s=found["output_rate", "mean"],
        run_usd=usd,
        **{
            name: Bands(*(found[name, statistic] for statistic in ("mean", *_QUANTILES)))
            for name in _LATENCIES
        },
    )


def _figures(run: Run) -> dict[tuple[str, str], float | None]:
    found: dict[tuple[str, str], float | None] = {}
    for name in ("runtime", "output_rate"):
        found[name, "mean"] = METRICS[name].sample(run).mean()
    for name in _LATENCIES:
        sample = METRICS[name].sample(run)
        shares = sample.quantiles(tuple(_QUANTILES.values()))
        found |= {
            (name, s): v
            for s, v in zip(("mean", *_QUANTILES), (sample.mean(), *shares), strict=True)
        }
    return found


def _normals(name: str, count: int) -> FloatArray:
    """Standard normal draws of a factor, stratified."""
    order = np.argsort(uniforms(0, _STREAM, name, count), kind="stable")
    return np.array([NormalDist().inv_cdf((place + 0.5) / count) for place in order.tolist()])


@functools.cache
def _step_factors() -> dict[str, int]:
    """Factors that a step's time goes with: 1, or against: -1."""
    rates = ("bandwidth_efficiency", "compute_efficiency", "attention_bandwidth_efficiency")
    against = (*rates, "attention_compute_efficiency", "link_efficiency")
    beside = ("api_request_s", "api_prompt_token_s", "api_stream_s", "host_link_bytes_per_s")
    times = [name for name in CostConfig.__struct_fields__ if name.endswith("_s")]
    return {
        **dict.fromkeys(against, -1),
        **{name: 1 for name in times if name not in beside},
    }


@functools.cache
def _most(name: str) -> float:
    """The largest value that a factor may have."""
    schema: dict[str, Any] = msgspec.json.schema(CostConfig)["$defs"]["CostConfig"]["properties"]
    (number,) = (kind for kind in schema[name]["anyOf"] if kind.get("type") == "number")
    return float(number.get("maximum", math.inf))
