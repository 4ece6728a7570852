"""Order within an instant: what ends, then what arrives, then where it goes, then what begins.

Two things at one nanosecond must not depend on who was put into the event heap first, so every
event of the engine carries a `Phase`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import simpy


class Phase:
    """Place of an event among those of the same nanosecond; what ends and begins goes by the number
    of its replica, which is added."""

    END = 0
    ARRIVE = 1 << 20
    ROUTE = 2 << 20
    BEGIN = 3 << 20


class Clock(simpy.Environment):
    """Simulated time in integer nanoseconds, from 0."""

    def __init__(self) -> None:
        super().__init__(initial_time=0)

    @property
    def now_ns(self) -> int:
        """Nanoseconds since the start."""
        return int(self._now)

    def at(
        self, when_ns: int, phase: int, then: Callable[[simpy.Event], Any] | None = None
    ) -> simpy.Event:
        """An event at `when_ns` (not before now), in this phase; `then` is called with it."""
        event = simpy.Event(self)
        if then is not None:
            event.callbacks.append(then)
        event._ok, event._value = True, None
        self.schedule(event, cast(Any, phase), when_ns - self._now)
        return event

    def trigger(self, event: simpy.Event, phase: int, delay_ns: int = 0) -> None:
        """Let an event happen after `delay_ns`, in this phase."""
        event._ok, event._value = True, None
        self.schedule(event, cast(Any, phase), delay_ns)

    @property
    def next_ns(self) -> float:
        """When the next event happens; infinity if there is none."""
        return float(self.peek())

    def go_to(self, when_ns: int) -> bool:
        """Go to `when_ns` (not before now) if nothing else happens until then, that instant
        included; whether it was done."""
        if self.peek() <= when_ns:
            return False
        self._now = when_ns
        return True
