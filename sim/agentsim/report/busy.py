"""What each replica did when: steps that follow one another as slices of prefill and decode."""

from __future__ import annotations

import numpy as np

from agentsim.domain.records import Run
from agentsim.report.lanes import Slices, on_grid
from agentsim.report.metrics import IntArray, replicas_in, replicas_of

#: What a step does, by its number in `Slices`.
BUSY = ("prefill", "decode", "prefill and decode")


def busy(run: Run, *, max_replicas: int = 16, max_slices: int = 20_000) -> Slices:
    """What the first replicas did, a track each, in no more than about so many slices.

    Of more, a grid of times is shown instead, whose stretches show what most of them was.
    """
    replicas = replicas_of(run)
    shown = {replica: place for place, replica in enumerate(replicas[:max_replicas])}
    none = np.zeros(0, np.int64)
    found: list[tuple[IntArray, ...]] = [(none, none, none, none)]
    for steps in run.steps.chunks("replica", "start_ns", "end_ns", "num_tokens", "prefill_tokens"):
        for replica in replicas_in(steps):
            if replica not in shown:
                continue
            mask = steps["replica"] == replica
            kinds = _kinds(steps["num_tokens"][mask], steps["prefill_tokens"][mask])
            kind, start, end = _joined(kinds, steps["start_ns"][mask], steps["end_ns"][mask])
            found.append((np.full(len(kind), shown[replica]), kind, start, end))
    track, kind, start, end = (np.concatenate(column) for column in zip(*found, strict=True))
    tracks = np.array([(replica, 0) for replica in shown], np.int64).reshape(-1, 2)
    end = np.minimum(end, run.makespan_ns)
    is_seen = end > start
    track, kind, start, end = (column[is_seen] for column in (track, kind, start, end))
    whole = Slices(tracks, len(replicas), track, kind, start, end)
    if len(whole.track) <= max_slices:
        return whole
    return on_grid(whole, len(BUSY), run.makespan_ns, max_slices)


def _kinds(tokens: IntArray, prefill: IntArray) -> IntArray:
    kinds: IntArray = np.where(prefill == 0, 1, np.where(prefill >= tokens, 0, 2))
    return kinds


def _joined(
    kinds: IntArray, starts: IntArray, ends: IntArray
) -> tuple[IntArray, IntArray, IntArray]:
    """Steps of one kind without a gap between them as one."""
    if not len(kinds):
        return kinds, starts, ends
    is_new = (kinds[1:] != kinds[:-1]) | (starts[1:] != ends[:-1])
    firsts = np.concatenate([[0], np.flatnonzero(is_new) + 1])
    lasts = np.concatenate([firsts[1:], [len(kinds)]]) - 1
    return kinds[firsts], starts[firsts], ends[lasts]
