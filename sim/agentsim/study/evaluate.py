"""One configuration in, its figures out: `evaluate`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from agentsim.billing import Terms, bill_of, read_terms
from agentsim.domain.config import Config
from agentsim.domain.records import Run, Served
from agentsim.domain.trace import Trace
from agentsim.errors import ConfigError, DoesNotFit, TraceError
from agentsim.machine.system import System, build_system
from agentsim.report.document import plain_facts
from agentsim.simulator import fit_trace, simulate
from agentsim.study.figures import Figure, Measured, Values
from agentsim.study.variants import Variant
from agentsim.uncertainty import parameter_sets, with_factors

#: Calls done, calls in all, simulated nanoseconds.
Progress = Callable[[int, int, int], None]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one configuration.

    Attributes
    ----------
    values : dict
        Figure name -> value; empty where it failed.
    sampled : tuple of dict
        The same under each parameter set; none where no intervals were asked for.
    failure : str or None
        Why it cannot be run: one line.
    gpu : str
        Whose profile its uncertain factors come from.
    num_gpus : int
        Rented, of all replicas.
    notes : dict of str to int
        What the run left out or changed, with how many calls it touched.
    facts : dict
        Of the run, without its arrays; ``kv_tokens`` is what the KV cache holds.
    """

    variant: Variant
    values: Values = field(default_factory=dict)
    sampled: tuple[Values, ...] = ()
    failure: str | None = None
    gpu: str = ""
    num_gpus: int = 0
    notes: dict[str, int] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)


def evaluate(
    trace: Trace,
    variant: Variant,
    figures: Sequence[Figure],
    *,
    prices: Mapping[str, Any] | None = None,
    samples: int = 0,
    progress: Progress | None = None,
    watch: Callable[[Served], None] | None = None,
) -> Outcome:
    """Simulate a variant and read its figures; a configuration that cannot run is an outcome too.

    Parameters
    ----------
    prices : mapping or None
        Arguments of `billing.read_terms`; None: the package's table, and no API.
    samples : int
        Parameter sets for intervals, 0 or at least 2. They are the same ones for all variants on
        a GPU.
    progress : callable or None
        See `simulate`; over all parameter sets.
    watch : callable or None
        See `simulate`; sees the run with the factors as they are.

    Raises
    ------
    UnknownName
        For a GPU, model, policy or price that does not exist.
    """
    runs = 1 + samples
    try:
        system = build_system(variant.config, variant.assumptions)
        terms = read_terms(system.gpu, **{"apis": ("none",), **(prices or {})})
        values, run = _measure(
            trace,
            variant.config,
            system,
            figures,
            terms=terms,
            tick=part_of(progress, 0, runs),
            watch=watch,
        )
        sampled = [
            _measure(
                trace,
                config,
                build_system(config),
                figures,
                terms=terms,
                tick=part_of(progress, number + 1, runs),
            )[0]
            for number, config in enumerate(_configs(variant.config, system, samples))
        ]
    except (ConfigError, DoesNotFit, TraceError) as error:
        return Outcome(variant, failure=str(error))
    return Outcome(
        variant,
        values,
        tuple(sampled),
        gpu=system.gpu.name,
        num_gpus=variant.config.cluster.replicas * system.engine.tensor_parallel_size,
        notes=run.notes,
        facts={**plain_facts(run.facts), "kv_tokens": system.capacity.num_tokens},
    )


def part_of(progress: Progress | None, number: int, parts: int) -> Progress | None:
    """Progress of one part as that of all, all parts taken as equally long."""
    if progress is None:
        return None
    return lambda done, calls, now_ns: progress(number * calls + done, parts * calls, now_ns)


def _configs(config: Config, system: System, samples: int) -> list[Config]:
    """The configuration under each parameter set."""
    if not samples:
        return []
    return [with_factors(config, factors) for factors in parameter_sets(system, samples)]


def _measure(
    trace: Trace,
    config: Config,
    system: System,
    figures: Sequence[Figure],
    *,
    terms: Terms,
    tick: Progress | None,
    watch: Callable[[Served], None] | None = None,
) -> tuple[Values, Run]:
    run = simulate(trace, config, system=system, progress=tick, watch=watch)
    bill = bill_of(run, fit_trace(trace, config, system), terms, system.cost.parts)
    measured = Measured(run, bill)
    return {figure.name: figure.of(measured) for figure in figures}, run
