"""One definition of each metric, on the tables of a `Run`; simulated and measured alike.

Start at the table `METRICS`; outsiders add to it by an entry point of the group
``agentsim.metrics`` that names a `Metric`. A metric is a function of a run that gives a `Sample`:
values, each counted as often as its weight says. Quantiles interpolate linearly between order
statistics (numpy's method ``linear``); the weighted one is exactly that of the expanded values.
Only of a run with more distinct values than `agentsim.domain.tally.EXACT_VALUES` are they rounded,
by less than 1/4096 of themselves; means are exact.

The gaps between tokens (ITL) are far too many to keep one by one. A run carries them as distinct
gaps with counts, ``facts["itl_ns"]`` and ``facts["itl_weight"]``: a step that ends `gap` after the
step before it counts once for each sequence that got a token in both. Tokens that one step delivers
together (accepted drafts) are one arrival, as a streaming client sees them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from agentsim.domain.records import Columns, Run
from agentsim.domain.tally import Tally
from agentsim.domain.units import NS_PER_S
from agentsim.registry import Registry

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

#: What a cost model says of steps: columns of theirs in, seconds of each by cause and purpose out.
PartsOf = Callable[[Columns], Mapping[str, FloatArray]]

#: Statuses of calls that the server answered; the others never reached it.
SERVED = ("finished", "cut")
#: Of those that reached it: also those whose client did not wait for the end.
AT_SERVER = (*SERVED, "timeout")


@dataclass(frozen=True, slots=True)
class Sample:
    """Values of one metric, each counted `weights` times.

    Attributes
    ----------
    values : ndarray of float64
        In the metric's unit, in any order.
    weights : ndarray of int64, same shape
        How often each value occurs, >= 0.
    total : float or None
        The sum, where it is known better than from `values`.
    """

    values: FloatArray
    weights: IntArray
    total: float | None = None

    @classmethod
    def of(cls, tally: Tally, unit: int = 1) -> Sample:
        """What was counted, in so large a unit."""
        return cls(tally.values / unit, tally.weights, tally.total / unit)

    @property
    def count(self) -> int:
        """How many values there are, with their weights."""
        return int(self.weights.sum())

    def mean(self) -> float | None:
        """The weighted mean; None of nothing."""
        count = self.count
        if not count:
            return None
        total = (self.values * self.weights).sum() if self.total is None else self.total
        return float(total / count)

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
    statuses = (chunk["status"] for chunk in run.requests.chunks("status"))
    masks = [(status == SERVED[0]) | (status == SERVED[1]) for status in statuses]
    return np.concatenate([np.zeros(0, np.bool_), *masks])


def served_chunks(run: Run, *names: str) -> Iterator[Columns]:
    """These columns of the requests that the server answered, chunk by chunk."""
    return run.requests.chunks(*names, where={"status": SERVED})


def served_total(run: Run, name: str) -> int:
    """The sum of a column over the requests that the server answered."""
    return sum(int(chunk[name].sum()) for chunk in served_chunks(run, name))


def replicas_of(run: Run) -> list[int]:
    """All replicas: those of the configuration, or of a measured run those that took a step (the
    first one if none did)."""
    known = run.config.get("cluster", {}).get("replicas")
    if known is not None:
        return list(range(known))
    found: set[int] = set()
    for steps in run.steps.chunks("replica"):
        found.update(replicas_in(steps))
    return sorted(found) or [0]


def replicas_in(columns: Columns) -> list[int]:
    """The replicas of these steps or requests, in order."""
    replicas = columns["replica"]
    if len(replicas) and replicas.min() == replicas.max():
        return [int(replicas[0])]
    return [int(replica) for replica in np.unique(replicas)]


def _number(value: float) -> Sample:
    return Sample(np.array([value], np.float64), np.ones(1, np.int64))


def _seconds(run: Run, start: str, end: str) -> Sample:
    """From one time to another of each served request which has both."""
    tally = Tally()
    for columns in served_chunks(run, start, end):
        mask = (columns[start] >= 0) & (columns[end] >= 0)
        tally.add((columns[end] - columns[start])[mask])
    return Sample.of(tally, NS_PER_S)


def ttft(run: Run) -> Sample:
    """Submission to first token, queue time included; requests without output have none."""
    return _seconds(run, "submitted_ns", "first_token_ns")


def tpot(run: Run) -> Sample:
    """(Last token - first token) / (output tokens - 1); undefined, not 0, for one token."""
    tally = Tally(np.float64)
    for columns in served_chunks(run, "first_token_ns", "finished_ns", "output_tokens"):
        mask = (columns["first_token_ns"] >= 0) & (columns["output_tokens"] > 1)
        decode_s = (columns["finished_ns"] - columns["first_token_ns"])[mask] / NS_PER_S
        tally.add(decode_s / (columns["output_tokens"][mask] - 1))
    return Sample.of(tally)


def itl(run: Run) -> Sample:
    """Gaps between successive token arrivals of a request, over all requests."""
    tally = Tally()
    gaps, weights = (run.facts.get(name, ()) for name in ("itl_ns", "itl_weight"))
    tally.add(np.asarray(gaps, np.int64), np.asarray(weights, np.int64))
    total_ns = run.facts.get("itl_total_ns", tally.total)  # known apart where gaps are rounded
    return Sample(tally.values / NS_PER_S, tally.weights, total_ns / NS_PER_S)


def e2e(run: Run) -> Sample:
    """Submission to last token."""
    return _seconds(run, "submitted_ns", "finished_ns")


def inbound_ns(run: Run, requests: Columns) -> IntArray:
    """How long each request took from its client to the scheduler's queue, where the run says."""
    api = run.facts.get("api_server", {})
    of_tokens = np.rint(requests["prompt_tokens"] * api.get("prompt_token_ns", 0.0))
    inbound: IntArray = of_tokens.astype(np.int64) + int(api.get("request_ns", 0))
    return inbound


def queue(run: Run) -> Sample:
    """Arrival at the scheduler to the start of the first step that computes any of the request."""
    tally = Tally()
    for columns in served_chunks(run, "prompt_tokens", "submitted_ns", "scheduled_ns"):
        waited = columns["scheduled_ns"] - columns["submitted_ns"] - inbound_ns(run, columns)
        tally.add(np.maximum(waited, 0)[columns["scheduled_ns"] >= 0])
    return Sample.of(tally, NS_PER_S)


def session(run: Run) -> Sample:
    """Start of a session, its first wait included, to its last answer."""
    tally = Tally()
    for columns in run.sessions.chunks("started_ns", "finished_ns"):
        tally.add(columns["finished_ns"] - columns["started_ns"])
    return Sample.of(tally, NS_PER_S)


def _rate(amount: Callable[[Run], int]) -> Callable[[Run], Sample]:
    """`amount` a second over the whole run; nothing where the run takes no time."""

    def rate(run: Run) -> Sample:
        if not run.makespan_ns:
            return Sample(np.zeros(0), np.zeros(0, np.int64))
        return _number(amount(run) * NS_PER_S / run.makespan_ns)

    return rate


def _tokens(column: str) -> Callable[[Run], int]:
    return lambda run: served_total(run, column)


def _calls(run: Run) -> int:
    return sum(len(chunk["replica"]) for chunk in served_chunks(run, "replica"))


_ALL = (
    Metric("runtime", "s", "lower", lambda run: _number(run.makespan_ns / NS_PER_S), "whole run"),
    Metric("ttft", "s", "lower", ttft, "submission to first token, queue included"),
    Metric("tpot", "s", "lower", tpot, "time per output token after the first"),
    Metric("itl", "s", "lower", itl, "gap between successive tokens of a request"),
    Metric("e2e", "s", "lower", e2e, "submission to last token"),
    Metric("queue", "s", "lower", queue, "arrival at the scheduler to first step"),
    Metric("session", "s", "lower", session, "start of a session to its last answer"),
    Metric("output_rate", "token/s", "higher", _rate(_tokens("output_tokens")), "output tokens"),
    Metric("prompt_rate", "token/s", "higher", _rate(_tokens("prompt_tokens")), "prompt tokens"),
    Metric("call_rate", "call/s", "higher", _rate(_calls), "calls served"),
)

#: Name -> metric.
METRICS: Registry[Metric] = Registry(
    "metric",
    {metric.name: metric for metric in _ALL},
    entry_point_group="agentsim.metrics",
    expected=Metric,
)
