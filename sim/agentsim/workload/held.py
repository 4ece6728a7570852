"""What a prompt cache with a lifetime would hold of each prompt when it is sent.

Unlike `agentsim.workload.reuse`, which asks what was ever sent before, this follows the times of a
run: a prompt is in the cache from its first token on (an answer from its last), and every use
renews the lifetime of what is used.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from agentsim.domain.records import Columns
from agentsim.domain.trace import Call, Session, Trace
from agentsim.workload.prefix_tree import Node, Position, PrefixTree, Span
from agentsim.workload.reuse import prompt_path

#: Within an instant what has been answered is held before the next call is sent.
_KEEP_ANSWER, _KEEP_PROMPT, _SEND = range(3)


class _Place(NamedTuple):
    """Where a call's prompt, and its answer, end in a tree."""

    tree: _UsedTree
    prompt: Position
    answer: Position


class _UsedTree(PrefixTree):
    """A prefix tree that knows when each of its stretches was used last."""

    def __init__(self) -> None:
        super().__init__()
        self._used_ns: dict[Node, int] = {}

    def use(self, position: Position, now_ns: int) -> None:
        """Everything from the root to `position` is used."""
        position = self.prefix(position, position.depth)
        node: Node | None = position.node
        if position.depth < position.node.end:
            node = self._cut(position.node, position.depth)
        while node is not None:
            self._used_ns[node] = now_ns
            node = node.parent

    def held(self, position: Position, now_ns: int, lifetime_ns: int) -> Position:
        """How much of the path to `position` was used less than a lifetime ago."""
        position = self.prefix(position, position.depth)
        node, depth = position
        while node.parent is not None:
            used_ns = self._used_ns.get(node)
            if used_ns is not None and now_ns - used_ns < lifetime_ns:
                break
            node, depth = node.parent, node.start
        return Position(node, min(depth, node.end))


def held_prefixes(
    trace: Trace, requests: Columns, lifetime_ns: int, *, with_outputs: bool = False
) -> npt.NDArray[np.int64]:
    """Tokens of each request's prompt that are in the cache when it is sent.

    Parameters
    ----------
    trace : Trace
        What the requests are made of: the trace that was run.
    requests : dict of str to ndarray
        Requests that were served, in the columns of `domain.records.REQUEST_COLUMNS`.
    lifetime_ns : int
        What was not used for so long is gone; 0: nothing is ever held.
    with_outputs : bool
        Whether answers are held too, or prompts alone.
    """
    places = _places(trace, requests["session"].tolist())
    keys = list(zip(requests["session"].tolist(), requests["call"].tolist(), strict=True))
    found = np.zeros(len(keys), np.int64)
    for now_ns, what, row in _events(requests, with_outputs=with_outputs):
        tree, prompt, answer = places[keys[row]]
        if what == _SEND:
            kept = tree.held(prompt, now_ns, lifetime_ns)
            found[row] = kept.depth
            tree.use(kept, now_ns)
        else:
            tree.use(prompt if what == _KEEP_PROMPT else answer, now_ns)
    return found


def _events(requests: Columns, *, with_outputs: bool) -> list[tuple[int, int, int]]:
    """When calls are sent and kept, in order: (time, what, row)."""
    first, finished = requests["first_token_ns"], requests["finished_ns"]
    kept = np.where(first < 0, finished, first)
    kinds = [(requests["submitted_ns"], _SEND), (kept, _KEEP_PROMPT)]
    if with_outputs:
        kinds.append((finished, _KEEP_ANSWER))
    return sorted(
        (int(time_ns), what, row) for times, what in kinds for row, time_ns in enumerate(times)
    )


def _places(trace: Trace, names: list[str]) -> dict[tuple[str, str], _Place]:
    """The places of all calls of the sessions that were run, by the name of the session's run."""
    sessions = {session.id: session for session in trace}
    trees: dict[str, _UsedTree] = {}
    places: dict[tuple[str, str], _Place] = {}
    for name in dict.fromkeys(names):
        session = sessions.get(name) or sessions[name.rpartition("#")[0]]
        places |= _session_places(name, session, trees)
    return places


def _session_places(
    name: str, session: Session, trees: dict[str, _UsedTree]
) -> dict[tuple[str, str], _Place]:
    places = {}
    ends: dict[str, tuple[Call, Position]] = {}
    for call in session.calls:
        tree = trees.setdefault(call.adapter or "", _UsedTree())
        start, spans = prompt_path(name, call, ends, tree)
        end, _ = tree.add(start, spans)
        ends[call.id] = (call, end)
        answer, _ = tree.add(end, [Span((name, f"out:{call.id}"), 0, call.output_tokens)])
        places[name, call.id] = _Place(tree, end, answer)
    return places
