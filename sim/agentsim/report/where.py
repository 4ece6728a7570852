"""Where the time went: on the GPU and in the life of a session.

Both partitions are taken in integer nanoseconds and add up exactly: `gpu_time` to the runtime times
the number of replicas, `agent_time` to the time of each session.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from agentsim.domain.records import Columns, Run
from agentsim.domain.units import NS_PER_S
from agentsim.report.metrics import FloatArray, IntArray, served

#: Kinds of idle time: every agent waits for its tool; no agent is there; a call is at the server.
IDLE = ("idle_tools", "idle_nobody", "idle_between_steps")


@dataclass(frozen=True, slots=True)
class Cover:
    """A union of time intervals, to be asked how much of the time before an instant it covers."""

    times: IntArray
    inside: IntArray
    before: IntArray

    @classmethod
    def of(cls, starts: IntArray, ends: IntArray) -> Cover:
        """The union of the intervals [start, end)."""
        order = np.argsort(np.concatenate([starts, ends]), kind="stable")
        times = np.concatenate([starts, ends])[order]
        change = np.concatenate([np.ones(len(starts), np.int64), -np.ones(len(ends), np.int64)])
        inside = (np.cumsum(change[order]) > 0).astype(np.int64)
        lengths = np.diff(times) * inside[:-1]
        return cls(times, inside, np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)]))

    def until(self, when_ns: IntArray) -> IntArray:
        """Nanoseconds covered before each instant."""
        if not len(self.times):
            return np.zeros(len(when_ns), np.int64)
        place = np.searchsorted(self.times, when_ns, side="right") - 1
        known = np.maximum(place, 0)
        covered = self.before[known] + (when_ns - self.times[known]) * self.inside[known]
        return np.where(place < 0, 0, covered)

    def within(self, starts: IntArray, ends: IntArray) -> IntArray:
        """Nanoseconds covered inside each interval."""
        return self.until(ends) - self.until(starts)


def at_server(run: Run, replica: int | None = None) -> Cover:
    """When at least one call was at the server, or at one of its replicas."""
    columns, mask = run.requests, served(run)
    if replica is not None:
        mask = mask & (columns["replica"] == replica)
    return Cover.of(columns["submitted_ns"][mask], columns["finished_ns"][mask])


def divide_steps(steps: Columns, parts: Mapping[str, FloatArray] | None) -> dict[str, IntArray]:
    """Each step's nanoseconds by cause; the four add up to its duration.

    Parameters
    ----------
    steps : dict of str to ndarray
        Columns of a run's steps.
    parts : mapping of str to ndarray of float64, or None
        ``prefill_s`` and ``decode_s``: seconds of each step, as a cost model attributes them; the
        rest of the step is overhead. None (a measured run): by tokens, without overhead.

    Notes
    -----
    Of the prefill, recomputation has the share that its tokens have. A step that neither prefills
    nor delivers a token is overhead: asynchronous scheduling runs one beyond a stop token.
    """
    lasts = (steps["end_ns"] - steps["start_ns"]).astype(np.int64)
    if parts is None:
        decoding = steps["num_tokens"] - steps["prefill_tokens"]
        decode = lasts * decoding // np.maximum(steps["num_tokens"], 1)
        prefill = lasts - decode
    else:
        prefill = np.clip(_nanoseconds(parts["prefill_s"]), 0, lasts)
        decode = np.clip(_nanoseconds(parts["decode_s"]), 0, lasts - prefill)
    is_vain = (steps["prefill_tokens"] == 0) & (steps["new_tokens"] == 0)
    decode = np.where(is_vain, 0, decode)
    again = prefill * steps["recomputed_tokens"] // np.maximum(steps["prefill_tokens"], 1)
    return {
        "prefill": prefill - again,
        "decode": decode,
        "recomputation": again,
        "overhead": lasts - prefill - decode,
    }


def _nanoseconds(seconds: FloatArray) -> IntArray:
    rounded: IntArray = np.rint(np.asarray(seconds) * NS_PER_S).astype(np.int64)
    return rounded


def gpu_time(run: Run, parts: Mapping[str, FloatArray] | None = None) -> dict[str, int]:
    """Nanoseconds of all replicas by cause: those of `divide_steps`, and idle by `IDLE`.

    They add up to the runtime times the number of replicas that took a step (at least one). What a
    replica still does after the last answer does not count.
    """
    limits = {edge: np.minimum(run.steps[edge], run.makespan_ns) for edge in ("start_ns", "end_ns")}
    steps = {**run.steps, **limits}
    spent = {cause: int(ns.sum()) for cause, ns in divide_steps(steps, parts).items()}
    starts, ends = _gaps(steps, run.makespan_ns)
    calls = int(at_server(run).within(starts, ends).sum())
    sessions = Cover.of(run.sessions["started_ns"], run.sessions["finished_ns"])
    agents = int(sessions.within(starts, ends).sum())
    idle = int((ends - starts).sum())
    kinds = (agents - calls, idle - agents, calls)
    return spent | dict(zip(IDLE, kinds, strict=True))


def _gaps(steps: Columns, makespan_ns: int) -> tuple[IntArray, IntArray]:
    """Intervals in which a replica runs no step, from 0 to the end of the run."""
    starts, ends = [], []
    replicas = np.unique(steps["replica"]) if len(steps["replica"]) else np.zeros(1, np.int64)
    for replica in replicas:
        mask = steps["replica"] == replica
        starts.append(np.concatenate([[0], np.sort(steps["end_ns"][mask])]))
        ends.append(np.concatenate([np.sort(steps["start_ns"][mask]), [makespan_ns]]))
    begin, end = np.concatenate(starts).astype(np.int64), np.concatenate(ends).astype(np.int64)
    return begin, np.maximum(begin, end)


def agent_time(run: Run) -> dict[str, IntArray]:
    """Nanoseconds of each session: queue, prefill, decode, recomputation, tools.

    A call is queued until its first step, prefills until its first token, then decodes. A session
    with several calls at the server divides that time evenly among them; with none it waits for
    tools, its client or a human. Recomputation is the time a call's optional column
    ``recovering_ns`` states: from a preemption until it is as far as it was, queue included.
    Without that column it stays in the phase in which it fell, as in vLLM's own metrics.

    Returns
    -------
    dict of str to ndarray of int64, shape (num_sessions,)
        In the order of `run.sessions`; the five add up to the session's time.
    """
    columns, mask = run.requests, served(run)
    owner = _places(run.sessions["session"], columns["session"][mask])
    submitted, finished = columns["submitted_ns"][mask], columns["finished_ns"][mask]
    scheduled, first = columns["scheduled_ns"][mask], columns["first_token_ns"][mask]
    scheduled = np.where(scheduled < 0, submitted, scheduled)
    first = np.where(first < 0, finished, first)

    everyone = np.arange(len(run.sessions["session"]))
    session = np.concatenate([owner, owner, owner, owner, everyone, everyone])
    ends = [run.sessions["started_ns"], run.sessions["finished_ns"]]
    times = np.concatenate([submitted, scheduled, first, finished, *ends])
    one, none = np.ones(len(owner), np.int64), np.zeros(len(owner), np.int64)
    nobody = np.zeros(2 * len(everyone), np.int64)
    order = np.lexsort((times, session))

    def count(*changes: IntArray) -> IntArray:
        return np.cumsum(np.concatenate([*changes, nobody])[order])[:-1]

    queued = count(one, -one, none, none)
    prefilling = count(none, one, -one, none)
    decoding = count(none, none, one, -one)
    calls = np.maximum(queued + prefilling + decoding, 1)
    lengths = np.diff(times[order]) * (np.diff(session[order]) == 0)
    here = session[order][:-1]

    def total(amount: IntArray) -> IntArray:
        out = np.zeros(len(everyone), np.int64)
        np.add.at(out, here, amount)
        return out

    queue = lengths * queued // calls
    prefill = lengths * (queued + prefilling) // calls - queue
    served_ns = lengths * (queued + prefilling + decoding) // calls
    spent = {"queue": total(queue), "prefill": total(prefill)}
    spent["decode"] = total(served_ns - queue - prefill)
    all_ns = (run.sessions["finished_ns"] - run.sessions["started_ns"]).astype(np.int64)
    tools = all_ns - total(served_ns)
    return _take_recovery(run, owner, spent) | {"tools": tools}


def _take_recovery(run: Run, owner: IntArray, spent: dict[str, IntArray]) -> dict[str, IntArray]:
    """Move the time of recovering from preemptions out of decode, then out of prefill."""
    columns, mask = run.requests, served(run)
    recovering = np.zeros_like(spent["queue"])
    if "recovering_ns" in columns:
        np.add.at(recovering, owner, columns["recovering_ns"][mask].astype(np.int64))
    decode = np.minimum(spent["decode"], recovering)
    prefill = np.minimum(spent["prefill"], recovering - decode)
    return {
        "queue": spent["queue"],
        "prefill": spent["prefill"] - prefill,
        "decode": spent["decode"] - decode,
        "recomputation": decode + prefill,
    }


def _places(names: npt.NDArray[Any], wanted: npt.NDArray[Any]) -> IntArray:
    """Where each wanted name stands among `names`."""
    order = np.argsort(names, kind="stable")
    return order[np.searchsorted(names, wanted, sorter=order)]
