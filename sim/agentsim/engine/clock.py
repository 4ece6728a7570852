"""Order within an instant: what ends, then what arrives, then where it goes, then what begins.

Two things at one nanosecond must not depend on who was put into the event heap first, so every
event of the engine carries a `Phase`.
"""

from __future__ import annotations

from enum import IntEnum

import simpy


class Phase(IntEnum):
    """Place of an event among those of the same nanosecond."""

    END = 10
    ARRIVE = 20
    ROUTE = 30
    BEGIN = 40


def at(env: simpy.Environment, when_ns: int, phase: Phase) -> simpy.Event:
    """An event at `when_ns` (not before now), in this phase."""
    event = simpy.Event(env)
    event._ok = True
    event._value = None
    env.schedule(event, priority=phase, delay=when_ns - env.now)
    return event
