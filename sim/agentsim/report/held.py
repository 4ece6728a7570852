"""What each replica holds over time: blocks, running and waiting requests, as step functions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from agentsim.domain.records import Columns, Run
from agentsim.report.cover import Cover
from agentsim.report.metrics import IntArray, replicas_in
from agentsim.report.where import at_server

#: Columns of steps that say what is held after scheduling, until the next step.
HELD = ("used_blocks", "running", "waiting")


class Held(NamedTuple):
    """A stretch of what one replica holds.

    Attributes
    ----------
    replica : int
    since_ns : ndarray of int64
        From when on; in order, the stretches of a replica one after another.
    columns : dict of str to ndarray
        The columns `HELD`, until the next of `since_ns`.
    """

    replica: int
    since_ns: IntArray
    columns: Columns


def held(run: Run) -> Iterator[Held]:
    """What the replicas hold, a chunk of steps at a time; nothing while no call is at a replica.

    Each replica starts with nothing at 0. Every step while a call is there has a point of its own,
    with the values of its columns.
    """
    covers, last = at_server(run), dict[int, int]()
    for steps in run.steps.chunks("replica", "start_ns", *HELD):
        for replica in replicas_in(steps):
            mask = steps["replica"] == replica
            cover = covers.get(replica, Cover.nothing())
            mine = {name: steps[name][mask] for name in ("start_ns", *HELD)}
            yield _with_ends(replica, mine, cover, last.get(replica))
            last[replica] = int(mine["start_ns"][-1])
    for replica, last_ns in last.items():
        ends = covers.get(replica, Cover.nothing()).ends
        ends = ends[ends > last_ns]
        yield Held(replica, ends, {name: np.zeros(len(ends), np.int64) for name in HELD})


def _with_ends(replica: int, steps: Columns, cover: Cover, last_ns: int | None) -> Held:
    """Steps as points, with one of zeros wherever the last call had left since the last point."""
    starts = steps["start_ns"]
    after = cover.ends > (-1 if last_ns is None else last_ns)
    ends = cover.ends[after & (cover.ends <= starts[-1])]
    if last_ns is None:
        ends = np.concatenate([np.zeros(1, np.int64), ends])
    place = np.searchsorted(cover.starts, starts, side="right") - 1
    is_there = np.zeros(len(starts), np.bool_)
    known = place >= 0
    is_there[known] = starts[known] < cover.ends[place[known]]
    times = np.concatenate([ends, starts])
    order = np.argsort(times, kind="stable")
    none = np.zeros(len(ends), np.int64)
    columns = {name: np.concatenate([none, steps[name] * is_there])[order] for name in HELD}
    return Held(replica, times[order], columns)
