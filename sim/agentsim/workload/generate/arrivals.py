"""When sessions start: all at once, or as a process with a rate.

Each process gives the same first starts however many are asked for.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import repeat
from statistics import NormalDist

from agentsim.domain.chance import address, uniform_at
from agentsim.domain.units import seconds_to_ns
from agentsim.errors import ConfigError
from agentsim.workload.formats import read_trace

FORMS = "closed, poisson:RATE, gamma:RATE:CV, diurnal:RATE or recorded:FILE"

#: How far the rate of a day lies below and above its mean; assumed.
DIURNAL_SWING = 0.8
DAY_S = 86_400.0
#: Last start that can be written: a trace holds seconds up to 4e9.
_LATEST_S = 4e9

_NORMAL = NormalDist()


def starts(arrival: str, count: int, seed: int) -> Iterator[int]:
    """Starts of `count` sessions in nanoseconds, never falling.

    Parameters
    ----------
    arrival : str
        ``closed``: all at 0. ``poisson:RATE``: RATE sessions a second. ``gamma:RATE:CV``: the same
        with gaps of a gamma distribution with the coefficient of variation CV (above 1: bursts).
        ``diurnal:RATE``: a Poisson process whose rate goes up and down once a day, RATE on average,
        beginning where it is least. ``recorded:FILE``: the starts of the sessions of a trace.
    count : int
    seed : int

    Raises
    ------
    ConfigError
        If it is none of these, or a number in it is out of range; at once.
    """
    kind, _, rest = arrival.partition(":")
    if kind == "closed" and not rest:
        return repeat(0, count)
    if kind == "recorded" and rest:
        return _recorded(rest, count)
    numbers = [_number(arrival, text) for text in rest.split(":")] if rest else []
    if kind == "poisson" and len(numbers) == 1:
        return _at_rate(_gaps(count, seed), numbers[0], arrival)
    if kind == "gamma" and len(numbers) == 2:
        if not 0.01 <= numbers[1] <= 100:
            raise ConfigError(f"--arrival {arrival!r}: expected a CV from 0.01 to 100")
        return _at_rate(_gamma_gaps(count, seed, numbers[1]), numbers[0], arrival)
    if kind == "diurnal" and len(numbers) == 1:
        return _diurnal(count, seed, numbers[0], arrival)
    raise ConfigError(f"--arrival {arrival!r}: expected {FORMS}")


def _number(arrival: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 1e-6 <= value <= 1e6:
        raise ConfigError(f"--arrival {arrival!r}: expected 1e-6 to 1e6, got {text!r}")
    return value


def _gaps(count: int, seed: int) -> Iterator[float]:
    """Gaps of a Poisson process of rate 1."""
    base = address(seed, "generate/arrivals", "gap")
    return (-math.log1p(-uniform_at(base, index)) for index in range(count))


def _gamma_gaps(count: int, seed: int, variation: float) -> Iterator[float]:
    """Gaps of mean 1: gamma by Marsaglia and Tsang, ACM TOMS 26(3), 2000."""
    shape = variation**-2
    boosted = shape if shape >= 1 else shape + 1
    d = boosted - 1 / 3
    c = 1 / math.sqrt(9 * d)
    for index in range(count):
        base = address(seed, "generate/arrivals", f"gamma/{index}")
        draw = 1
        while True:
            normal = _NORMAL.inv_cdf(max(uniform_at(base, draw), 2.0**-54))
            v = (1 + c * normal) ** 3
            chance = 1 - uniform_at(base, draw + 1)
            if v > 0 and math.log(chance) < normal * normal / 2 + d - d * v + d * math.log(v):
                break
            draw += 2
        gap = d * v
        if boosted != shape:
            gap *= (1 - uniform_at(base, 0)) ** (1 / shape)
        yield gap / shape


def _at_rate(gaps: Iterator[float], rate: float, arrival: str) -> Iterator[int]:
    now_s = 0.0
    for gap in gaps:
        now_s += gap / rate
        yield _start_ns(now_s, arrival)


def _diurnal(count: int, seed: int, rate: float, arrival: str) -> Iterator[int]:
    expected = 0.0  # sessions so far, on average
    for gap in _gaps(count, seed):
        expected += gap
        yield _start_ns(_diurnal_time(expected / rate), arrival)


def _diurnal_time(steady_s: float) -> float:
    """When as many sessions are expected as after `steady_s` at the mean rate, by bisection."""
    wave_s = DIURNAL_SWING * DAY_S / math.tau
    low, high = max(0.0, steady_s - wave_s), steady_s + wave_s
    for _ in range(64):
        middle = (low + high) / 2
        if middle - wave_s * math.sin(math.tau * middle / DAY_S) < steady_s:
            low = middle
        else:
            high = middle
    return high


def _start_ns(now_s: float, arrival: str) -> int:
    if now_s > _LATEST_S:
        raise ConfigError(
            f"--arrival {arrival!r}: sessions would start after {_LATEST_S:.0e} s, the last time "
            "of a trace: raise the rate"
        )
    return seconds_to_ns(now_s)


def _recorded(path: str, count: int) -> Iterator[int]:
    trace = read_trace(path)
    if len(trace) < count:
        raise ConfigError(
            f"--arrival recorded:{path}: {len(trace):,} sessions start in it and {count:,} are "
            "asked for: lower --sessions"
        )
    first_ns = trace.sessions[0].at_ns
    return (trace.sessions[index].at_ns - first_ns for index in range(count))
