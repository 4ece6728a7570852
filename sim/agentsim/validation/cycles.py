"""Prompts that a client sends again and again, found by their lengths.

A load generator that has a fixed list of prompts goes through it in turn. The source need not say
so: the lengths repeat with the period of the list, and all but the first of each find their whole
prompt in the prefix cache, which decides how much there is to prefill.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

#: Longest list that is looked for, and how often it must have been sent.
_LONGEST, _TIMES = 1000, 3
#: Share of equal lengths that makes a period (requests sent at about the same time may be swapped),
#: and the most that other distances may show, so that equal lengths alone make none.
_ENOUGH, _BY_CHANCE = 0.9, 0.5
#: How far a request may be from its place in the list.
_SWAPPED = 8


@dataclass(frozen=True, slots=True)
class Cycle:
    """A list of prompts sent in turn.

    Attributes
    ----------
    tokens : tuple of int
        Length of each prompt of the list.
    """

    tokens: tuple[int, ...]

    def place(self, number: int, tokens: int) -> int:
        """Which prompt of the list request `number` is, of this length (0: not known)."""
        size = len(self.tokens)
        for away in sorted(range(-_SWAPPED, _SWAPPED + 1), key=abs):
            if self.tokens[(number + away) % size] == tokens:
                return (number + away) % size
        return number % size


def find_cycle(tokens: Sequence[int]) -> Cycle | None:
    """The list of prompts that requests of these lengths go through; None if there is none.

    Parameters
    ----------
    tokens : sequence of int
        Prompt lengths in the order of sending; 0 where they are not known.

    Examples
    --------
    >>> find_cycle([5, 7, 9] * 4)
    Cycle(tokens=(5, 7, 9))
    """
    lengths = np.asarray(tokens, np.int64)
    shares = {}
    for period in range(1, min(_LONGEST, len(lengths) // _TIMES) + 1):
        known = (lengths[period:] > 0) & (lengths[:-period] > 0)
        if int(known.sum()) >= (_TIMES - 1) * period:
            equal = (lengths[period:] == lengths[:-period]) & known
            shares[period] = int(equal.sum()) / int(known.sum())
    periods = [period for period, share in shares.items() if share >= _ENOUGH]
    if not periods or float(np.median(list(shares.values()))) > _BY_CHANCE:
        return None
    period = periods[0]
    found = [Counter(n for n in lengths[k::period].tolist() if n) for k in range(period)]
    return Cycle(tuple(max(count, key=lambda n: (count[n], n)) if count else 0 for count in found))
