"""Units: integer nanoseconds for time, bytes and tokens for size.

The only place where seconds turn into nanoseconds and back.
"""

from __future__ import annotations

NS_PER_S = 1_000_000_000
NS_PER_MS = 1_000_000
GIB = 1 << 30


def seconds_to_ns(seconds: float) -> int:
    """Seconds as integer nanoseconds, rounded to the nearest."""
    return round(seconds * NS_PER_S)


def ns_to_seconds(nanoseconds: int) -> float:
    """Integer nanoseconds as seconds."""
    return nanoseconds / NS_PER_S
