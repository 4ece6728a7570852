"""When the calls of a session are sent, for formats of fixed times: `submissions`."""

from __future__ import annotations

from collections.abc import Callable

from agentsim.domain.trace import Call, Session

NO_WAITS = "waits that the trace does not tell; taken as 0"
NO_TIMES = "times of submission that the trace does not tell; waits and measured answers added up"


def wait_ns(call: Call, calls: dict[str, Call], lose: Callable[[str], None]) -> int:
    """The wait before a call, after the last of the calls it waits for."""
    if call.delay_ns is not None:
        return call.delay_ns
    ends = [_end_ns(calls[other], calls[other].at_ns) for other in call.after]
    known = [end for end in ends if end is not None]
    if call.after and call.at_ns is not None and len(known) == len(ends):
        return max(0, call.at_ns - max(known))
    if call.after:
        lose(NO_WAITS)
    return 0


def gap_ns(before: Call, call: Call) -> int | None:
    """The recorded time from a call's answer to the submission of another; None: not known."""
    end_ns = _end_ns(before, before.at_ns)
    return None if end_ns is None or call.at_ns is None else max(0, call.at_ns - end_ns)


def submissions(session: Session, lose: Callable[[str], None]) -> dict[str, int]:
    """When each call is sent, in ns since the start of the trace.

    As recorded; where that is not known, after what it waits for is answered as measured (at once
    if that is not known either), and the wait.
    """
    calls = {call.id: call for call in session.calls}
    found: dict[str, int] = {}
    for call in session.calls:
        at_ns = call.at_ns
        if at_ns is None:
            if call.after:
                lose(NO_TIMES)
            ends = (_end_ns(calls[other], found[other]) or found[other] for other in call.after)
            at_ns = max(ends, default=0) + wait_ns(call, calls, lambda kind: None)
        found[call.id] = at_ns
    return {name: session.at_ns + at_ns for name, at_ns in found.items()}


def _end_ns(call: Call, at_ns: int | None) -> int | None:
    e2e_ns = call.measured.e2e_ns if call.measured is not None else None
    return None if at_ns is None or e2e_ns is None else at_ns + e2e_ns
