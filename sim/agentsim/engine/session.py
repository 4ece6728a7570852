"""An agent: send a call, wait for the answer, run the tool, send the next.

A session is a SimPy process. Where every call waits for the one before it, the process is that
sentence; where calls branch and join (sub-agents), each call is a process of its own that waits for
those it names.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

import simpy

from agentsim.domain.trace import Call, Session
from agentsim.engine.clock import Clock, Phase

Process = Generator[simpy.Event, Any, None]


class Flight:
    """One call on its way: who sent it, when, and the event of its answer.

    Attributes
    ----------
    key : tuple of int
        (order of the session's start, place in the session): order of arrivals of one instant.
    server : int
        Where it was sent.
    """

    __slots__ = ("answered", "call", "delay_ns", "key", "run", "server", "submitted_ns")

    def __init__(self, run: SessionRun, place: int, delay_ns: int) -> None:
        self.run = run
        self.call: Call = run.session.calls[place]
        self.key = (run.number, place)
        self.delay_ns = delay_ns
        self.submitted_ns = run.env.now_ns
        self.server = 0
        self.answered = simpy.Event(run.env)


class SessionRun:
    """One run of one session.

    Parameters
    ----------
    env : Clock
    session : Session
    name : str
        Its name in the results; a second run of a session has another.
    number : int
        Order of the start.
    slot : int
        Which agent runs it.
    submit : callable
        Sends a flight to the servers; its `answered` then happens in time.
    wait_ns : callable
        Wait before a call, scaled or drawn, in nanoseconds.
    ended : callable
        Called with the run when its last call has been answered.
    """

    def __init__(
        self,
        env: Clock,
        session: Session,
        *,
        name: str,
        number: int,
        slot: int,
        submit: Callable[[Flight], None],
        wait_ns: Callable[[SessionRun, Call], int],
        ended: Callable[[SessionRun], None],
    ) -> None:
        self.env = env
        self.session = session
        self.name = name
        self.number = number
        self.slot = slot
        self.started_ns = 0
        self.served_ns = 0
        self.finished_ns = 0
        self.paths: Any = None
        self._submit = submit
        self._wait_ns = wait_ns
        self._ended = ended
        self._num_open = 0
        self._open_since = 0

    def process(self) -> Process:
        """Run the session from now to its last answer."""
        self.started_ns = self.finished_ns = self.env.now_ns
        calls = self.session.calls
        if _is_chain(calls):
            for place in range(len(calls)):
                yield from self._call(place)
        else:
            done = {call.id: simpy.Event(self.env) for call in calls}
            for place in range(len(calls)):
                self.env.process(self._branch(place, done))
            yield self.env.all_of(list(done.values()))
        self._ended(self)

    def _branch(self, place: int, done: dict[str, simpy.Event]) -> Process:
        call = self.session.calls[place]
        if call.after:
            yield self.env.all_of([done[name] for name in call.after])
        yield from self._call(place)
        done[call.id].succeed()

    def _call(self, place: int) -> Process:
        """Wait, send, wait for the answer."""
        call = self.session.calls[place]
        delay_ns = self._wait_ns(self, call)
        if delay_ns or not call.after:
            yield self.env.at(self.env.now_ns + delay_ns, Phase.ARRIVE)
        flight = Flight(self, place, delay_ns)
        self._open()
        self._submit(flight)
        yield flight.answered
        self._close()

    def _open(self) -> None:
        if not self._num_open:
            self._open_since = self.env.now_ns
        self._num_open += 1

    def _close(self) -> None:
        self._num_open -= 1
        self.finished_ns = now_ns = self.env.now_ns
        if not self._num_open:
            self.served_ns += now_ns - self._open_since


def _is_chain(calls: tuple[Call, ...]) -> bool:
    before: tuple[str, ...] = ()
    for call in calls:
        if call.after != before:
            return False
        before = (call.id,)
    return True
