"""Errors on what was not fitted: `python calibration/cross_validate.py --measured FOLDER`.

Whole runs are predicted three times. Left out one by one and model by model: the overheads that
`recipes.RECIPES` fits to runs are fitted again without them, on the straight lines about the
shipped profile (no run is simulated twice). GPU by GPU: of the GPU only the datasheet is known, and
its rates are the geometric means of those of the other GPUs. With --write the tables are put into
docs/accuracy.md, between its markers.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median

import numpy as np
from fit_profiles import is_alone
from joblib import Parallel, delayed
from recipes import ESTIMATED, RATES, RECIPES

from agentsim.calibration.nearby import log_model
from agentsim.calibration.observations import FloatArray
from agentsim.calibration.parameters import PARAMETERS
from agentsim.calibration.runs import observe_runs
from agentsim.domain.config import CostConfig
from agentsim.errors import UserError
from agentsim.machine.catalog import find_gpu, find_model
from agentsim.machine.factors import resolve_factors
from agentsim.machine.profiles import DATASHEET
from agentsim.validation import Case, read_cases

DOCUMENT = Path(__file__).parents[1] / "docs/accuracy.md"
START, END = "<!-- cross-validation -->", "<!-- end of cross-validation -->"
#: Folders of whole runs.
SOURCES = (
    "sim-to-real-aggregates", "inference-sim-training", "llmservingsim-bench", "iog-sharegpt",
    "gpustack-perflab", "natoscott-h200", "vllm-cpu", "l4-points",
)  # fmt: skip
METRICS = ("ttft", "itl", "e2e")
#: Spread of a run's residuals in a new fit, and of the overheads' priors about the shipped ones.
RUN_SPREAD, PRIOR_SPREAD = 0.05, 0.7
#: A model that the general factors are resolved with: 16-bit weights.
PLAIN = "llama-3.1-8b"


@dataclass(frozen=True)
class Run:
    """One run: what is measured of it, and what is predicted for values of the overheads.

    Attributes
    ----------
    metrics : tuple of str
    gaps : ndarray of float64, shape (metrics,)
        Logarithms of simulated over measured, with the shipped profile.
    slopes : ndarray of float64, shape (metrics, overheads)
    from_datasheet : ndarray of float64, shape (metrics,)
        The gaps with nothing known of its GPU.
    """

    source: str
    gpu: str
    model: str
    metrics: tuple[str, ...]
    gaps: FloatArray
    slopes: FloatArray
    from_datasheet: FloatArray
    is_fitted: bool


def from_others(gpu: str) -> tuple[str, ...]:
    """Settings that stand for a GPU of which only the datasheet is known: rates and the cost of a
    layer from the other GPUs; costs of the host and the link from the general tables."""
    model, cost = find_model(PLAIN), CostConfig()
    others = [name for name in RECIPES if name not in (gpu, ESTIMATED.get(gpu), "cpu")]
    known = [resolve_factors(find_gpu(name), model, cost) for name in others]
    sets = [f"profile={DATASHEET}"]
    for name in (*RATES, "power_efficiency", "mixed_decode_rows", "layer_overhead_s"):
        values = [factors[name].value for factors in known]
        sets.append(f"cost.{name}={float(np.exp(np.mean(np.log(values))))!r}")
    return tuple(sets)


def measure(source: str, case: Case) -> Run:
    """Simulate a run as often as needed.

    Raises
    ------
    UserError
        If it cannot be simulated.
    """
    gpu = find_gpu(case.gpu).name
    recipe = RECIPES.get(ESTIMATED.get(gpu, gpu))
    overheads = recipe.overheads if recipe is not None else ()
    item = observe_runs(source, [case], gpu)
    known = resolve_factors(find_gpu(gpu), find_model(case.model), CostConfig())
    middle = np.array([max(known[name].value, PARAMETERS[name].floor) for name in overheads])
    highest = np.log([PARAMETERS[name].high for name in overheads]) - np.log(middle)

    def values(theta: FloatArray) -> dict[str, float]:
        return dict(zip(overheads, (middle * np.exp(theta)).tolist(), strict=True))

    at = np.zeros(len(overheads))
    line = log_model(item, values, at, highest)
    gaps = line(at) - np.log(item.seconds)
    slopes = [line(at + step) - line(at) for step in np.eye(len(overheads))]
    bare = np.full(len(item), np.nan)
    if gpu != "cpu":  # there is no other CPU
        bare = observe_runs(source, [case], gpu, from_others(gpu)).predict({})
    metrics = tuple(
        name for name in METRICS
        if any(case.measured.get((name, statistic), 0) > 0 for statistic in ("mean", "p50"))
    )  # fmt: skip
    fitted = recipe is not None and any(source in name for name in recipe.runs)
    return Run(
        source,
        gpu,
        find_model(case.model).name,
        metrics,
        gaps,
        np.stack(slopes, axis=1) if slopes else np.zeros((len(metrics), 0)),
        np.log(bare / item.seconds),
        fitted,
    )


def try_to_measure(source: str, case: Case) -> Run | str:
    """A run, the reason why it cannot be simulated, or nothing if it was fitted."""
    try:
        is_free = not is_rate_data(source, case) and (case.part is None or is_alone(case))
        return measure(source, case) if is_free else ""
    except UserError as error:
        return str(error)


def is_rate_data(source: str, case: Case) -> bool:
    """Whether the rates of its GPU were fitted to this run or to its steps."""
    recipe = RECIPES.get(find_gpu(case.gpu).name)
    files = recipe.data.files if recipe is not None else ()
    files = tuple(name for name in files if Path(name).parts[0] == source)
    parts = {part.partition(".")[0].rstrip("*") for name in files for part in Path(name).parts[1:]}
    return any(part in case.run_id for part in parts - {"run?", "grids"})


def shift_without(run: Run, runs: Sequence[Run], same: Callable[[Run, Run], bool]) -> FloatArray:
    """The overheads that suit the fitted runs but those that are the `same` as one.

    Logarithms, relative to the shipped profile; NaN where no others are left.
    """
    fitted = [other for other in runs if other.is_fitted and other.gpu == run.gpu]
    others = [other for other in fitted if not same(run, other)]
    return _shift(others) if others else np.full(run.slopes.shape[1], np.nan)


def _shift(runs: Sequence[Run]) -> FloatArray:
    size = runs[0].slopes.shape[1]
    curvature: FloatArray = np.eye(size) / PRIOR_SPREAD**2
    pull = np.zeros(size)
    for run in runs:
        weight: FloatArray = 1.0 / (RUN_SPREAD**2 + run.gaps**2)
        curvature += run.slopes.T @ (run.slopes * weight[:, None])
        pull -= run.slopes.T @ (weight * run.gaps)
    return np.linalg.solve(curvature, pull).astype(np.float64)


def left_out(run: Run, runs: Sequence[Run], same: Callable[[Run, Run], bool]) -> FloatArray:
    """The gaps of a run with overheads that were fitted without it and its like."""
    if not run.is_fitted:
        return run.gaps
    return run.gaps + run.slopes @ shift_without(run, runs, same)


SCHEMES: dict[str, Callable[[Run, Sequence[Run]], FloatArray]] = {
    "each run left out": lambda run, runs: left_out(run, runs, lambda a, b: a is b),
    "each model left out": lambda run, runs: left_out(run, runs, lambda a, b: a.model == b.model),
    "its GPU left out": lambda run, runs: run.from_datasheet,
}


def table(runs: Sequence[Run]) -> str:
    """The errors by scheme, source and GPU, in Markdown."""
    lines = []
    for scheme, predict in SCHEMES.items():
        head = ["runs", "GPU", *(metric.upper() for metric in METRICS), "n"]
        lines += ["", f"### {scheme[0].upper()}{scheme[1:]}", ""]
        lines += [f"| {' | '.join(head)} |", "| --- " * len(head) + "|"]
        gaps = {id(run): predict(run, runs) for run in runs}
        groups = list(dict.fromkeys((run.source, run.gpu) for run in runs))
        for source, gpu in groups:
            mine = [run for run in runs if (run.source, run.gpu) == (source, gpu)]
            cells = [errors(mine, gaps, metric) for metric in METRICS]
            lines.append(f"| {source} | {gpu} | {' | '.join(cells)} | {len(mine)} |")
        cells = [errors(runs, gaps, metric) for metric in METRICS]
        lines.append(f"| all | | {' | '.join(cells)} | {len(runs)} |")
    return "\n".join(lines) + "\n"


def errors(runs: Sequence[Run], gaps: dict[int, FloatArray], metric: str) -> str:
    """Mean (median) absolute percentage error of the runs' means."""
    known = [gaps[id(run)][run.metrics.index(metric)] for run in runs if metric in run.metrics]
    found = [100 * abs(float(np.expm1(gap))) for gap in known if np.isfinite(gap)]
    return f"{fmean(found):.1f} ({median(found):.1f})" if found else "-"


def write(text: str) -> None:
    """Put the tables into the document.

    Raises
    ------
    UserError
        If it has no markers.
    """
    whole = DOCUMENT.read_text(encoding="utf-8")
    if START not in whole or END not in whole:
        raise UserError(f"{DOCUMENT}: expected the lines {START} and {END}")
    head, _, rest = whole.partition(START)
    tail = rest.partition(END)[2]
    DOCUMENT.write_text(f"{head}{START}\n{text}\n{END}{tail}", encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    """Simulate, and print or write the tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--measured", type=Path, required=True, help="folder of measurements")
    parser.add_argument("--source", action="append", help="one folder of it; repeatable")
    parser.add_argument("--write", action="store_true", help="into docs/accuracy.md")
    given = parser.parse_args(arguments)
    runs: list[Run] = []
    missing: list[str] = []
    try:
        for source in given.source or SOURCES:
            cases = read_cases(given.measured / source)
            missing += [f"{c.run_id}: {c.reason}" for c in cases if not isinstance(c, Case)]
            jobs = [delayed(try_to_measure)(source, c) for c in cases if isinstance(c, Case)]
            for found in Parallel(n_jobs=-1, batch_size=1)(jobs):
                if isinstance(found, Run):
                    runs.append(found)
                elif found:
                    missing.append(found)
            print(f"{source}: {len(runs)} runs so far", file=sys.stderr)
        count = f"\n{len(missing)} runs or files are not simulated.\n"
        text = table(runs) + count
        print(text, end="")
        print("\n".join(missing), file=sys.stderr)
        if given.write:
            write(text)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
