"""Where the time went: on the GPU and in the life of a session.

Both partitions are taken in integer nanoseconds and add up exactly: `gpu_time` to the runtime times
the number of replicas, `agent_time` to the time of each session.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from agentsim.domain.records import Columns, Run
from agentsim.domain.units import NS_PER_S
from agentsim.errors import UserError
from agentsim.report.cover import Cover
from agentsim.report.metrics import (
    AT_SERVER,
    FloatArray,
    IntArray,
    PartsOf,
    inbound_ns,
    replicas_in,
    replicas_of,
)

#: Causes of a step's time, and phases of a session's.
CAUSES = ("prefill", "decode", "recomputation", "overhead")
PHASES = ("api", "queue", "prefill", "decode", "recomputation", "tools")
#: Kinds of idle time: every agent waits for its tool; no agent is there; a call is at the server.
IDLE = ("idle_tools", "idle_nobody", "idle_between_steps")


def at_server(run: Run) -> dict[int, Cover]:
    """When at least one call was at each of the replicas."""
    found: dict[int, list[Cover]] = {}
    names = ("replica", "submitted_ns", "finished_ns")
    for columns in run.requests.chunks(*names, where={"status": AT_SERVER}):
        for replica in replicas_in(columns):
            mask = columns["replica"] == replica
            starts, ends = columns["submitted_ns"][mask], columns["finished_ns"][mask]
            found.setdefault(replica, []).append(Cover.of(starts, ends))
    return {replica: Cover.union(covers) for replica, covers in found.items()}


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


def gpu_time(run: Run, parts_of: PartsOf | None = None) -> dict[str, int]:
    """Nanoseconds of all replicas by cause: those of `divide_steps`, and idle by `IDLE`.

    They add up to the runtime times the number of replicas that took a step (at least one). What a
    replica still does after the last answer does not count.
    """
    calls = Cover.union(at_server(run).values())
    lives = run.sessions.chunks("started_ns", "finished_ns")
    agents = Cover.union(Cover.of(c["started_ns"], c["finished_ns"]) for c in lives)
    spent = Counter[str]()
    idle_ns = agents_ns = calls_ns = 0

    def count_idle(starts: IntArray, ends: IntArray) -> None:
        nonlocal idle_ns, agents_ns, calls_ns
        is_gap = ends > starts
        starts, ends = starts[is_gap], ends[is_gap]
        idle_ns += int((ends - starts).sum())
        agents_ns += int(agents.within(starts, ends).sum())
        calls_ns += int(calls.within(starts, ends).sum())

    over_ns: dict[int, int] = {}  # of each replica, when its last step ended
    for columns in run.steps.chunks():
        parts = parts_of(columns) if parts_of is not None else None
        edges = ("start_ns", "end_ns")
        steps = columns | {edge: np.minimum(columns[edge], run.makespan_ns) for edge in edges}
        spent.update({cause: int(ns.sum()) for cause, ns in divide_steps(steps, parts).items()})
        for replica in replicas_in(steps):
            mask = steps["replica"] == replica
            ends = np.concatenate([[over_ns.get(replica, 0)], steps["end_ns"][mask]])
            count_idle(ends[:-1], steps["start_ns"][mask])
            over_ns[replica] = int(ends[-1])
    for replica in replicas_of(run):
        count_idle(np.array([over_ns.get(replica, 0)]), np.array([run.makespan_ns]))
    kinds = (agents_ns - calls_ns, idle_ns - agents_ns, calls_ns)
    return {cause: spent[cause] for cause in CAUSES} | dict(zip(IDLE, kinds, strict=True))


def agent_time(run: Run) -> dict[str, IntArray]:
    """Nanoseconds of each session: API server, queue, prefill, decode, recomputation, tools.

    A call is on its way until it reaches the scheduler, queued until its first step, prefills until
    its first token, then decodes. A session with several calls at the server divides that time
    evenly among them; with none it waits for tools, its client or a human. Recomputation is the
    time a call's optional column ``recovering_ns`` states: from a preemption until it is as far as
    it was, queue included. Without that column it stays in the phase in which it fell, as in
    vLLM's own metrics.

    Returns
    -------
    dict of str to ndarray of int64, shape (num_sessions,)
        In the order of `run.sessions`; the six add up to the session's time.
    """
    names = ["session", "prompt_tokens", "submitted_ns", "scheduled_ns"]
    names += ["first_token_ns", "finished_ns"]
    if "recovering_ns" in run.requests:
        names.append("recovering_ns")
    pairs = run.by_session(*names, where={"status": AT_SERVER})
    spent = [
        _session_time(sessions, requests, inbound_ns(run, requests)) for sessions, requests in pairs
    ]
    none = np.zeros(0, np.int64)
    return {cause: np.concatenate([none, *(part[cause] for part in spent)]) for cause in PHASES}


def phase_edges(calls: Columns, inbound: IntArray) -> IntArray:
    """When each call that reached the server was submitted, arrived at the scheduler, took its
    first step, had its first token and finished.

    Parameters
    ----------
    calls : dict of str to ndarray
        Columns of requests.
    inbound : ndarray of int64
        From `metrics.inbound_ns`.

    Returns
    -------
    ndarray of int64, shape (5, num_calls)
        Nanoseconds.
    """
    submitted, finished = calls["submitted_ns"], calls["finished_ns"]
    scheduled, first = calls["scheduled_ns"], calls["first_token_ns"]
    # what was dropped before its first step only queued; of a measured call that may be unknown
    unknown = np.where(first < 0, finished, submitted)
    scheduled = np.where(scheduled < 0, unknown, scheduled)
    first = np.where(first < 0, finished, first)
    arrived = np.minimum(submitted + inbound, scheduled)
    return np.array([submitted, arrived, scheduled, first, finished])


def _session_time(sessions: Columns, calls: Columns, inbound: IntArray) -> dict[str, IntArray]:
    """`agent_time` of sessions and the calls served of them."""
    owner = _places(sessions["session"], calls["session"])
    submitted, arrived, scheduled, first, finished = phase_edges(calls, inbound)

    everyone = np.arange(len(sessions["session"]))
    session = np.concatenate([owner, owner, owner, owner, owner, everyone, everyone])
    ends = [sessions["started_ns"], sessions["finished_ns"]]
    times = np.concatenate([submitted, arrived, scheduled, first, finished, *ends])
    one, none = np.ones(len(owner), np.int64), np.zeros(len(owner), np.int64)
    nobody = np.zeros(2 * len(everyone), np.int64)
    order = np.lexsort((times, session))

    def count(*changes: IntArray) -> IntArray:
        return np.cumsum(np.concatenate([*changes, nobody])[order])[:-1]

    arriving = count(one, -one, none, none, none)
    queued = count(none, one, -one, none, none)
    prefilling = count(none, none, one, -one, none)
    decoding = count(none, none, none, one, -one)
    num_calls = np.maximum(arriving + queued + prefilling + decoding, 1)
    lengths = np.diff(times[order]) * (np.diff(session[order]) == 0)
    here = session[order][:-1]

    def total(amount: IntArray) -> IntArray:
        out = np.zeros(len(everyone), np.int64)
        np.add.at(out, here, amount)
        return out

    # running sums, each rounded down, so that the phases add up
    sums = np.cumsum([arriving, queued, prefilling, decoding], axis=0) * lengths // num_calls
    api, queue, prefill, decode = np.diff(sums, axis=0, prepend=0)
    served_ns = sums[-1]
    phases = {"api": api, "queue": queue, "prefill": prefill, "decode": decode}
    spent = {phase: total(ns) for phase, ns in phases.items()}
    all_ns = (sessions["finished_ns"] - sessions["started_ns"]).astype(np.int64)
    tools = all_ns - total(served_ns)
    recovering = np.zeros_like(tools)
    if "recovering_ns" in calls:
        np.add.at(recovering, owner, calls["recovering_ns"].astype(np.int64))
    return _take_recovery(recovering, spent) | {"tools": tools}


def _take_recovery(recovering: IntArray, spent: dict[str, IntArray]) -> dict[str, IntArray]:
    """Move the time of recovering from preemptions out of decode, then out of prefill."""
    decode = np.minimum(spent["decode"], recovering)
    prefill = np.minimum(spent["prefill"], recovering - decode)
    return spent | {
        "prefill": spent["prefill"] - prefill,
        "decode": spent["decode"] - decode,
        "recomputation": decode + prefill,
    }


def _places(names: npt.NDArray[Any], wanted: npt.NDArray[Any]) -> IntArray:
    """Where each wanted name stands among `names`."""
    places = {name: place for place, name in enumerate(names.tolist())}
    try:
        return np.array([places[name] for name in wanted.tolist()], dtype=np.int64)
    except KeyError as error:
        raise UserError(f"a request names session {error}, which the sessions lack") from error
