"""Configurations side by side: `compare`.

All of them meet the same trace, the same random numbers and, on one GPU, the same sets of cost
factors, so an error of the model that all share cancels in their differences.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist, variance
from typing import TYPE_CHECKING, Any

from agentsim.domain.config import Config
from agentsim.domain.trace import Trace
from agentsim.errors import ConfigError
from agentsim.report.figures import Interval
from agentsim.study.evaluate import Outcome, Progress, evaluate, part_of
from agentsim.study.figures import Figure, read_figure
from agentsim.study.variants import Variant, flat_settings
from agentsim.uncertainty import LEVEL, default_samples, interval

if TYPE_CHECKING:
    import pandas as pd

#: What is compared unasked.
FIGURES = ("runtime", "p90 ttft", "p50 tpot", "p90 e2e", "reuse", "cost", "energy")


#: Standard error of the logarithm of a time that two runs of one model on one GPU do not share:
#: that of mean E2E and ITL in 31 load tests, apart from what 16 pairs of model and GPU have in
#: common (0.031 and 0.030; in nine H100 runs of four models 0.067 and 0.044). See docs/compare.md.
UNSHARED = 0.03


@dataclass(frozen=True, slots=True)
class Cell:
    """One figure of one configuration.

    Attributes
    ----------
    interval : Interval or None
        Where the figure lies with probability `uncertainty.LEVEL`.
    is_best : bool
        None of the others is better.
    is_equal : bool
        It differs from the best by less than the error of their ratio.
    """

    value: float | None
    interval: Interval | None = None
    is_best: bool = False
    is_equal: bool = False


@dataclass(frozen=True, slots=True)
class Comparison:
    """Configurations and their figures.

    Attributes
    ----------
    outcomes : tuple of Outcome
        In the order given.
    samples : int
        Parameter sets behind the intervals; 0: there are none.
    """

    figures: tuple[Figure, ...]
    outcomes: tuple[Outcome, ...]
    samples: int

    def column(self, figure: Figure) -> tuple[Cell, ...]:
        """A cell for each outcome."""
        found = [outcome.values.get(figure.name) for outcome in self.outcomes]
        known = [(value, at) for at, value in enumerate(found) if value is not None]
        if not known:
            return tuple(Cell(None) for _ in found)
        is_lower = figure.better == "lower"
        top, first = min(known) if is_lower else max(known, key=lambda pair: (pair[0], -pair[1]))
        return tuple(
            Cell(
                value,
                interval([each.get(figure.name) for each in outcome.sampled], value),
                is_best=value == top,
                is_equal=value != top and is_within_error(outcome, self.outcomes[first], figure),
            )
            for value, outcome in zip(found, self.outcomes, strict=True)
        )

    def settings(self) -> dict[str, list[Any]]:
        """The settings in which the configurations differ, by dotted name, one for each."""
        flat = [flat_settings(outcome.variant.config) for outcome in self.outcomes]
        return {
            name: [each[name] for each in flat]
            for name in flat[0]
            if any(each[name] != flat[0][name] for each in flat)
        }

    def frame(self) -> pd.DataFrame:
        """A row for each configuration: name, failure, differing settings, figures, bounds."""
        import pandas as pd

        columns: dict[str, Any] = {
            "name": [outcome.variant.name for outcome in self.outcomes],
            "failure": [outcome.failure for outcome in self.outcomes],
        }
        columns |= {
            name: [None if value is None else str(value) for value in values]
            if len({type(value) for value in values}) > 1 or isinstance(values[0], list | tuple)
            else values
            for name, values in self.settings().items()
        }
        for figure in self.figures:
            cells = self.column(figure)
            columns[figure.name] = [cell.value for cell in cells]
            if self.samples:
                for side in ("low", "high"):
                    columns[f"{figure.name}_{side}"] = [
                        getattr(cell.interval, side) if cell.interval else None for cell in cells
                    ]
            columns[f"{figure.name}_best"] = [cell.is_best or cell.is_equal for cell in cells]
        return pd.DataFrame(columns)


def compare(
    trace: Trace,
    configs: Mapping[str, Config] | Sequence[Variant],
    figures: Sequence[str | Figure] = FIGURES,
    *,
    samples: int | None = None,
    prices: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> Comparison:
    """Simulate each configuration and lay their figures side by side.

    Parameters
    ----------
    configs : mapping of str to Config, or sequence of Variant
        At least one.
    figures : sequence
        What `read_figure` reads, such as ``"p95 ttft"``.
    samples : int or None
        Parameter sets for intervals and for what counts as equal; None: `default_samples`; 0:
        none.
    prices : mapping or None
        Arguments of `billing.read_terms`.
    progress : callable or None
        Called with (calls done, calls in all, simulated nanoseconds) over all runs.

    Raises
    ------
    ConfigError
        If there is nothing to compare, or none of the configurations can run.
    UserError
        See `read_figure` and `evaluate`.

    Examples
    --------
    >>> from agentsim import Config, compare, read_trace  # doctest: +SKIP
    >>> trace = read_trace("traces/itbench-sre.jsonl")  # doctest: +SKIP
    >>> compare(trace, {"l4": Config(), "l40s": Config(gpu="l40s")}).frame()  # doctest: +SKIP
    """
    if isinstance(configs, Mapping):
        configs = [Variant(name, config) for name, config in configs.items()]
    if not configs:
        raise ConfigError("nothing to compare: expected at least one configuration")
    _check_names(configs)
    found = tuple(read_figure(f) if isinstance(f, str) else f for f in figures)
    samples = default_samples(trace) if samples is None else samples
    outcomes = []
    for number, one in enumerate(configs):
        tick = part_of(progress, number, len(configs))
        outcomes.append(evaluate(trace, one, found, prices=prices, samples=samples, progress=tick))
    if all(outcome.failure for outcome in outcomes):
        first = outcomes[0]
        rest = "; nor can any of the others" if len(outcomes) > 1 else ""
        raise ConfigError(f"{first.variant.name}: {first.failure}{rest}")
    return Comparison(found, tuple(outcomes), samples)


def is_within_error(one: Outcome, other: Outcome, figure: Figure) -> bool:
    """Whether two figures differ by less than the model's error of their ratio.

    The ratio is lognormal. On one GPU both were simulated under the same parameter sets, so that
    shared errors cancel, and each time has an error `UNSHARED` of its own; on two, all errors are
    independent.
    """
    values = [[each.get(figure.name) for each in outcome.sampled] for outcome in (one, other)]
    central = [outcome.values.get(figure.name) for outcome in (one, other)]
    if any(not value or value < 0 for row in (central, *values) for value in row):
        return central[0] == central[1]
    if len(values[0]) < 2 or len(values[0]) != len(values[1]):
        return central[0] == central[1]
    logs = [[math.log(value) for value in row if value] for row in values]
    if one.gpu == other.gpu:
        own = 2 * UNSHARED**2 if figure.is_timed else 0.0
        error = math.sqrt(variance(a - b for a, b in zip(*logs, strict=True)) + own)
    else:
        error = math.sqrt(variance(logs[0]) + variance(logs[1]))
    apart = abs(math.log((central[0] or 1.0) / (central[1] or 1.0)))
    return apart <= NormalDist().inv_cdf((1 + LEVEL) / 2) * error


def _check_names(variants: Sequence[Variant]) -> None:
    names = [one.name for one in variants]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ConfigError(f"two configurations are named {twice!r}")
