"""What each of several changes adds, whatever their order: Shapley values.

A game has players 0 to n - 1; a coalition is an int whose bit i says that player i is in it. Its
value is a number, or None where the coalition is impossible. The effect of a player is the mean,
over the orders in which all players can come in one after the other, of what the value changes by
when this player comes. Orders that pass an impossible coalition do not exist: where there are none,
these are the values of Shapley [1]_, else those of Faigle and Kern's restricted games [2]_. Either
way the effects add up to the value of all players less that of nobody.

`exact` goes over all coalitions, `sampled` over some orders.

References
----------
.. [1] Shapley, "A value for n-person games", 1953.
.. [2] Faigle, Kern, "The Shapley value for cooperative games under precedence constraints",
   International Journal of Game Theory 21, 1992.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction

from agentsim.domain.chance import uniforms
from agentsim.errors import ConfigError

#: From a coalition to its value; None: it is impossible.
Value = Callable[[int], Fraction | None]

_NO_ORDER = "there is no order of the changes in which each configuration on the way can be run"


@dataclass(frozen=True, slots=True)
class Effect:
    """What one player adds.

    Attributes
    ----------
    value : Fraction
        Mean over the orders.
    low, high : Fraction
        Least and most that it adds in any order that was looked at: how far it depends on the
        others.
    error : float or None
        Standard error of `value`; 0 where all orders were looked at, None of a single pair.
    """

    value: Fraction
    low: Fraction
    high: Fraction
    error: float | None = 0.0


@dataclass(frozen=True, slots=True)
class Attribution:
    """The effects of all players.

    Attributes
    ----------
    effects : tuple of Effect
        Their values add up to the change as a whole, exactly.
    orders : int
        How many orders the means are over.
    left_out : int
        Orders that pass an impossible coalition; of `exact` all of them, of `sampled` those drawn.
    is_exact : bool
    """

    effects: tuple[Effect, ...]
    orders: int
    left_out: int
    is_exact: bool


def exact(num_players: int, value: Value) -> Attribution:
    """The effects over all orders, from the values of all coalitions.

    Parameters
    ----------
    value : callable
        Asked once for each of the 2^n coalitions.

    Raises
    ------
    ConfigError
        If no order is possible.

    Notes
    -----
    A step from S to S + i is taken by as many orders as there are ways from nobody to S, times ways
    from S + i to all: both are counted along the lattice of coalitions.
    """
    everybody = (1 << num_players) - 1
    values = [value(coalition) for coalition in range(everybody + 1)]
    before, after = [0] * len(values), [0] * len(values)
    before[0] = int(values[0] is not None)
    after[everybody] = int(values[everybody] is not None)
    for coalition in range(1, everybody + 1):
        if values[coalition] is not None:
            before[coalition] = sum(
                before[coalition ^ (1 << i)] for i in range(num_players) if coalition >> i & 1
            )
    for coalition in reversed(range(everybody)):
        if values[coalition] is not None:
            after[coalition] = sum(
                after[coalition | (1 << i)] for i in range(num_players) if not coalition >> i & 1
            )
    orders = after[0]
    if not orders:
        raise ConfigError(_NO_ORDER)
    effects = []
    for i in range(num_players):
        steps = []
        for coalition in range(everybody + 1):
            joined = coalition | (1 << i)
            low, high = values[coalition], values[joined]
            ways = before[coalition] * after[joined] if coalition != joined else 0
            if ways and low is not None and high is not None:
                steps.append((ways, high - low))
        total = sum((ways * added for ways, added in steps), Fraction())
        added = [step for _, step in steps]
        effects.append(Effect(total / orders, min(added), max(added)))
    return Attribution(tuple(effects), orders, math.factorial(num_players) - orders, is_exact=True)


def sampled(num_players: int, value: Value, *, pairs: int, seed: int = 0) -> Attribution:
    """The effects over some orders, drawn in pairs of an order and its reverse.

    Parameters
    ----------
    value : callable
        Asked for the coalitions on the way, also more than once.
    pairs : int
        Drawn, >= 1. The draws depend on `seed` alone.

    Raises
    ------
    ConfigError
        If none of the drawn orders is possible.

    Notes
    -----
    A player that acts early in an order acts late in its reverse, so what depends on the place
    cancels within a pair. The mean is one of ratio (what the possible orders of a pair give, over
    how many they are), and so is its error: the pairs are independent, the orders of one are not.
    """
    drawn = [order for pair in range(pairs) for order in _pair(num_players, pair, seed)]
    marginals = [_marginals(order, value) for order in drawn]
    possible = [added for added in marginals if added is not None]
    if not possible:
        raise ConfigError(_NO_ORDER)
    effects = []
    for i in range(num_players):
        added = [each[i] for each in possible]
        mean = sum(added, Fraction()) / len(added)
        off = [
            sum(float(each[i] - mean) for each in marginals[at : at + 2] if each is not None)
            for at in range(0, len(marginals), 2)
        ]
        error = None
        if pairs > 1:
            error = math.hypot(*off) / len(added) * math.sqrt(pairs / (pairs - 1))
        effects.append(Effect(mean, min(added), max(added), error))
    return Attribution(tuple(effects), len(possible), len(drawn) - len(possible), is_exact=False)


def coalitions_of(num_players: int, pairs: int, seed: int = 0) -> list[int]:
    """The different coalitions that `sampled` asks for, smallest number first."""
    found = {0}
    for pair in range(pairs):
        for order in _pair(num_players, pair, seed):
            coalition = 0
            for i in order:
                coalition |= 1 << i
                found.add(coalition)
    return sorted(found)


def _pair(num_players: int, pair: int, seed: int) -> tuple[list[int], list[int]]:
    """A random order, and the same from its end."""
    draws = uniforms(seed, "orders", str(pair), num_players).tolist()
    order = sorted(range(num_players), key=lambda i: (draws[i], i))
    return order, order[::-1]


def _marginals(order: Sequence[int], value: Value) -> list[Fraction] | None:
    """What each player adds in this order; None if it is impossible."""
    added = [Fraction()] * len(order)
    coalition, last = 0, value(0)
    for i in order:
        coalition |= 1 << i
        now = value(coalition)
        if last is None or now is None:
            return None
        added[i] = now - last
        last = now
    return added
