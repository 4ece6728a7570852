"""From values to places in a drawing, and the round values to write there."""

from __future__ import annotations

import math
from dataclasses import dataclass

#: Units of long times, in seconds.
_TIMES = ((86_400.0, "d"), (3600.0, "h"), (60.0, "min"), (1.0, "s"))


@dataclass(frozen=True, slots=True)
class Scale:
    """A stretch of values on a stretch of a drawing.

    Attributes
    ----------
    low, high : float
        Values; `low` > 0 where `is_log`.
    start, end : float
        Their places.
    """

    low: float
    high: float
    start: float
    end: float
    is_log: bool = False

    def at(self, value: float) -> float:
        """The place of a value, kept within the stretch."""
        value = min(max(value, self.low), self.high)
        low, high = self._turned(self.low), self._turned(self.high)
        share = (self._turned(value) - low) / (high - low) if high > low else 0.0
        return self.start + share * (self.end - self.start)

    def ticks(self, most: int = 5) -> list[float]:
        """Round values within the stretch."""
        if self.is_log:
            return _log_ticks(self.low, self.high, most)
        step = _round_step((self.high - self.low) / max(most, 1))
        first = math.ceil(self.low / step - 1e-9)
        last = math.floor(self.high / step + 1e-9)
        return [number * step for number in range(first, last + 1)]

    def _turned(self, value: float) -> float:
        return math.log(value) if self.is_log else value


def from_zero(high: float, start: float, end: float) -> Scale:
    """A scale from 0 to the next round value."""
    step = _round_step(high / 4) if high > 0 else 0.25
    return Scale(0.0, math.ceil(high / step - 1e-9) * step or 1.0, start, end)


def around(low: float, high: float, start: float, end: float, *, is_log: bool) -> Scale:
    """A scale that leaves some room beside the least and the largest value."""
    if is_log:
        room = max(high / low, 1.2) ** 0.06
        return Scale(low / room, high * room, start, end, is_log=True)
    room = 0.06 * ((high - low) or abs(high) or 1.0)
    return Scale(min(low - room, 0.0) if low < 0 else max(low - room, 0.0), high + room, start, end)


def time_unit(span_s: float) -> tuple[float, str]:
    """Seconds of the unit that suits a span, and its name."""
    found = next(((unit, name) for unit, name in _TIMES if span_s >= 3 * unit), None)
    return found or ((1.0, "s") if span_s >= 0.3 else (1e-3, "ms"))


def number(value: float) -> str:
    """A value at an axis: as few digits as it has."""
    return f"{value:,.6g}" if abs(value) < 1e5 else f"{value:,.0f}"


def compact(value: float) -> str:
    """A value at an axis, thousands and millions as k and M."""
    for least, size, name in ((1e9, 1e9, "G"), (1e6, 1e6, "M"), (1e4, 1e3, "k")):
        if abs(value) >= least:
            return f"{value / size:g} {name}"
    return number(value)


def _round_step(step: float) -> float:
    """The next of 1, 2 and 5 times a power of ten."""
    power: float = 10.0 ** math.floor(math.log10(step)) if step > 0 else 0.25
    return next((n * power for n in (1, 2, 5) if n * power >= step * (1 - 1e-9)), 10 * power)


def _log_ticks(low: float, high: float, most: int) -> list[float]:
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    for factors in ((1, 2, 5), (1, 3), (1,)):
        found = [f * 10.0**p for p in range(first, last + 1) for f in factors]
        found = [value for value in found if low * (1 - 1e-9) <= value <= high * (1 + 1e-9)]
        if len(found) <= most:
            return found
    return found[:: -(-len(found) // most)]
