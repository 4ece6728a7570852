"""Whole measured runs as observations: their means, predicted by simulating them.

A run adds up to three observations: the mean TTFT, ITL and E2E of its requests (the median where a
source has no mean). What a source hides is drawn once, the same for all values of the factors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from agentsim.calibration.observations import FloatArray, Observations, applies
from agentsim.domain.specs import GpuSpec, ModelSpec
from agentsim.errors import ConfigError, UserError
from agentsim.machine.catalog import find_gpu
from agentsim.machine.factors import format_class
from agentsim.machine.system import build_system, read_config
from agentsim.validation import Case, NotSimulated, figure, simulate_case
from agentsim.validation.case import only_stage

#: Regime of a metric where requests do not queue.
_REGIMES = {"ttft": "prefill", "itl": "decode", "e2e": "decode"}
#: The first that a source has.
_STATISTICS = ("mean", "p50")
#: Makespan over the time of the last arrival from which a run is overloaded.
_FAR_BEYOND = 2.0

Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class _Measured:
    """A run that can be simulated, and which of its figures are fitted."""

    case: Case
    gpu: GpuSpec
    model: ModelSpec
    keys: tuple[Key, ...]
    sets: tuple[str, ...]
    is_overloaded: bool
    is_prefill: bool


def observe_runs(
    source: str,
    cases: Iterable[Case | NotSimulated],
    gpu: str,
    sets: Sequence[str] = (),
) -> Observations:
    """The runs of a source that were measured on one GPU.

    Parameters
    ----------
    gpu : str
        Runs on others are left out.
    sets : sequence of str
        Settings after those of each run.

    Raises
    ------
    ConfigError
        If none of the runs can be simulated, with the reason of the first.
    """
    runs: list[_Measured] = []
    left_out: list[str] = []
    for case in cases:
        found = _measured(case, find_gpu(gpu).name, tuple(sets))
        if isinstance(found, str):
            left_out.append(f"{case.run_id}: {found}")
        else:
            runs.append(found)
    if not runs:
        why = left_out[0] if left_out else "it has none"
        raise ConfigError(f"{source}: no run to fit: {why}")
    measured = np.array([run.case.measured[key] for run in runs for key in run.keys])
    return Observations(
        source,
        np.array([_regime(run, key) for run in runs for key in run.keys], dtype=np.str_),
        measured,
        _prediction(runs),
        {format_class(run.gpu, run.model): run.model for run in runs},
        is_simulated=True,
        left_out=tuple(left_out),
    )


def gpus_of(cases: Iterable[Case | NotSimulated]) -> list[str]:
    """The GPUs that runs were measured on, by the names of the table; unknown ones as they are."""
    return list(dict.fromkeys(_name(case.gpu) for case in cases if isinstance(case, Case)))


def _name(gpu: str) -> str:
    try:
        return find_gpu(gpu).name
    except UserError:
        return gpu


def _measured(case: Case | NotSimulated, gpu: str, sets: tuple[str, ...]) -> _Measured | str:
    """The run, or why it is left out."""
    if isinstance(case, NotSimulated):
        return case.reason
    try:
        if find_gpu(case.gpu).name != gpu:
            return f"measured on {find_gpu(case.gpu).name}"
        config, _ = read_config(
            sets=[*case.settings, *sets], vllm_args=case.vllm_args, gpu=case.gpu,
            model=case.model, preset=case.preset,
        )  # fmt: skip
        system = build_system(config)
    except UserError as error:
        return str(error)
    keys = tuple(_keys(case))
    if not keys:
        return "it has no TTFT, ITL or E2E"
    sessions = case.trace(0).sessions
    is_prefill = all(call.output_tokens <= 1 for session in sessions for call in session.calls)
    return _Measured(case, system.gpu, system.model, keys, sets, is_overloaded(case), is_prefill)


def _keys(case: Case) -> Iterable[Key]:
    """The figures that are fitted: means, else medians, above 0."""
    for metric in _REGIMES:
        for statistic in _STATISTICS:
            if case.measured.get((metric, statistic), 0.0) > 0:
                yield metric, statistic
                break


def _regime(run: _Measured, key: Key) -> str:
    if run.is_overloaded:
        return "saturated"
    return "prefill" if run.is_prefill else _REGIMES[key[0]]


def is_overloaded(case: Case) -> bool:
    """Whether requests waited for longer than they were served, or the server fell behind.

    Requests that a client gave up mean the same.
    """
    if case.measured.get(("failed", "value"), 0.0) > 0:
        return True
    if "agents.arrival=recorded" not in case.settings:
        return False  # clients that wait for their answers cannot be left behind
    first, whole, gap = (_typical(case, metric) for metric in ("ttft", "e2e", "itl"))
    sessions = case.trace(0).sessions
    if first is not None and (whole is not None or gap is not None):
        outputs = [call.output_tokens for session in sessions for call in session.calls]
        served = whole - first if whole is not None else (gap or 0.0) * float(np.mean(outputs))
        if max(outputs, default=1) > 1 and first > served:
            return True
    last_s = max((session.at_ns or 0 for session in sessions), default=0) * 1e-9
    makespan = case.measured.get(("makespan", "value"), 0.0)
    return last_s > 0.0 and makespan > _FAR_BEYOND * last_s + (whole or 0.0)


def _typical(case: Case, metric: str) -> float | None:
    for statistic in _STATISTICS:
        if (metric, statistic) in case.measured:
            return case.measured[metric, statistic]
    return None


def _prediction(runs: Sequence[_Measured]) -> Callable[[Mapping[str, float]], FloatArray]:
    """What the simulator says of the runs; values that were asked for before are remembered."""
    known: dict[tuple[tuple[str, float], ...], FloatArray] = {}

    def predict(values: Mapping[str, float]) -> FloatArray:
        asked = tuple(sorted(values.items()))
        if asked not in known:
            known[asked] = np.concatenate(_in_parallel([(run, asked) for run in runs]))
        return known[asked]

    return predict


def _in_parallel(
    jobs: Sequence[tuple[_Measured, tuple[tuple[str, float], ...]]],
) -> list[FloatArray]:
    """Each run's figures, on all processors."""
    if len(jobs) == 1:
        return [_simulated(*jobs[0])]
    from joblib import Parallel, delayed

    found: list[FloatArray] = Parallel(n_jobs=-1)(delayed(_simulated)(*job) for job in jobs)
    return found


def _simulated(run: _Measured, values: tuple[tuple[str, float], ...]) -> FloatArray:
    """The figures of one simulation.

    Raises
    ------
    ConfigError
        If the run cannot be simulated to its end.
    """
    gpu, model = run.gpu, run.model
    factors = [f"cost.{name}={value!r}" for name, value in values if applies(name, gpu, model)]
    try:
        done = simulate_case(run.case, 0, sets=[*run.sets, *factors])
    except UserError as error:
        raise ConfigError(f"{run.case.run_id}: {error}") from error
    seen = done if run.case.part is None else only_stage(done, run.case.part)
    figures = [figure(seen, *key) for key in run.keys]
    if any(value is None for value in figures):
        raise ConfigError(f"{run.case.run_id}: no request is answered in the simulation")
    return np.array(figures, dtype=np.float64)
