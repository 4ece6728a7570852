"""Events of the replicas: steps as slices, and what they hold as counters."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from agentsim.domain.records import Columns, Run
from agentsim.report.held import HELD, held
from agentsim.report.metrics import BoolArray, IntArray, replicas_in
from agentsim.report.timeline.events import begin_slice, counter, end_slice

#: Process of replica 0; the others follow. Its steps are its only thread, of the same number.
REPLICAS = 2

#: Counters that add up over the steps: column, counter.
_TOTALS = {"evicted_blocks": "KV blocks evicted", "preempted": "preemptions"}
_COLUMNS = (
    *("replica", "step", "start_ns", "end_ns", "num_tokens", "num_seqs", "prefill_tokens"),
    *("recomputed_tokens", "new_tokens"),
)


def step_events(run: Run, *, is_condensed: bool) -> Iterator[str]:
    """A slice for each step; condensed, one for decode steps of the same sequences in a row."""
    for steps in run.steps.chunks(*_COLUMNS):
        for replica in replicas_in(steps):
            mask = steps["replica"] == replica
            mine = {name: column[mask] for name, column in steps.items()}
            num_steps = len(mine["step"])
            first = np.flatnonzero(_starts_slice(mine)) if is_condensed else np.arange(num_steps)
            yield from _slices(mine, first, REPLICAS + replica)


def counter_events(run: Run, *, least_gap_ns: int) -> Iterator[str]:
    """Counters of each replica, where they change.

    Parameters
    ----------
    least_gap_ns : int
        Of the changes in each stretch of so long only the last is told.
    """
    last: dict[int, dict[str, int]] = {}
    for part in held(run):
        pid, columns = REPLICAS + part.replica, [part.columns[name] for name in HELD]
        kept = _last_of_each(part.since_ns, least_gap_ns)
        known = last.setdefault(pid, {})
        for when_ns, used, running, waiting in zip(
            part.since_ns[kept].tolist(), *(column[kept].tolist() for column in columns),
            strict=True,
        ):  # fmt: skip
            if known.get("used") != used:
                yield counter("KV blocks", when_ns, pid, {"used": used})
            if (known.get("running"), known.get("waiting")) != (running, waiting):
                told = {"running": running, "waiting": waiting}
                yield counter("requests", when_ns, pid, told)
            known.update(used=used, running=running, waiting=waiting)
    yield from _total_events(run, least_gap_ns)


def _total_events(run: Run, least_gap_ns: int) -> Iterator[str]:
    totals: dict[tuple[int, str], int] = {}
    for steps in run.steps.chunks("replica", "start_ns", *_TOTALS):
        for replica in replicas_in(steps):
            mask = steps["replica"] == replica
            for column, name in _TOTALS.items():
                before = totals.get((replica, name), 0)
                grown = before + np.cumsum(steps[column][mask])
                changes = np.flatnonzero(steps[column][mask])
                times = steps["start_ns"][mask][changes]
                kept = _last_of_each(times, least_gap_ns)
                for when_ns, total in zip(
                    times[kept].tolist(), grown[changes][kept].tolist(), strict=True
                ):
                    yield counter(name, when_ns, REPLICAS + replica, {"total": total})
                totals[replica, name] = int(grown[-1])


def _starts_slice(steps: Columns) -> BoolArray:
    """Which steps are not the same decode as the step before, right after it."""
    is_same = (steps["prefill_tokens"][1:] == 0) & (steps["prefill_tokens"][:-1] == 0)
    is_same &= steps["start_ns"][1:] == steps["end_ns"][:-1]
    for name in ("num_tokens", "num_seqs", "new_tokens"):
        is_same &= steps[name][1:] == steps[name][:-1]
    return np.append(True, ~is_same)


def _slices(steps: Columns, first: IntArray, pid: int) -> Iterator[str]:
    last = np.append(first[1:], len(steps["step"])) - 1
    counts = (last - first + 1).tolist()
    starts, ends = steps["start_ns"][first].tolist(), steps["end_ns"][last].tolist()
    names = ("step", "num_seqs", "num_tokens", "prefill_tokens", "recomputed_tokens")
    rows = zip(*(steps[name][first].tolist() for name in names), strict=True)
    for count, start_ns, end_ns, (number, seqs, tokens, prefill, again) in zip(
        counts, starts, ends, rows, strict=True
    ):
        args = {"step": number, "seqs": seqs, "tokens": tokens * count, "prefill": prefill}
        args["decode"] = (tokens - prefill) * count
        if again:
            args["recomputed"] = again
        if count > 1:
            args["steps"] = count
        name = "decode" if not prefill else "prefill" if prefill == tokens else "prefill + decode"
        yield begin_slice(name, start_ns, pid, pid, args)
        yield end_slice(end_ns, pid, pid)


def _last_of_each(times_ns: IntArray, least_gap_ns: int) -> IntArray:
    """Places of the last time in each stretch, and of the last at each instant."""
    stretch = times_ns // max(1, least_gap_ns)
    return np.flatnonzero(np.append(stretch[1:] != stretch[:-1], True)[: len(times_ns)])
