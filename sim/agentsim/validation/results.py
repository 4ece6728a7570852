"""What comes of a comparison: rows of figures, by run, and how far their means are off."""

from __future__ import annotations

from collections.abc import Iterable
from math import sqrt
from statistics import NormalDist, fmean, median
from typing import TYPE_CHECKING, Any

import msgspec

from agentsim.validation.case import NotSimulated

if TYPE_CHECKING:
    import pandas as pd


class Row(msgspec.Struct, frozen=True):
    """One figure, measured and simulated.

    Attributes
    ----------
    measured, simulated, low, high : float
        Seconds, tokens or requests a second, or a count. `simulated` is the mean over the repeats;
        `low` and `high` are its 90 % prediction interval, or without parameter sets the extremes of
        the repeats.
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

    @property
    def is_inside(self) -> bool:
        """Whether the measured figure lies between `low` and `high`."""
        return self.low <= self.measured <= self.high


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
    """How far the means of runs are off, and how many lie within their intervals.

    Attributes
    ----------
    mape_of_means, median_ape_of_means : float or None
        Percent; None of no run.
    runs, inside : int
    inside_share : float or None
    inside_low, inside_high : float or None
        95 % interval of that share (Wilson's, for independent runs).
    """

    mape_of_means: float | None
    median_ape_of_means: float | None
    runs: int
    inside: int = 0
    inside_share: float | None = None
    inside_low: float | None = None
    inside_high: float | None = None


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

    def frame(self) -> pd.DataFrame:
        """A row for each figure of each whole run: the fields of `Row`, error, is_inside.

        The interval is in ``simulated_low`` and ``simulated_high``.
        """
        import pandas as pd

        rows = [row for comparison in self.comparisons for row in comparison.rows]
        told = [
            {**msgspec.structs.asdict(row), "error": row.error, "is_inside": row.is_inside}
            for row in rows
        ]
        found = pd.DataFrame(told).drop(columns="stage")
        return found.rename(columns={"low": "simulated_low", "high": "simulated_high"})


def _score(comparisons: Iterable[Comparison], metric: str) -> Score:
    rows = [
        row
        for comparison in comparisons
        for row in comparison.rows
        if (row.metric, row.statistic) == (metric, "mean") and row.error is not None
    ]
    if not rows:
        return Score(None, None, 0)
    errors = [100 * abs(row.error or 0.0) for row in rows]
    inside = sum(row.is_inside for row in rows)
    share = inside / len(rows)
    return Score(
        fmean(errors), median(errors), len(rows), inside, share, *wilson(inside, len(rows))
    )


def wilson(successes: int, trials: int) -> tuple[float, float]:
    """The 95 % interval of a share (Wilson, JASA 1927)."""
    z = NormalDist().inv_cdf(0.975)
    share, weight = successes / trials, z * z / trials
    middle = (share + weight / 2) / (1 + weight)
    half = z * sqrt(share * (1 - share) / trials + weight / trials / 4) / (1 + weight)
    return max(0.0, middle - half), min(1.0, middle + half)
