"""A run over time in a bounded number of points: `binned`.

Means, peaks and sums of stretches of equal length.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from agentsim.domain.records import Columns, Run
from agentsim.domain.units import NS_PER_S
from agentsim.report.durations import duration
from agentsim.report.held import HELD, held
from agentsim.report.metrics import AT_SERVER, FloatArray, IntArray, replicas_in, replicas_of

#: Sums of steps, counted where the step ends; and of requests, where their first step starts.
OF_STEPS = ("prefill_tokens", "recomputed_tokens", "new_tokens", "evicted_blocks", "preempted")
OF_REQUESTS = ("prompt_tokens", "cached_tokens")


@dataclass(frozen=True, slots=True)
class Series:
    """A run over time.

    Attributes
    ----------
    bin_ns : int
        How long a stretch is; the last one may be cut by the end of the run.
    span_ns : int
        The whole run.
    num_steps : int
        Steps that the points stand for.
    replicas : tuple of int
        Rows of the arrays.
    means, peaks : dict of str to ndarray of float64, shape (num_replicas, num_bins)
        ``used_blocks``, ``running``, ``waiting`` and ``num_seqs`` (sequences in the step that runs,
        0 while none does), over the time of each stretch.
    sums : dict of str to ndarray of int64, shape (num_replicas, num_bins)
        The columns `OF_STEPS` and `OF_REQUESTS`.
    """

    bin_ns: int
    span_ns: int
    num_steps: int
    replicas: tuple[int, ...]
    means: dict[str, FloatArray]
    peaks: dict[str, FloatArray]
    sums: dict[str, IntArray]

    @property
    def edges_s(self) -> FloatArray:
        """Where the stretches begin and the last one ends, in seconds; shape (num_bins + 1,)."""
        return _edges_ns(self.bin_ns, self.span_ns) / NS_PER_S

    @property
    def lengths_s(self) -> FloatArray:
        """How long each stretch is, in seconds."""
        lengths: FloatArray = np.diff(self.edges_s)
        return lengths

    @property
    def is_downsampled(self) -> bool:
        """Whether there are more steps than points."""
        return self.num_steps > len(self.lengths_s)

    @property
    def about(self) -> str:
        """What a point stands for, such as ``each point: 2.00 s``."""
        return f"each point: {duration(self.bin_ns / NS_PER_S)}"


def binned(run: Run, *, max_bins: int = 400) -> Series:
    """The run in at most `max_bins` stretches, 1, 2 or 5 times a power of ten long."""
    span = max(run.makespan_ns, 1)
    width = _round_up(-(-span // max_bins))
    edges = _edges_ns(width, span)
    replicas = tuple(replicas_of(run))
    shape = len(replicas), len(edges) - 1
    held_names = (*HELD, "num_seqs")
    made = Series(
        bin_ns=width,
        span_ns=span,
        num_steps=run.steps.num_rows,
        replicas=replicas,
        means={name: np.zeros(shape) for name in held_names},
        peaks={name: np.zeros(shape) for name in held_names},
        sums={name: np.zeros(shape, np.int64) for name in (*OF_STEPS, *OF_REQUESTS)},
    )
    _add_held(made, run, edges)
    _add_steps(made, run, edges)
    _add_requests(made, run)
    for name in held_names:
        made.means[name] /= np.diff(edges)
    return made


def _add_held(made: Series, run: Run, edges: IntArray) -> None:
    last = {replica: dict.fromkeys(("since_ns", *HELD), 0) for replica in made.replicas}
    for part in held(run):
        before, row = last[part.replica], made.replicas.index(part.replica)
        since = np.append(before["since_ns"], part.since_ns)
        for name in HELD:
            values = np.append(before[name], part.columns[name])
            intervals = since[:-1], since[1:], values[:-1]
            _fill(made.means[name][row], made.peaks[name][row], edges, intervals)
            before[name] = int(values[-1])
        before["since_ns"] = int(since[-1])


def _add_steps(made: Series, run: Run, edges: IntArray) -> None:
    for steps in run.steps.chunks("replica", "start_ns", "end_ns", "num_seqs", *OF_STEPS):
        for replica in replicas_in(steps):
            mask, row = steps["replica"] == replica, made.replicas.index(replica)
            mine = {name: column[mask] for name, column in steps.items()}
            intervals = mine["start_ns"], mine["end_ns"], mine["num_seqs"]
            _fill(made.means["num_seqs"][row], made.peaks["num_seqs"][row], edges, intervals)
            _count(made, row, OF_STEPS, mine, (mine["end_ns"] - 1) // made.bin_ns)


def _add_requests(made: Series, run: Run) -> None:
    names = ("replica", "scheduled_ns", *OF_REQUESTS)
    for calls in run.requests.chunks(*names, where={"status": AT_SERVER}):
        for replica in replicas_in(calls):
            mask = (calls["replica"] == replica) & (calls["scheduled_ns"] >= 0)
            mine = {name: column[mask] for name, column in calls.items()}
            row = made.replicas.index(replica)
            _count(made, row, OF_REQUESTS, mine, mine["scheduled_ns"] // made.bin_ns)


def _edges_ns(width: int, span: int) -> IntArray:
    return np.append(np.arange(0, span, width), span)


def _round_up(width: int) -> int:
    """The least of 1, 2 and 5 times a power of ten that is as large."""
    power = int(10 ** (len(str(width)) - 1))
    return next(n * power for n in (1, 2, 5, 10) if n * power >= width)


def _fill(
    integral: FloatArray,
    peak: FloatArray,
    edges: IntArray,
    intervals: tuple[IntArray, IntArray, IntArray],
) -> None:
    """Add what holds in intervals (starts, ends, values) that do not overlap to the bins."""
    starts, ends, values = intervals
    starts, ends = np.minimum(starts, edges[-1]), np.minimum(ends, edges[-1])
    some = (ends > starts) & (values > 0)
    starts, ends, values = starts[some], ends[some], values[some]
    if not len(starts):
        return
    first = np.searchsorted(edges, starts, side="right") - 1
    last = np.searchsorted(edges, ends, side="left") - 1
    counts = last - first + 1
    piece = np.repeat(np.arange(len(starts)), counts)  # one for each bin that an interval touches
    places = first[piece] + np.arange(len(piece)) - np.repeat(np.cumsum(counts) - counts, counts)
    inside = np.minimum(ends[piece], edges[places + 1]) - np.maximum(starts[piece], edges[places])
    np.add.at(integral, places, values[piece] * inside.astype(np.float64))
    np.maximum.at(peak, places, values[piece])


def _count(
    made: Series, row: int, names: tuple[str, ...], columns: Columns, bins: IntArray
) -> None:
    """Add columns to the bins; what a replica still does after the last answer to the last bin."""
    for name in names:
        mine = made.sums[name][row]
        np.add.at(mine, np.clip(bins, 0, len(mine) - 1), columns[name])
