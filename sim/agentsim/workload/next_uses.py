"""When what a request leaves in the cache is used again: the table of a run's future.

`agentsim.policies.evictions.Belady` evicts by it in a second run of the same trace, which is the
better known the less the order of the calls changes between the two.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from agentsim.domain.records import Columns
from agentsim.domain.trace import Trace
from agentsim.workload.held import session_of_run
from agentsim.workload.prefix_edge import Edge
from agentsim.workload.prefix_tree import PrefixTree
from agentsim.workload.reuse import SessionPrompts

#: The columns of requests that are read.
USE_COLUMNS = ("session", "call", "replica", "scheduled_ns", "finished_ns")

NextUses = dict[tuple[str, str], tuple[tuple[int, int], ...]]


def next_uses(trace: Trace, requests: Columns) -> NextUses:
    """What of each request is used again after its end, and when.

    Parameters
    ----------
    trace : Trace
        The trace that was run, as `agentsim.simulator.fit_trace` gives it.
    requests : dict of str to ndarray
        All requests of the run: `USE_COLUMNS` of `records.REQUEST_COLUMNS`.

    Returns
    -------
    dict of (str, str) to tuple of (int, int)
        For each session and call: tokens from the start of its prompt, and the time in nanoseconds
        at which a request of the same replica is next scheduled whose prompt begins with them and
        goes on; both ascending. A use that reaches no further than an earlier one is left out.
    """
    sessions, calls, replicas = (requests[name].tolist() for name in USE_COLUMNS[:3])
    trees: dict[int, dict[str, PrefixTree]] = {}
    prompts: dict[tuple[str, int], SessionPrompts] = {}
    found: NextUses = {}
    for back_ns, row, is_end in _events_backwards(requests):
        run = sessions[row], replicas[row]
        if run not in prompts:
            session = session_of_run(trace, run[0])
            prompts[run] = SessionPrompts(trees.setdefault(run[1], {}), run[0], session)
        if is_end:
            edge, depth = prompts[run].add_answer(calls[row])
            found[run[0], calls[row]] = _uses_of(edge, depth)
        else:
            end = prompts[run].end(calls[row])  # its last token is computed anew
            edge, depth = end.prefix(end.depth - 1)
            edge.use(depth, back_ns)
    return found


def _events_backwards(requests: Columns) -> Iterator[tuple[int, int, bool]]:
    """Ends and starts of the requests, the last first: time (negative), row, whether it is the end.

    Of an instant the starts come first, since they find what ended in it.
    """
    starts, ends = requests["scheduled_ns"], requests["finished_ns"]
    (rows,) = np.nonzero(starts >= 0)
    times = np.concatenate([-starts[rows], -ends[rows]])
    for place in np.argsort(times, kind="stable").tolist():
        yield int(times[place]), int(rows[place % len(rows)]), place >= len(rows)


def _uses_of(edge: Edge, depth: int) -> tuple[tuple[int, int], ...]:
    """The uses of a path to a depth on an edge, of which none is later and not deeper."""
    uses: list[tuple[int, int]] = []
    while depth:
        uses += [(min(use, depth), -back_ns) for use, back_ns in edge.uses]
        edge, depth = edge.edge, min(depth, edge.depth)
    kept: list[tuple[int, int]] = []
    for tokens, when_ns in sorted(uses, key=lambda use: (-use[0], use[1])):
        if not kept or when_ns < kept[-1][1]:
            kept.append((tokens, when_ns))
    return tuple(reversed(kept))
