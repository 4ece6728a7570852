"""Loads that a `Case` has: from the number of a repeat to a trace. All can be pickled."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import msgspec

from agentsim.domain.trace import Session, Trace
from agentsim.validation.case import MeasuredCall
from agentsim.validation.draws import Segments, one_call, poisson


@dataclass(frozen=True, slots=True)
class Replayed:
    """A trace of which nothing is drawn: who waits for whom and what prompts share is known."""

    trace: Trace

    def __call__(self, repeat: int) -> Trace:
        return self.trace


@dataclass(frozen=True, slots=True)
class Sent:
    """Requests sent when they were measured, with prompts of which something may be drawn."""

    calls: tuple[MeasuredCall, ...]
    prompts: Callable[[int], Sequence[Segments]]

    def __call__(self, repeat: int) -> Trace:
        pairs = zip(self.calls, self.prompts(repeat), strict=True)
        return Trace(
            one_call(call.session, call.submitted_ns, segments, call.output_tokens)
            for call, segments in pairs
        )


@dataclass(frozen=True, slots=True)
class SentAtRate:
    """The same requests at the times of a Poisson process."""

    load: Sent
    rate: float
    run_id: str

    def __call__(self, repeat: int) -> Trace:
        times = poisson(repeat, self.run_id, self.rate, len(self.load.calls))
        calls = zip(self.load.calls, times, strict=True)
        moved = tuple(replace(call, submitted_ns=at_ns) for call, at_ns in calls)
        return Sent(moved, self.load.prompts)(repeat)


def with_placeholders(trace: Trace) -> Trace:
    """A trace in whose prompts other tokens stand for the answers, which a client could not know.

    What was found in the cache of an answer is then never found; the rest of a prompt still is.
    """
    return Trace([_with_placeholders(session) for session in trace], trace.header)


def _with_placeholders(session: Session) -> Session:
    inputs = {call.id: call.input_tokens for call in session.calls}
    calls = []
    for call in session.calls:
        keep = call.keep if call.extends is None else min(call.keep, inputs[call.extends])
        segments = call.segments and tuple(
            (f"~{name}" if name.startswith("out:") else name, tokens)
            for name, tokens in call.segments
        )
        calls.append(msgspec.structs.replace(call, keep=keep, segments=segments))
    return msgspec.structs.replace(session, calls=tuple(calls))
