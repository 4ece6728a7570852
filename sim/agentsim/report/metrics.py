"""One definition of each metric, on the columns of a `Run`; simulated and measured alike.

Start at the table `METRICS`. A metric is a function of a run that gives a `Sample`: values, each
counted as often as its weight says. Quantiles interpolate linearly between order statistics
(numpy's method ``linear``); the weighted one is exactly that of the expanded values.

The gaps between tokens (ITL) are far too many to keep one by one. A run carries them as distinct
gaps with counts, ``facts["itl_ns"]`` and ``facts["itl_weight"]``: a step that ends `gap` after the
step before it counts once for each sequence that got a token in both. Tokens that one step delivers
together (accepted drafts) are one arrival, as a streaming client sees them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from agentsim.domain.records import Run
from agentsim.domain.units import NS_PER_S

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

#: Statuses of calls that the server answered; the others never reached it.
SERVED = ("finished", "cut")


@dataclass(frozen=True, slots=True)
class Sample:
    """Values of one metric, each counted `weights` times.

    Attributes
    ----------
    values : ndarray of float64
        In the metric's unit, in any order.
    weights : ndarray of int64, same shape
        How often each value occurs, >= 0.
    """

    values: FloatArray
    weights: IntArray

    @property
    def count(self) -> int:
        """How many values there are, with their weights."""
        return int(self.weights.sum())

    def mean(self) -> float | None:
        """The weighted mean; None of nothing."""
        count = self.count
        return float((self.values * self.weights).sum() / count) if count else None

    def quantiles(self, shares: tuple[float, ...]) -> tuple[float | None, ...]:
        """The quantiles at `shares` (0 to 1), as of the expanded values; None of nothing.

        Examples
        --------
        >>> Sample(np.array([1.0, 5.0]), np.array([3, 1])).quantiles((0.5, 1.0))
        (1.0, 5.0)
        """
        if not self.count:
            return (None,) * len(shares)
        order = np.argsort(self.values, kind="stable")
        values, ends = self.values[order], np.cumsum(self.weights[order])

        def at(share: float) -> float:
            rank = share * (int(ends[-1]) - 1)
            below = int(rank)
            above = min(below + 1, int(ends[-1]) - 1)
            low, high = values[np.searchsorted(ends, [below, above], side="right")]
            part = rank - below
            # Numpy's own interpolation: exact at both ends.
            step = high - low
            return float(high - step * (1 - part) if part >= 0.5 else low + step * part)

        return tuple(at(share) for share in shares)


@dataclass(frozen=True, slots=True)
class Metric:
    """A row of `METRICS`.

    Attributes
    ----------
    name, unit : str
    better : {"lower", "higher"}
        The direction in which it improves.
    sample : callable
        From a run to its values; one value where the metric is one number of the whole run.
    meaning : str
    """

    name: str
    unit: str
    better: Literal["lower", "higher"]
    sample: Callable[[Run], Sample]
    meaning: str


def served(run: Run) -> BoolArray:
    """Which requests the server answered."""
    return np.isin(run.requests["status"].astype(str), SERVED)


def _seconds(durations_ns: npt.NDArray[Any], weights: IntArray | None = None) -> Sample:
    values = durations_ns.astype(np.int64) / NS_PER_S
    return Sample(values, np.ones(len(values), np.int64) if weights is None else weights)


def _number(value: float) -> Sample:
    return Sample(np.array([value], np.float64), np.ones(1, np.int64))


def _answered(run: Run) -> BoolArray:
    """Served requests with at least one output token."""
    return served(run) & (run.requests["first_token_ns"] >= 0)


def ttft(run: Run) -> Sample:
    """Submission to first token, queue time included; requests without output have none."""
    columns, mask = run.requests, _answered(run)
    return _seconds((columns["first_token_ns"] - columns["submitted_ns"])[mask])


def tpot(run: Run) -> Sample:
    """(Last token - first token) / (output tokens - 1); undefined, not 0, for one token."""
    columns = run.requests
    mask = _answered(run) & (columns["output_tokens"] > 1)
    decode = _seconds((columns["finished_ns"] - columns["first_token_ns"])[mask])
    return Sample(decode.values / (columns["output_tokens"][mask] - 1), decode.weights)


def itl(run: Run) -> Sample:
    """Gaps between successive token arrivals of a request, over all requests."""
    gaps = np.asarray(run.facts.get("itl_ns", ()), np.int64)
    return _seconds(gaps, np.asarray(run.facts.get("itl_weight", ()), np.int64))


def e2e(run: Run) -> Sample:
    """Submission to last token."""
    columns, mask = run.requests, served(run)
    return _seconds((columns["finished_ns"] - columns["submitted_ns"])[mask])


def queue(run: Run) -> Sample:
    """Submission to the start of the first step that computes any of the request."""
    columns = run.requests
    mask = served(run) & (columns["scheduled_ns"] >= 0)
    return _seconds((columns["scheduled_ns"] - columns["submitted_ns"])[mask])


def session(run: Run) -> Sample:
    """Start of a session, its first wait included, to its last answer."""
    return _seconds(run.sessions["finished_ns"] - run.sessions["started_ns"])


def _rate(amount: Callable[[Run], int]) -> Callable[[Run], Sample]:
    """`amount` a second over the whole run; nothing where the run takes no time."""

    def rate(run: Run) -> Sample:
        if not run.makespan_ns:
            return Sample(np.zeros(0), np.zeros(0, np.int64))
        return _number(amount(run) * NS_PER_S / run.makespan_ns)

    return rate


def _tokens(column: str) -> Callable[[Run], int]:
    return lambda run: int(run.requests[column][served(run)].sum())


_ALL = (
    Metric("runtime", "s", "lower", lambda run: _number(run.makespan_ns / NS_PER_S), "whole run"),
    Metric("ttft", "s", "lower", ttft, "submission to first token, queue included"),
    Metric("tpot", "s", "lower", tpot, "time per output token after the first"),
    Metric("itl", "s", "lower", itl, "gap between successive tokens of a request"),
    Metric("e2e", "s", "lower", e2e, "submission to last token"),
    Metric("queue", "s", "lower", queue, "submission to first step"),
    Metric("session", "s", "lower", session, "start of a session to its last answer"),
    Metric("output_rate", "token/s", "higher", _rate(_tokens("output_tokens")), "output tokens"),
    Metric("prompt_rate", "token/s", "higher", _rate(_tokens("prompt_tokens")), "prompt tokens"),
    Metric("call_rate", "call/s", "higher", _rate(lambda r: int(served(r).sum())), "calls served"),
)

#: Name -> metric.
METRICS: dict[str, Metric] = {metric.name: metric for metric in _ALL}
