"""Simulate a measured run and set both side by side: `compare`; `simulate_case` gives its `Run`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import msgspec

from agentsim.domain.records import Run
from agentsim.errors import UnknownName, UserError
from agentsim.machine.catalog import gpus, models
from agentsim.machine.profiles import find_profile
from agentsim.machine.system import build_system, read_config
from agentsim.simulator import simulate
from agentsim.uncertainty import interval, parameter_sets, with_factors
from agentsim.validation.case import Case, Figures, NotSimulated, figure, only_stage
from agentsim.validation.results import Comparison, Row

#: Parameter sets that a run is simulated under for its intervals.
SAMPLES = 5


def simulate_case(
    case: Case,
    repeat: int,
    *,
    sets: Sequence[str] = (),
    profile: str | None = None,
    logged_blocks: bool = False,
    sample: tuple[int, int] | None = None,
    progress: Callable[[int, int, int], None] | None = None,
) -> Run:
    """One simulation of a measured run.

    Parameters
    ----------
    repeat : int
        Which draws of what the source hides; the seed of what the simulated server draws.
    sets : sequence of str
        Settings after those of the case, such as ``cost.step_overhead_s=0.001``.
    profile : str or None
        As for `machine.profiles.find_profile`; a case of another GPU keeps its own.
    logged_blocks : bool
        Take the KV blocks that vLLM logged, not those predicted.
    sample : (int, int) or None
        Which of how many parameter sets, see `agentsim.uncertainty`; None: the factors as they are.

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
    choice = case.choices[repeat] if case.choices else ()
    settings = [f"seed={repeat}", *case.settings, *choice, *sets]
    if logged_blocks and case.logged_blocks is not None:
        settings.append(f"engine.num_gpu_blocks={case.logged_blocks}")
    is_of_gpu = profile and find_profile(profile).gpu in ("", gpus()[case.gpu].name)
    config, made = read_config(
        sets=settings,
        vllm_args=case.vllm_args,
        gpu=case.gpu,
        model=case.model,
        preset=case.preset,
        profile=profile if is_of_gpu else None,
    )
    system = build_system(config, [*case.assumptions, *made])
    if sample is not None:
        number, of = sample
        config = with_factors(config, parameter_sets(system, of)[number])
        system = build_system(config)
    trace = case.trace(repeat)
    if config.engine.kv_offloading_size:
        # while the GPU evicts nothing, all that the host has is there too: the same, 30 x faster
        engine = msgspec.structs.replace(config.engine, kv_offloading_size=None)
        without = msgspec.structs.replace(config, engine=engine)
        run = simulate(trace, without, assumptions=[*case.assumptions, *made], progress=progress)
        if not any(chunk["evicted_blocks"].any() for chunk in run.steps.chunks("evicted_blocks")):
            return run
    return simulate(trace, config, system=system, progress=progress)


@dataclass(frozen=True, slots=True)
class Simulated:
    """The figures of one simulation, in the order of the measured ones; None: it has none.

    Attributes
    ----------
    stages : tuple of tuple
        Of each part of the run.
    assumptions : tuple of dict
        Of the run and of the simulated machine.
    """

    whole: tuple[float | None, ...]
    stages: tuple[tuple[float | None, ...], ...]
    assumptions: tuple[dict[str, Any], ...]


def simulate_figures(
    case: Case,
    repeat: int,
    *,
    sets: Sequence[str] = (),
    profile: str | None = None,
    logged_blocks: bool = False,
    sample: tuple[int, int] | None = None,
) -> Simulated | NotSimulated:
    """The figures of one simulation of a measured run, or why there is none.

    Parameters
    ----------
    repeat, sets, profile, logged_blocks, sample
        As for `simulate_case`.
    """
    try:
        run = simulate_case(
            case, repeat, sets=sets, profile=profile, logged_blocks=logged_blocks, sample=sample
        )
    except UnknownName as error:
        reason = str(error).partition(" Known:")[0].rstrip(".")
        return NotSimulated(case.run_id, case.source, f"{reason}: in no table")
    except UserError as error:
        return NotSimulated(case.run_id, case.source, str(error))
    seen = run if case.part is None else only_stage(run, case.part)
    return Simulated(
        tuple(figure(seen, *key) for key in _measured(case)),
        tuple(
            tuple(figure(part, *key) for key in figures)
            for number, figures in enumerate(case.stages)
            for part in (only_stage(run, number),)
        ),
        run.assumptions,
    )


def compare(
    case: Case,
    *,
    sets: Sequence[str] = (),
    profile: str | None = None,
    logged_blocks: bool = False,
    samples: int = SAMPLES,
) -> Comparison | NotSimulated:
    """A measured run beside its simulation, or why there is none.

    Parameters
    ----------
    sets, profile, logged_blocks
        As for `simulate_case`.
    samples : int
        Parameter sets for the intervals; 0: none.
    """
    found = []
    for repeat, sample in simulations(case, samples):
        one = simulate_figures(
            case, repeat, sets=sets, profile=profile, logged_blocks=logged_blocks, sample=sample
        )
        if isinstance(one, NotSimulated):
            return one
        found.append(one)
    return put_together(case, found)


def simulations(case: Case, samples: int) -> list[tuple[int, tuple[int, int] | None]]:
    """What to simulate of a run: its repeats as they are, then under each parameter set."""
    as_is: list[tuple[int, tuple[int, int] | None]] = [(n, None) for n in range(case.num_repeats)]
    return as_is + [(n % case.num_repeats, (n, samples)) for n in range(samples)]


def put_together(
    case: Case, simulated: Sequence[Simulated | NotSimulated]
) -> Comparison | NotSimulated:
    """A measured run beside what `simulations` gave; the first reason if one of them has none."""
    done: list[Simulated] = []
    for found in simulated:
        if isinstance(found, NotSimulated):
            return found
        done.append(found)
    rows = _rows(case, None, _measured(case), [found.whole for found in done])
    stages = [
        row
        for number, figures in enumerate(case.stages)
        for row in _rows(case, number, figures, [found.stages[number] for found in done])
    ]
    assumed = tuple((made["name"], made["value"], made["source"]) for made in case.assumptions)
    return Comparison(
        case.run_id, case.source, case.gpu, case.model,
        tuple(rows), tuple(stages), assumed, done[case.num_repeats - 1].assumptions,
    )  # fmt: skip


def _measured(case: Case) -> Figures:
    """The measured figures of the whole run, with the blocks that were logged."""
    if case.logged_blocks is None:
        return case.measured
    return {**case.measured, ("kv_blocks", "value"): float(case.logged_blocks)}


def _rows(
    case: Case,
    stage: int | None,
    measured: Figures,
    simulated: Sequence[Sequence[float | None]],
) -> list[Row]:
    rows = []
    for ((metric, statistic), said), *values in zip(measured.items(), *simulated, strict=True):
        repeats = [value for value in values[: case.num_repeats] if value is not None]
        if repeats:
            central = fmean(repeats)
            low, high = bounds(repeats, central, values[case.num_repeats :])
            rows.append(
                Row(
                    case.run_id, case.gpu, case.model, metric, statistic,
                    said, central, low, high, stage,
                )
            )  # fmt: skip
    return rows


def bounds(
    repeats: Sequence[float], central: float, sampled: Sequence[float | None]
) -> tuple[float, float]:
    """What a figure lies between: its prediction interval, or the extremes of all there is."""
    if sampled and (found := interval(sampled, central)) is not None:
        return found.low, found.high
    known = [*repeats, *(value for value in sampled if value is not None)]
    return min(known), max(known)
