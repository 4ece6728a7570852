"""The order in which the calls of all sessions are sent, as far as a trace tells it."""

from __future__ import annotations

from collections.abc import Iterator
from heapq import heappop, heappush
from typing import NamedTuple

from agentsim.domain.trace import Call, Session, Trace
from agentsim.domain.units import NS_PER_MS

#: Service time of a call that the trace does not say: about 2.3 s and 14 ms for each output token,
#: as weka-claude-code has it.
SERVICE_NS, SERVICE_NS_PER_TOKEN = 2_300 * NS_PER_MS, 14 * NS_PER_MS


class Sent(NamedTuple):
    """A call when its turn comes.

    Attributes
    ----------
    number : int
        Of its session.
    at_ns : int
        Since the trace's start.
    is_last : bool
        Whether it is the last one of its session.
    """

    session: Session
    number: int
    call: Call
    at_ns: int
    is_last: bool


def in_order(trace: Trace) -> Iterator[Sent]:
    """All calls by the time they are sent; only sessions that are under way are in memory.

    A call is sent when it was recorded. Where that is not known, a root is sent as its session
    starts, and another call `delay_ns` (or at once) after the last answer it waits for.
    """
    waiting = enumerate(trace)
    following = next(waiting, None)
    under_way: dict[int, tuple[Session, list[tuple[int, int]]]] = {}
    heap: list[tuple[int, int, int]] = []  # time, session, place in its order
    while heap or following is not None:
        while following is not None and (not heap or following[1].at_ns <= heap[0][0]):
            number, session = following
            if session.calls:
                order = _sorted(session)
                under_way[number] = session, order
                heappush(heap, (order[0][0], number, 0))
            following = next(waiting, None)
        if not heap:
            break
        at_ns, number, place = heappop(heap)
        session, order = under_way[number]
        is_last = place + 1 == len(order)
        yield Sent(session, number, session.calls[order[place][1]], at_ns, is_last)
        if is_last:
            del under_way[number]
        else:
            heappush(heap, (order[place + 1][0], number, place + 1))


def _sorted(session: Session) -> list[tuple[int, int]]:
    """Times and places of the calls, in order; none before those it names."""
    begins: dict[str, int] = {}
    ends: dict[str, int] = {}
    times = []
    for place, call in enumerate(session.calls):
        named = call.after if call.extends is None else (*call.after, call.extends)
        earliest = max((begins[name] for name in named), default=session.at_ns)
        if call.at_ns is not None:
            at_ns = session.at_ns + call.at_ns
        else:
            ready = max((ends[name] for name in call.after), default=session.at_ns)
            at_ns = ready + (call.delay_ns or 0)
        at_ns = begins[call.id] = max(at_ns, earliest)
        taken = None if call.measured is None else call.measured.e2e_ns
        if taken is None:
            taken = SERVICE_NS + SERVICE_NS_PER_TOKEN * call.output_tokens
        ends[call.id] = at_ns + taken
        times.append((at_ns, place))
    return sorted(times)
