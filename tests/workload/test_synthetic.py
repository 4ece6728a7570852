"""Making sessions from stated distributions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentsim.workload.synthetic import Turn, growing_prompt, shares, spread, value_at

TABLE = ((0.0, 10.0), (0.1, 40.0), (0.5, 160.0), (0.9, 1_000.0), (1.0, 5_000.0))


def test_a_table_gives_its_own_values_at_its_quantiles() -> None:
    assert [value_at(TABLE, q) for q, _ in TABLE] == pytest.approx([v for _, v in TABLE])


def test_between_two_quantiles_values_grow_by_equal_factors() -> None:
    assert value_at(TABLE, 0.3) == pytest.approx(80.0)


def test_drawn_values_have_the_quantiles_of_the_table() -> None:
    values = spread(TABLE, 1000, seed=1, stream="x")
    assert np.percentile(values, [10, 50, 90]) == pytest.approx([40, 160, 1000], rel=0.01)


def test_a_draw_depends_on_seed_and_stream_alone() -> None:
    one = spread(TABLE, 50, seed=1, stream="x")
    assert spread(TABLE, 50, seed=1, stream="x") == one
    assert spread(TABLE, 50, seed=2, stream="x") != one
    assert spread(TABLE, 50, seed=1, stream="y") != one
    assert sorted(spread(TABLE, 50, seed=2, stream="y")) == sorted(one)


@given(st.lists(st.floats(0.01, 1e3), min_size=1, max_size=20), st.integers(0, 10**6))
def test_shares_are_whole_add_up_and_stay_within_one_of_their_part(
    weights: list[float], total: int
) -> None:
    parts = shares(weights, total)
    assert sum(parts) == total
    for part, weight in zip(parts, weights, strict=True):
        assert abs(part - weight * total / sum(weights)) <= 1 + 1e-6


def test_a_prompt_grows_by_answers_and_results() -> None:
    turns = [Turn(10, 30, "ls", 5), Turn(20, 40, "cat", 6), Turn(5, 99, "rm", 7)]
    calls = growing_prompt("a", 3, [("sys", 100), ("~t", 50)], turns, after="b/1", trigger="spawn")
    assert [call.id for call in calls] == ["a/3", "a/4", "a/5"]
    assert [call.input_tokens for call in calls] == [150, 190, 250]
    assert [call.keep for call in calls] == [0, 160, 210]
    assert [call.after for call in calls] == [("b/1",), ("a/3",), ("a/4",)]
    assert [call.delay_ns for call in calls] == [0, 5, 6]
    assert [call.trigger for call in calls] == ["spawn", "tool", "tool"]
    assert [[tool.name for tool in call.tools] for call in calls] == [["ls"], ["cat"], []]
