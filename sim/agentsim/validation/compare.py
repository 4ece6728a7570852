"""Simulate the measured runs and set both side by side: `compare` one case, `validate` a folder."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from statistics import fmean, median
from typing import Any

import msgspec

from agentsim.domain.records import Run
from agentsim.errors import ConfigError, DoesNotFit, UnknownName
from agentsim.machine.catalog import gpus, models
from agentsim.machine.system import build_system, read_config
from agentsim.simulator import simulate
from agentsim.validation.case import Case, Figures, NotSimulated, figure, only_stage
from agentsim.validation.layouts import read_cases


class Row(msgspec.Struct, frozen=True):
    """One figure, measured and simulated.

    Attributes
    ----------
    measured, simulated, low, high : float
        Seconds, tokens or requests a second, or a count. `simulated` is the mean over the repeats,
        `low` and `high` their extremes: the spread of what was drawn, no prediction interval.
    stage : int or None
        The part of the run; None: the whole run.
    """

    run_id: str
    gpu: str
    model: str
    metric: str
    statistic: str
    measured: float
    simulated: float
    low: float
    high: float
    stage: int | None = None

    @property
    def error(self) -> float | None:
        """Relative error; None where nothing was measured but 0."""
        return self.simulated / self.measured - 1 if self.measured else None


class Comparison(msgspec.Struct, frozen=True):
    """One measured run beside its simulation.

    Attributes
    ----------
    rows, stages : tuple of Row
        Of the whole run, and of its parts.
    assumed : tuple of (str, object, str)
        What was assumed of the run: name, value, why.
    assumptions : tuple of dict
        These and those of the simulated machine.
    """

    run_id: str
    source: str
    gpu: str
    model: str
    rows: tuple[Row, ...]
    stages: tuple[Row, ...]
    assumed: tuple[tuple[str, Any, str], ...]
    assumptions: tuple[dict[str, Any], ...]


class Score(msgspec.Struct, frozen=True):
    """How far the means of runs are off, in percent; None of no run."""

    mape_of_means: float | None
    median_ape_of_means: float | None
    runs: int


class Validation(msgspec.Struct, frozen=True):
    """All runs of a folder."""

    comparisons: tuple[Comparison, ...]
    not_simulated: tuple[NotSimulated, ...]

    def summary(self, source: str | None = None) -> dict[str, Score]:
        """Errors of the means by metric; of one source, or of all."""
        mine = [c for c in self.comparisons if source in (None, c.source)]
        return {metric: _score(mine, metric) for metric in ("e2e", "ttft", "itl")}

    def sources(self) -> list[str]:
        """Folders or files that runs were simulated of, in order."""
        return list(dict.fromkeys(comparison.source for comparison in self.comparisons))


def _score(comparisons: Iterable[Comparison], metric: str) -> Score:
    errors = [
        100 * abs(row.error)
        for comparison in comparisons
        for row in comparison.rows
        if (row.metric, row.statistic) == (metric, "mean") and row.error is not None
    ]
    if not errors:
        return Score(None, None, 0)
    return Score(fmean(errors), median(errors), len(errors))


def simulate_case(
    case: Case,
    repeat: int,
    *,
    sets: Sequence[str] = (),
    logged_blocks: bool = False,
    progress: Callable[[int, int, int], None] | None = None,
) -> Run:
    """One simulation of a measured run.

    Parameters
    ----------
    repeat : int
        Which draws of what the source hides.
    sets : sequence of str
        Settings after those of the case, such as ``cost.step_overhead_s=0.001``.
    logged_blocks : bool
        Take the KV blocks that vLLM logged, not those predicted.

    Raises
    ------
    UnknownName
        A GPU or a model that is in no table.
    DoesNotFit, ConfigError
        If the server could not run like this.
    """
    for kind, name, table in (("gpu", case.gpu, gpus()), ("model", case.model, models())):
        if name not in table:
            raise UnknownName(kind, name, table)
    settings = [*case.settings, *sets]
    if logged_blocks and case.logged_blocks is not None:
        settings.append(f"engine.num_gpu_blocks={case.logged_blocks}")
    config, made = read_config(
        sets=settings, vllm_args=case.vllm_args, gpu=case.gpu, model=case.model, preset=case.preset
    )
    system = build_system(config, [*case.assumptions, *made])
    return simulate(case.trace(repeat), config, system=system, progress=progress)


def compare(
    case: Case,
    *,
    sets: Sequence[str] = (),
    logged_blocks: bool = False,
    progress: Callable[[int, int, int], None] | None = None,
) -> Comparison | NotSimulated:
    """A measured run beside its simulation, or why there is none.

    Parameters
    ----------
    sets, logged_blocks, progress
        As for `simulate_case`.
    """
    measured = dict(case.measured)
    if case.logged_blocks is not None:
        measured["kv_blocks", "value"] = float(case.logged_blocks)
    whole: list[list[float | None]] = []
    parts: list[list[list[float | None]]] = []
    assumptions: tuple[dict[str, Any], ...] = ()
    for repeat in range(case.num_repeats):
        try:
            run = simulate_case(
                case, repeat, sets=sets, logged_blocks=logged_blocks, progress=progress
            )
        except UnknownName as error:
            reason = str(error).partition(" Known:")[0].rstrip(".")
            return NotSimulated(case.run_id, case.source, f"{reason}: in no table")
        except (DoesNotFit, ConfigError) as error:
            return NotSimulated(case.run_id, case.source, str(error))
        seen = run if case.part is None else only_stage(run, case.part)
        whole.append([figure(seen, *key) for key in measured])
        parts.append(
            [
                [figure(part, *key) for key in figures]
                for number, figures in enumerate(case.stages)
                for part in (only_stage(run, number),)
            ]
        )
        assumptions = run.assumptions
    rows = _rows(case, None, measured, whole)
    stages = [
        row
        for number, figures in enumerate(case.stages)
        for row in _rows(case, number, figures, [part[number] for part in parts])
    ]
    assumed = tuple((made["name"], made["value"], made["source"]) for made in case.assumptions)
    return Comparison(
        case.run_id, case.source, case.gpu, case.model,
        tuple(rows), tuple(stages), assumed, assumptions,
    )  # fmt: skip


def _rows(
    case: Case,
    stage: int | None,
    measured: Figures,
    repeats: Sequence[Sequence[float | None]],
) -> list[Row]:
    rows = []
    for key, *values in zip(measured, *repeats, strict=True):
        known = [value for value in values if value is not None]
        if not known:
            continue
        metric, statistic = key
        low, high = min(known), max(known)
        rows.append(
            Row(
                case.run_id, case.gpu, case.model, metric, statistic,
                measured[key], fmean(known), low, high, stage,
            )
        )  # fmt: skip
    return rows


def validate(
    folder: Path,
    *,
    sets: Sequence[str] = (),
    logged_blocks: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Validation:
    """Simulate all measured runs of a folder and compare.

    Parameters
    ----------
    folder : Path
        In one of the layouts of `agentsim.validation.layouts`, or a folder of such folders.
    progress : callable or None
        Called with (runs done, runs in all).

    Raises
    ------
    UserError
        If a file cannot be read, or there is no run.
    """
    cases = read_cases(folder)
    compared: list[Comparison] = []
    left: list[NotSimulated] = []
    for done, case in enumerate(cases):
        if progress is not None:
            progress(done, len(cases))
        found: Comparison | NotSimulated
        if isinstance(case, Case):
            found = compare(case, sets=sets, logged_blocks=logged_blocks)
        else:
            found = case
        if isinstance(found, Comparison):
            compared.append(found)
        else:
            left.append(found)
    return Validation(tuple(compared), tuple(left))
