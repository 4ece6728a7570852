"""Tallies: exact as long as they may be, then rounded by no more than they say."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agentsim.domain.tally import ROUNDING, Tally, rounded
from agentsim.report.metrics import Sample

parts = st.lists(
    st.lists(st.tuples(st.integers(0, 10**13), st.integers(1, 2**30)), max_size=8), max_size=5
)


def tally_of(found: list[list[tuple[int, int]]], exact_values: int) -> Tally:
    tally = Tally(exact_values=exact_values)
    for part in found:
        pairs = np.array(part, np.int64).reshape(-1, 2)
        tally.add(pairs[:, 0], pairs[:, 1])
    return tally


@given(parts)
def test_few_values_are_counted_exactly(found: list[list[tuple[int, int]]]) -> None:
    tally = tally_of(found, 1000)
    expected = Counter[int]()
    for part in found:
        for value, count in part:
            expected[value] += count
    assert dict(zip(tally.values.tolist(), tally.weights.tolist(), strict=True)) == expected
    assert tally.values.tolist() == sorted(expected)
    assert not tally.is_rounded


@example([[(3, 715_827_883), (2**32 - 1, 2**30), (2**32 - 1, 2**30)]], 0)
@given(parts.filter(any), st.integers(0, 20))
def test_number_and_sum_stay_exact_and_quantiles_near(
    found: list[list[tuple[int, int]]], exact_values: int
) -> None:
    tally, exact = tally_of(found, exact_values), tally_of(found, 1000)
    pairs = [pair for part in found for pair in part]
    assert tally.count == int(tally.weights.sum()) == sum(count for _, count in pairs)
    assert tally.total == sum(value * count for value, count in pairs)
    assert tally.is_rounded == (len(exact.values) > exact_values)
    shares = (0.0, 0.3, 0.5, 0.99, 1.0)
    for near, true in zip(
        Sample.of(tally).quantiles(shares), Sample.of(exact).quantiles(shares), strict=True
    ):
        assert near == pytest.approx(true, rel=ROUNDING, abs=0)
    assert Sample.of(tally).mean() == Sample.of(exact).mean()


@given(parts, st.integers(0, 20), st.randoms(use_true_random=False))
def test_neither_order_nor_division_matters(
    found: list[list[tuple[int, int]]], exact_values: int, random: object
) -> None:
    once = tally_of(found, exact_values)
    pairs = [pair for part in found for pair in part]
    random.shuffle(pairs)  # type: ignore[attr-defined]
    again = Tally(exact_values=exact_values)
    for value, count in pairs:
        again.add(np.array([value]), np.array([count]))
        assert again.count == int(again.weights.sum())  # merged each time
    assert again.values.tolist() == once.values.tolist()
    assert again.weights.tolist() == once.weights.tolist()


@given(st.lists(st.integers(0, 2**52), min_size=1), st.sampled_from([np.int64, np.float64]))
def test_rounding_keeps_the_order_and_twelve_bits(values: list[int], dtype: type) -> None:
    column = np.array(sorted(values), dtype) / (1 if dtype is np.int64 else 7)
    column = column.astype(dtype)
    found = rounded(column)
    assert found.dtype == column.dtype
    assert (np.abs(found - column) <= column * ROUNDING).all()
    assert (np.diff(found) >= 0).all()
    assert np.array_equal(rounded(found), found)
    assert np.array_equal(found[column < 4096], column[column < 4096]) or dtype is np.float64


def test_values_without_counts_count_once() -> None:
    tally = Tally(np.float64)
    tally.add(np.array([0.5, 0.25, 0.5]))
    assert (tally.values.tolist(), tally.weights.tolist()) == ([0.25, 0.5], [1, 2])
    assert (tally.count, tally.total) == (3, 1.25)


def test_a_long_sum_does_not_overflow() -> None:
    tally = Tally()
    tally.add(np.array([2**62]), np.array([1000]))
    assert tally.total == 1000 * 2**62
