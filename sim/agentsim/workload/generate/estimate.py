"""Distributions of values that were seen, and of those that only bound what was not seen."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from agentsim.workload.generate.distribution import (
    GRID,
    LARGEST,
    Distribution,
    Lognormal,
    Quantiles,
)

#: A lognormal may miss a percentile or the mean by so much.
TOLERANCE = 0.1

_Numbers = npt.NDArray[np.float64]


def fit_distribution(values: Sequence[float]) -> tuple[Distribution, str]:
    """The distribution of some values, and how it was found.

    Parameters
    ----------
    values : sequence of float
        At least one, each >= 0; what is above `LARGEST` counts as that.

    Returns
    -------
    tuple of Distribution and str
    """
    numbers = np.minimum(np.sort(np.asarray(values, dtype=np.float64)), LARGEST)
    counted = f"{len(numbers):,} value{'s' if len(numbers) > 1 else ''}"
    if numbers[0] == numbers[-1]:
        return Distribution.constant(float(numbers[0])), f"{counted}, all the same"
    table = Quantiles([short(value) for value in np.quantile(numbers, GRID).tolist()])
    why = "some are 0"
    if numbers[0] > 0:
        logs = np.log(numbers)
        fitted = Lognormal(
            short(float(np.exp(logs.mean()))),
            short(float(logs.std())),
            short(float(numbers[0])),
            short(float(numbers[-1])),
        )
        name, miss = _worst_miss(fitted, numbers)
        if abs(miss) <= TOLERANCE:
            return Distribution([(1.0, fitted)]), f"{counted}; lognormal, {name} off by {miss:+.0%}"
        why = f"a lognormal misses {name} by {miss:+.0%}"
    return Distribution([(1.0, table)]), f"{counted}; quantiles: {why}"


def _worst_miss(fitted: Lognormal, numbers: _Numbers) -> tuple[str, float]:
    """Which of p10, p50, p90 and the mean the fit misses most, and by what share."""
    middles = (np.arange(400) + 0.5) / 400
    pairs = {
        f"p{percent}": (fitted.value_at(percent / 100), float(np.quantile(numbers, percent / 100)))
        for percent in (10, 50, 90)
    }
    mean = float(np.mean([fitted.value_at(at) for at in middles.tolist()]))
    pairs["the mean"] = (mean, float(numbers.mean()))
    misses = {name: found / true - 1 for name, (found, true) in pairs.items()}
    worst = max(misses, key=lambda name: abs(misses[name]))
    return worst, misses[worst]


def ranks(values: Sequence[float]) -> _Numbers:
    """Ranks, equal ones for equal values: the middle of theirs."""
    numbers = np.asarray(values, dtype=np.float64)
    ordered = np.sort(numbers)
    below = np.searchsorted(ordered, numbers, "left")
    return (below + np.searchsorted(ordered, numbers, "right") - 1) / 2


def product_limit(contexts: Sequence[tuple[int, int, bool]], limit: int) -> Distribution:
    """Where contexts end, of some that ended there and others that were still going on.

    Parameters
    ----------
    contexts : sequence of (int, int, bool)
        Where each begins and ends, in tokens, and whether it was compacted there; one that shrinks
        counts as ending where it begins.
    limit : int
        Where those end that nothing ends before.

    Notes
    -----
    Kaplan and Meier, JASA 53, 1958, for contexts that are seen from their beginning on. Where fewer
    than 5 % of them have begun, nothing is counted: one of few would stand for all.
    """
    begins = np.sort([begin for begin, _, _ in contexts])
    ends = np.sort([max(begin, end) for begin, end, _ in contexts])
    ended = [max(begin, end) for begin, end, ended in contexts if ended]
    events, counts = np.unique(ended, return_counts=True)
    begun = np.searchsorted(begins, events, "right")
    at_risk = begun - np.searchsorted(ends, events, "left")
    hazard = np.where(begun >= len(contexts) / 20, counts / at_risk, 0.0)
    reached = 1 - np.cumprod(1 - hazard)
    wanted = np.maximum(np.array(GRID) - 1e-9, 1e-12)  # what is reached is rounded
    places = np.searchsorted(reached, wanted, "left")
    values = [float(events[at]) if at < len(events) else float(limit) for at in places.tolist()]
    return Distribution([(1.0, Quantiles(values))])


def short(value: float) -> float:
    """Four significant digits."""
    return float(f"{value:.4g}")
