"""What each agent did when: its calls, and what each of them waited for, in tracks.

An agent at work (a slot) has a track; calls that run beside each other, those of sub-agents, have
further ones, so that nothing on a track overlaps. Start at `lanes`; `slices` is flat.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from agentsim.domain.records import Columns, Run
from agentsim.report.metrics import AT_SERVER, IntArray, inbound_ns
from agentsim.report.where import phase_edges

#: Phases of a call in their order, by their numbers in `Slices`.
PHASES = ("tool wait", "front end", "queue", "prefill", "decode")

#: Columns of the calls in `Lanes`.
_NEEDED = (
    *("session", "agent", "call", "slot", "replica", "status", "delay_ns", "submitted_ns"),
    *("scheduled_ns", "first_token_ns", "finished_ns", "prompt_tokens", "cached_tokens"),
    *("output_tokens", "preemptions", "recomputed_tokens"),
)


class Lanes(NamedTuple):
    """Sessions that ended about the same time, and their calls.

    Attributes
    ----------
    sessions, calls : dict of str to ndarray
        Columns of the run, calls in the order in which they begin in their session.
    owners : ndarray of int64, shape (num_calls,)
        Row of the session of each call.
    lanes : ndarray of int64, shape (num_calls,)
        0 is the agent's own track; calls beside it have 1 and more.
    edges : ndarray of int64, shape (6, num_calls)
        Nanoseconds at which each of `PHASES` begins, and the last one ends; never falling.
    """

    sessions: Columns
    calls: Columns
    owners: IntArray
    lanes: IntArray
    edges: IntArray


class Slices(NamedTuple):
    """What was done on some tracks; parallel arrays.

    Attributes
    ----------
    tracks : ndarray of int64, shape (num_tracks, 2)
        Slot and lane of each track shown, in order.
    num_tracks : int
        How many tracks there are, shown or not.
    track, phase : ndarray of int64
        Places in `tracks` and in `PHASES`.
    start_ns, end_ns : ndarray of int64
        Those of one track do not overlap; each is longer than 0.
    grid_ns : int
        0 if they are as they were; else each stretch of so long shows the phase that took most of
        it.
    """

    tracks: IntArray
    num_tracks: int
    track: IntArray
    phase: IntArray
    start_ns: IntArray
    end_ns: IntArray
    grid_ns: int = 0


def lanes(run: Run) -> Iterator[Lanes]:
    """The calls of a run on their tracks, a chunk of sessions at a time, as these ended."""
    for sessions, found in run.by_session(*_NEEDED):
        places = {name: row for row, name in enumerate(sessions["session"].tolist())}
        owners = np.array([places[name] for name in found["session"].tolist()], np.int64)
        edges = _edges(run, sessions["started_ns"][owners], found)
        order = np.lexsort((edges[-1], edges[0], owners))
        calls = {name: column[order] for name, column in found.items()}
        owners, edges = owners[order], edges[:, order]
        yield Lanes(sessions, calls, owners, _lanes_of(owners, calls["agent"], edges), edges)


def tracks_of(run: Run) -> IntArray:
    """Slot and lane of each track, in order; shape (num_tracks, 2)."""
    most: dict[int, int] = {}
    for part in lanes(run):
        for slot in np.unique(part.sessions["slot"]).tolist():
            most.setdefault(slot, 0)
        rows = zip(part.calls["slot"].tolist(), part.lanes.tolist(), strict=True)
        for slot, lane in set(rows):  # order does not matter: the largest is kept
            most[slot] = max(most[slot], lane)
    pairs = [(slot, lane) for slot in sorted(most) for lane in range(most[slot] + 1)]
    return np.array(pairs, np.int64).reshape(-1, 2)


def slices(run: Run, *, max_tracks: int = 64, max_slices: int = 20_000) -> Slices:
    """What was done on the first tracks, in no more than about so many slices.

    Of more, a grid of times is shown instead, whose stretches show one phase each.
    """
    all_tracks = tracks_of(run)
    tracks = all_tracks[:max_tracks]
    places = {pair: place for place, pair in enumerate(map(tuple, tracks.tolist()))}
    none = np.zeros(0, np.int64)
    found = [(none, none, none, none)]
    for part in lanes(run):
        pairs = zip(part.calls["slot"].tolist(), part.lanes.tolist(), strict=True)
        track = np.array([places.get(pair, -1) for pair in pairs], np.int64)
        for phase in range(len(PHASES)):
            start, end = part.edges[phase], part.edges[phase + 1]
            shown = (track >= 0) & (end > start)
            phases = np.full(int(shown.sum()), phase)
            found.append((track[shown], phases, start[shown], end[shown]))
    track, phases, start, end = (np.concatenate(column) for column in zip(*found, strict=True))
    whole = Slices(tracks, len(all_tracks), track, phases, start, end)
    if len(whole.track) <= max_slices:
        return whole
    return on_grid(whole, len(PHASES), run.makespan_ns, max_slices)


def _edges(run: Run, began: IntArray, calls: Columns) -> IntArray:
    """Edges of the phases; a call that never reached the server has only its wait."""
    at_server = np.isin(calls["status"].astype(str), AT_SERVER)
    edges = phase_edges(calls, inbound_ns(run, calls))
    edges = np.where(at_server, edges, calls["submitted_ns"])
    waits = np.maximum(calls["submitted_ns"] - calls["delay_ns"], began)
    return np.maximum.accumulate(np.vstack([waits, edges]), axis=0)


def _lanes_of(owners: IntArray, agents: IntArray, edges: IntArray) -> IntArray:
    """The lane of each call: where its agent was before, if that is free; else the first free."""
    chosen = np.zeros(len(owners), np.int64)
    session, free_from, last = -1, list[int](), dict[str, int]()
    rows = zip(owners.tolist(), agents.tolist(), edges[0].tolist(), edges[-1].tolist(), strict=True)
    for row, (owner, agent, begin, end) in enumerate(rows):
        if owner != session:
            session, free_from, last = owner, [], {}
        lane = last.get(agent, 0)
        if lane >= len(free_from) or free_from[lane] > begin:
            free = (i for i, until in enumerate(free_from) if until <= begin)
            lane = next(free, len(free_from))
        if lane == len(free_from):
            free_from.append(end)
        free_from[lane] = end
        chosen[row] = last[agent] = lane
    return chosen


def on_grid(whole: Slices, num_phases: int, span_ns: int, max_slices: int) -> Slices:
    """Each stretch of a grid as the phase that took most of it, if all together took half of it."""
    num_bins = max(1, max_slices // max(1, len(whole.tracks)))
    width = -(-span_ns // num_bins)
    taken = np.zeros((len(whole.tracks), num_phases, num_bins + 1), np.int64)
    first, last = whole.start_ns // width, (whole.end_ns - 1) // width
    where = (whole.track, whole.phase)
    # as if each slice filled all its bins, less what it leaves of the first and of the last
    np.add.at(taken, (*where, first), width)
    np.add.at(taken, (*where, last + 1), -width)
    taken = np.cumsum(taken, axis=2)[:, :, :num_bins]
    np.add.at(taken, (*where, first), first * width - whole.start_ns)
    np.add.at(taken, (*where, last), whole.end_ns - (last + 1) * width)
    most = np.where(taken.sum(axis=1) * 2 >= width, taken.argmax(axis=1), -1)
    edge = np.ones((len(most), 1), np.bool_)
    is_first = np.hstack([edge, most[:, 1:] != most[:, :-1]])
    is_last = np.hstack([is_first[:, 1:], edge])
    track, start = np.nonzero(is_first & (most >= 0))
    _, end = np.nonzero(is_last & (most >= 0))
    ends_ns = np.minimum((end + 1) * width, span_ns)
    phase = most[track, start]
    return whole._replace(
        track=track, phase=phase, start_ns=start * width, end_ns=ends_ns, grid_ns=width
    )
