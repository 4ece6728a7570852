"""How many experts a batch activates, beside sums over single experts."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentsim.domain.specs import Experts
from agentsim.machine.catalog import find_model
from agentsim.machine.experts import distinct_experts, popularity

EVEN = 0.0
SKEW = st.floats(0.0, 8.0)


def experts(num_experts: int, per_token: int) -> Experts:
    return Experts(num_experts, per_token, 1, 1)


@given(SKEW, st.integers(1, 12), st.integers(1, 60))
def test_distinct_experts_are_what_single_experts_add_up_to(
    skew: float, per_token: int, tokens: int
) -> None:
    found = distinct_experts(experts(12, per_token), skew, 60)
    assert found[0] == 0.0
    assert found[1] == pytest.approx(per_token)
    assert found[tokens] >= found[tokens - 1]
    shares = popularity(experts(12, per_token), skew)
    assert found[tokens] == pytest.approx(sum(1 - (1 - p) ** tokens for p in shares))


@given(SKEW, st.integers(2, 64).flatmap(lambda n: st.tuples(st.just(n), st.integers(1, n))))
def test_popularity_falls_as_stated_and_sums_to_the_experts_of_a_token(
    skew: float, sizes: tuple[int, int]
) -> None:
    found = popularity(experts(*sizes), skew)
    assert len(found) == sizes[0]
    assert sum(found) == pytest.approx(sizes[1])
    assert all(0.0 <= p <= 1.0 + 1e-12 for p in found)
    below = [(rank, p) for rank, p in enumerate(found) if p < 1.0]
    for (rank, p), (later, q) in itertools.pairwise(below):
        assert p * (1 + skew * rank) == pytest.approx(q * (1 + skew * later))


def test_even_routing_is_even_chance() -> None:
    found = distinct_experts(experts(8, 2), EVEN, 20)
    assert found == pytest.approx([8 * (1 - 0.75**tokens) for tokens in range(21)])


def test_uneven_routing_reads_fewer_experts() -> None:
    shape = find_model("gpt-oss-20b").experts
    assert shape is not None
    even, uneven, rare = (distinct_experts(shape, skew, 32) for skew in (EVEN, 1.0, 1000.0))
    assert even[32] > uneven[32] > rare[32] >= shape.per_token
