"""Random numbers by address: `uniform(seed, stream, key, index)`.

A draw depends on its address alone, never on what was drawn before: adding a draw in one place
shifts nothing elsewhere, and step-by-step and event-skipping runs draw the same numbers.
"""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt

_GOLDEN = 0x9E3779B97F4A7C15
_MASK = (1 << 64) - 1


def _mix(value: int) -> int:
    """One round of splitmix64 (Steele, Lea, Flood, "Fast splittable PRNGs", OOPSLA 2014)."""
    value = (value + _GOLDEN) & _MASK
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & _MASK
    return value ^ (value >> 31)


def address(seed: int, stream: str, key: str) -> int:
    """The 64-bit address of a stream of draws: a hash of its seed and names."""
    text = f"{seed}\x1f{stream}\x1f{key}".encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little")


def uniform_at(base: int, index: int) -> float:
    """Draw number `index` of the stream at address `base`, in [0, 1)."""
    return (_mix(base ^ _mix(index & _MASK)) >> 11) * 2.0**-53


def uniform(seed: int, stream: str, key: str, index: int) -> float:
    """One uniform number in [0, 1) that depends on its address alone.

    Examples
    --------
    >>> uniform(0, "tool", "s1/3", 0) == uniform(0, "tool", "s1/3", 0)
    True
    """
    return uniform_at(address(seed, stream, key), index)


def uniforms(seed: int, stream: str, key: str, count: int) -> npt.NDArray[np.float64]:
    """The draws 0 to `count` - 1 of one stream, shape (count,)."""
    base = address(seed, stream, key)
    return np.array([uniform_at(base, i) for i in range(count)], dtype=np.float64)
