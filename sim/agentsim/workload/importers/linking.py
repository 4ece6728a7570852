"""Which calls make a session where the log does not say: `hold_loose`, then `link`.

A call goes on with an earlier one if that one's messages, and its answer where it was logged and
sent back as it was, stand at the head of its own. Without messages, calls of one user with short
pauses between them are taken for a session; without a user, each call is one.
"""

from __future__ import annotations

from collections import OrderedDict

import msgspec

from agentsim.workload.importers.logged import LoggedCall, Piece
from agentsim.workload.importers.sink import Sink, digest
from agentsim.workload.importers.values import NS_PER_S

#: Longest pause inside a session guessed from user and time. Of the waits for a human in 692
#: recorded Claude Code sessions nine of ten are shorter than 40 minutes.
LONGEST_PAUSE_NS = 2400 * NS_PER_S
#: Prompts that a later one may go on with; the oldest are forgotten.
MOST_HEADS = 1_000_000


def hold_loose(sink: Sink, kind: str, owner: str, call: LoggedCall) -> None:
    """Keep a call whose session the log does not name, for `link` with the same `kind`.

    Parameters
    ----------
    owner : str
        User or key that it was logged with; empty where there is none.
    """
    at = call.start_ns if call.start_ns is not None else call.end_ns
    sink.hold(kind, owner, at, msgspec.msgpack.encode(call))


def link(sink: Sink, kind: str) -> None:
    """Give the calls that were held to the sink, in the order of their times, by session."""
    decode = msgspec.msgpack.Decoder(LoggedCall).decode
    links = _Links(sink)
    for owner, data in sink.held(kind):
        call = decode(data)
        sink.call(links.session(owner, call), call)


class _Links:
    """The sessions so far, by what their next prompts must begin with."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._heads: OrderedDict[int, str] = OrderedDict()
        self._ids: dict[str, str] = {}
        self._last: dict[str, tuple[str, int]] = {}
        self._made = 0

    def session(self, owner: str, call: LoggedCall) -> str:
        """The session of the next call."""
        marks = _marks(call)
        if call.base is not None and call.base in self._ids:
            found = self._ids[call.base]
        elif marks:
            found = self._by_content(call, marks)
        else:
            found = self._by_time(owner, call)
        self._ids[call.id] = found
        return found

    def _by_content(self, call: LoggedCall, marks: tuple[int, ...]) -> str:
        heads = (self._heads[mark] for mark in reversed(marks[:-1]) if mark in self._heads)
        found = next(heads, None) or self._new()
        ends = [marks[-1]]
        if call.answer is not None and call.pieces is not None:
            ends.append(_then(marks[-1], Piece(call.answer, 0)))
        for end in ends:
            self._heads[end] = found
            self._heads.move_to_end(end)
        while len(self._heads) > MOST_HEADS:
            self._heads.popitem(last=False)
        self._sink.warn("calls without a session id; linked by what their prompts begin with",
                        f"{call.id} in {found}")  # fmt: skip
        return found

    def _by_time(self, owner: str, call: LoggedCall) -> str:
        begin = call.start_ns if call.start_ns is not None else call.end_ns
        end = call.end_ns if call.end_ns is not None else begin
        if not owner or begin is None or end is None:
            self._sink.warn("calls without session id, messages or user; each is a session",
                            call.id)  # fmt: skip
            return self._new()
        found, last = self._last.get(owner, ("", 0))
        if not found or begin - last > LONGEST_PAUSE_NS:
            found = self._new()
        self._last[owner] = found, max(end, last)
        self._sink.warn("calls without a session id; grouped by user and pauses",
                        f"{call.id} in {found}")  # fmt: skip
        return found

    def _new(self) -> str:
        self._made += 1
        return f"linked-{self._made:06d}"


def _marks(call: LoggedCall) -> tuple[int, ...]:
    """A number for each head of a prompt, the whole of it last."""
    if call.blocks is not None:
        return tuple(map(int, call.blocks[: call.input_tokens // call.block_tokens]))
    marks = []
    mark = 0
    for piece in call.pieces or ():
        mark = _then(mark, piece)
        marks.append(mark)
    return tuple(marks)


def _then(mark: int, piece: Piece) -> int:
    return digest(f"{mark}", f"{piece.digest}")
