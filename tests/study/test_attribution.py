"""The axioms of Shapley values, on made-up games."""

from __future__ import annotations

import itertools
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentsim.errors import ConfigError
from agentsim.study.attribution import Value, coalitions_of, exact, sampled

amounts = st.integers(-1000, 1000).map(Fraction)


@st.composite
def games(draw: st.DrawFn, most: int = 5) -> tuple[int, dict[int, Fraction | None]]:
    """A number of players and the value of every coalition; a few are impossible."""
    players = draw(st.integers(1, most))
    coalitions = range(1 << players)
    values: dict[int, Fraction | None] = {one: draw(amounts) for one in coalitions}
    for one in draw(st.sets(st.integers(1, max(1, (1 << players) - 2)), max_size=2)):
        if one not in (0, (1 << players) - 1):
            values[one] = None
    return players, values


def by_hand(players: int, value: Value) -> tuple[list[Fraction], int]:
    """The mean over all orders, one after the other, and how many are possible."""
    totals, possible = [Fraction()] * players, 0
    for order in itertools.permutations(range(players)):
        path = list(itertools.accumulate((1 << i for i in order), int.__or__, initial=0))
        values = [value(coalition) for coalition in path]
        known = [one for one in values if one is not None]
        if len(known) < len(values):
            continue
        possible += 1
        for place, i in enumerate(order):
            totals[i] += known[place + 1] - known[place]
    return [total / max(1, possible) for total in totals], possible


@given(games())
def test_effects_are_the_means_over_all_possible_orders(
    game: tuple[int, dict[int, Fraction | None]],
) -> None:
    """Counted along the lattice or order by order, with impossible coalitions or without."""
    players, values = game
    means, possible = by_hand(players, values.__getitem__)
    if not possible:
        with pytest.raises(ConfigError, match="no order"):
            exact(players, values.__getitem__)
        return
    found = exact(players, values.__getitem__)
    assert [effect.value for effect in found.effects] == means
    assert found.orders == possible
    for effect in found.effects:
        assert effect.low <= effect.value <= effect.high


@given(games(), st.integers(1, 4), st.integers(0, 3))
def test_effects_add_up_exactly(
    game: tuple[int, dict[int, Fraction | None]], pairs: int, seed: int
) -> None:
    """Also those of a few drawn orders (efficiency)."""
    players, values = game
    whole = (values[(1 << players) - 1] or 0) - (values[0] or 0)
    for attribute in (
        lambda: exact(players, values.__getitem__),
        lambda: sampled(players, values.__getitem__, pairs=pairs, seed=seed),
    ):
        try:
            found = attribute()
        except ConfigError:
            continue
        assert sum(effect.value for effect in found.effects) == whole


@given(games(), st.randoms(use_true_random=False))
def test_names_do_not_matter(game: tuple[int, dict[int, Fraction | None]], shuffle: object) -> None:
    """Players numbered otherwise get the same effects (anonymity: order independence)."""
    players, values = game
    numbers = list(range(players))
    shuffle.shuffle(numbers)  # type: ignore[attr-defined]

    def renamed(coalition: int) -> Fraction | None:
        return values[sum(1 << i for i in range(players) if coalition >> numbers[i] & 1)]

    try:
        before = exact(players, values.__getitem__).effects
    except ConfigError:
        return
    after = exact(players, renamed).effects
    assert all(after[numbers[i]] == before[i] for i in range(players))


@given(games(most=4))
def test_a_player_that_changes_nothing_gets_nothing(
    game: tuple[int, dict[int, Fraction | None]],
) -> None:
    """Null player, and the others get what they get without it."""
    players, values = game

    def ignoring(coalition: int) -> Fraction | None:
        return values[coalition & ((1 << players) - 1)]

    try:
        without = exact(players, values.__getitem__).effects
    except ConfigError:
        return
    *others, null = exact(players + 1, ignoring).effects
    assert null.value == null.low == null.high == 0
    assert [effect.value for effect in others] == [effect.value for effect in without]


@given(st.lists(amounts, min_size=6, max_size=6))
def test_players_that_do_the_same_get_the_same(sizes: list[Fraction]) -> None:
    """Symmetry: here the value depends on how many there are."""
    found = exact(5, lambda coalition: sizes[coalition.bit_count()])
    assert len({effect.value for effect in found.effects}) == 1


@given(st.lists(amounts, min_size=1, max_size=9), st.integers(0, 5))
def test_players_that_do_not_meet_get_their_own(own: list[Fraction], seed: int) -> None:
    """Dummy players: any order, drawn or not, gives the same, without error."""

    def value(coalition: int) -> Fraction:
        return sum((v for i, v in enumerate(own) if coalition >> i & 1), Fraction())

    for found in (exact(len(own), value), sampled(len(own), value, pairs=3, seed=seed)):
        assert [effect.value for effect in found.effects] == own
        assert {effect.error for effect in found.effects} == {0.0}


def test_the_stated_error_is_how_far_samples_lie_from_the_exact_effect() -> None:
    """Of many seeds about 95 % lie within two standard errors, and few within half of one."""

    def value(coalition: int) -> Fraction:
        bits = [i for i in range(6) if coalition >> i & 1]
        return Fraction(sum((i + 1) ** 2 for i in bits) * (3 in bits) * (1 + (0 in bits)))

    true = [effect.value for effect in exact(6, value).effects]
    off = []
    for seed in range(60):
        found = sampled(6, value, pairs=24, seed=seed)
        for effect, expected in zip(found.effects, true, strict=True):
            assert effect.error is not None
            off.append(abs(float(effect.value - expected)) / effect.error)
    assert sum(z < 2 for z in off) / len(off) > 0.9
    assert sum(z < 0.5 for z in off) / len(off) < 0.55


def test_one_pair_has_no_error() -> None:
    """Its spread cannot be known."""
    found = sampled(3, lambda coalition: Fraction(coalition**2), pairs=1)
    assert {effect.error for effect in found.effects} == {None}


def test_an_impossible_coalition_leaves_out_the_orders_that_pass_it() -> None:
    """Player 1 needs player 0 (a larger model needs the larger GPU)."""
    values = {0: Fraction(10), 1: Fraction(4), 2: None, 3: Fraction(7)}
    found = exact(2, values.__getitem__)
    assert [effect.value for effect in found.effects] == [-6, 3]
    assert (found.orders, found.left_out) == (1, 1)


def test_a_sample_asks_for_the_coalitions_foretold() -> None:
    """So they can be simulated beforehand, and at once."""
    asked = set()

    def value(coalition: int) -> Fraction:
        asked.add(coalition)
        return Fraction(coalition)

    sampled(7, value, pairs=3, seed=5)
    assert sorted(asked) == coalitions_of(7, 3, 5)
