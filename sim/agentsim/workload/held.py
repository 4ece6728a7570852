"""What a prompt cache with a lifetime would hold of each prompt when it is sent.

Unlike `agentsim.workload.reuse`, which asks what was ever sent before, this follows the times of a
run: a prompt is in the cache from its first token on (an answer from its last), and every use
renews the lifetime of what is used. It keeps what the sessions at work and the lifetime need, not
the whole trace.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from agentsim.domain.records import Columns
from agentsim.domain.trace import Session, Trace
from agentsim.workload.prefix_tree import PrefixTree
from agentsim.workload.reuse import SessionPrompts

#: The columns of requests that are read.
HELD_COLUMNS = ("session", "call", "submitted_ns", "first_token_ns", "finished_ns")

#: Within an instant what has been answered is held before the next call is sent.
_KEEP_ANSWER, _KEEP_PROMPT, _SEND = range(3)
#: Events taken out of arrays at a time; between such portions the trees are pruned.
_EVENTS = 1 << 13

_IntArray = npt.NDArray[np.int64]


def held_prefixes(
    trace: Trace, requests: Columns, lifetime_ns: int, *, with_outputs: bool = False
) -> _IntArray:
    """Tokens of each request's prompt that are in the cache when it is sent.

    Parameters
    ----------
    trace : Trace
        What the requests are made of: the trace that was run.
    requests : dict of str to ndarray
        Requests that were served, in any order: `HELD_COLUMNS` of `records.REQUEST_COLUMNS`.
    lifetime_ns : int
        What was not used for so long is gone; 0: nothing is ever held.
    with_outputs : bool
        Whether answers are held too, or prompts alone.

    Returns
    -------
    ndarray of int64
        In the order of the requests.
    """
    calls = requests["call"].tolist()
    names, runs = _numbered(requests["session"].tolist())
    left = [(2 + with_outputs) * num for num in np.bincount(runs).tolist()]  # events of a run
    trees: dict[str, PrefixTree] = {}
    at_work: dict[int, SessionPrompts] = {}
    found = np.zeros(len(calls), np.int64)
    for times, whats, rows in _events(requests, with_outputs=with_outputs):
        for tree in trees.values():
            tree.prune(times[0] - lifetime_ns)
        for now_ns, what, row, run in zip(times, whats, rows, runs[rows].tolist(), strict=True):
            prompts = at_work.get(run)
            if prompts is None:
                name = names[run]
                prompts = at_work[run] = SessionPrompts(trees, name, session_of_run(trace, name))
            left[run] -= 1
            if what == _KEEP_ANSWER and left[run]:  # the last answer of a run serves nobody
                edge, depth = prompts.add_answer(calls[row])
            else:
                end = prompts.end(calls[row])
                edge, depth = end.edge, end.depth
                if what == _SEND:
                    edge, depth = edge.held(depth, now_ns - lifetime_ns)
                    found[row] = depth
            edge.use(depth, now_ns)
            if not left[run]:
                prompts.drop()
                del at_work[run]
    return found


def _numbered(names: list[str]) -> tuple[list[str], _IntArray]:
    """The different names, and the number of each one's."""
    numbers: dict[str, int] = {}
    of = np.fromiter((numbers.setdefault(name, len(numbers)) for name in names), np.int64)
    return list(numbers), of


def session_of_run(trace: Trace, name: str) -> Session:
    """The session that ran under a name: a second run of it has another."""
    try:
        return trace.find(name)
    except KeyError:
        return trace.find(name.rpartition("#")[0])


def _events(
    requests: Columns, *, with_outputs: bool
) -> Iterator[tuple[list[int], list[int], list[int]]]:
    """When calls are sent and kept, in order and some at a time: times, what, and the rows."""
    sent, first, finished = (requests[name] for name in HELD_COLUMNS[2:])
    kinds = [(_KEEP_PROMPT, np.where(first < 0, finished, first)), (_SEND, sent)]
    if with_outputs:
        kinds.insert(0, (_KEEP_ANSWER, finished))
    times = np.concatenate([times for _, times in kinds])
    order = np.argsort(times, kind="stable")
    what = np.array([what for what, _ in kinds])
    for begin in range(0, len(order), _EVENTS):
        some = order[begin : begin + _EVENTS]
        kind, row = np.divmod(some, len(sent))
        yield times[some].tolist(), what[kind].tolist(), row.tolist()
