"""Durations and counts as people read them."""

from __future__ import annotations

import math

#: Seconds below which the next smaller unit reads better.
_UNITS = ((1.0, "s", 1.0), (1e-3, "ms", 1e3), (0.0, "us", 1e6))


def duration(seconds: float) -> str:
    """A length of time in its natural unit.

    Examples
    --------
    >>> [duration(s) for s in (422.4, 10800.0, 59.96, 1.234, 0.0042, 0.0)]
    ['7 min 2 s', '3 h 0 min', '60.0 s', '1.23 s', '4.20 ms', '0 s']
    """
    if seconds == 0:
        return "0 s"
    whole = round(seconds)
    if whole >= 86_400:
        return f"{whole // 86_400} d {whole % 86_400 // 3600} h"
    if whole >= 3600:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    if whole > 60:
        return f"{whole // 60} min {whole % 60} s"
    name, factor = unit_for(seconds)
    return f"{significant(seconds * factor)} {name}"


def unit_for(seconds: float) -> tuple[str, float]:
    """The unit that suits a duration, and how many of it a second has."""
    return next((name, factor) for least, name, factor in _UNITS if seconds >= least)


def span(low: float, high: float) -> str:
    """Both ends of a stretch of time, in the unit of the longer.

    Examples
    --------
    >>> span(0.0311, 0.0424)
    '31.1 to 42.4 ms'
    """
    unit, factor = unit_for(high)
    return f"{significant(low * factor)} to {significant(high * factor)} {unit}"


def significant(value: float) -> str:
    """A number with three significant digits, thousands separated.

    Examples
    --------
    >>> [significant(v) for v in (0.0, 0.412, 4.2, 42.0, 4242.4)]
    ['0.00', '0.412', '4.20', '42.0', '4,242']
    """
    size = abs(value)
    digits = 3 if 0 < size < 0.9995 else 2 if size < 9.995 else 1 if size < 99.95 else 0
    return f"{value:,.{digits}f}"


def percent(share: float) -> str:
    """A share as a percentage with one decimal; what is not 0 never reads as 0.

    Examples
    --------
    >>> [percent(s) for s in (0.0, 0.00001, 0.123, 1.0)]
    ['0 %', '<0.1 %', '12.3 %', '100 %']
    """
    if share in (0, 1):
        return f"{share:.0%}".replace("%", " %")
    if share < 0.0005:
        return "<0.1 %"
    return ">99.9 %" if share >= 0.9995 else f"{100 * share:.1f} %"


def dollars(amount: float) -> str:
    """An amount of money: cents, and below a dollar three significant digits.

    Examples
    --------
    >>> [dollars(d) for d in (0.0, 0.00123, 0.09377, 0.8, 1.7054, 19.2, 4242.4)]
    ['$0', '$0.00123', '$0.0938', '$0.80', '$1.71', '$19.20', '$4,242']
    """
    if not amount:
        return "$0"
    if amount >= 999.995:
        return f"${amount:,.0f}"
    digits = max(2, 2 - math.floor(math.log10(amount)))
    whole, _, part = f"{amount:.{digits}f}".partition(".")
    return f"${whole}.{part[:2]}{part[2:].rstrip('0')}"


def energy(kwh: float) -> str:
    """An amount of energy in Wh or kWh.

    Examples
    --------
    >>> energy(0.0063), energy(12.345)
    ('6.30 Wh', '12.3 kWh')
    """
    return f"{significant(kwh)} kWh" if kwh >= 1 else f"{significant(1000 * kwh)} Wh"


def count(number: int, noun: str) -> str:
    """A number with its noun, in the plural where it must be.

    Examples
    --------
    >>> count(1, "call"), count(1200, "call")
    ('1 call', '1,200 calls')
    """
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
