"""Token ids of prompts: the same name, the same tokens, from the start."""

from __future__ import annotations

from collecting.tokens import Tokens
from hypothesis import given
from hypothesis import strategies as st


@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 300)), max_size=6),
    st.tuples(st.integers(0, 50), st.integers(1, 9000)),
)
def test_a_longer_stretch_begins_with_the_shorter(
    asked: list[tuple[str, int]], ids: tuple[int, int]
) -> None:
    """Whatever was asked before, in whatever order, and within the ids allowed."""
    low, span = ids
    tokens = Tokens("salt", low, low + span)
    for name, count in asked:
        found = tokens.first(name, count).tolist()
        assert found == Tokens("salt", low, low + span).first(name, 300).tolist()[:count]
        assert all(low <= token < low + span for token in found)


def test_names_and_salts_differ() -> None:
    """In the first block already, so that no cache takes one for the other."""
    stretches = {
        tuple(Tokens(salt, 1000, 8000).first(name, 16).tolist())
        for salt in ("x", "y")
        for name in ("a", "b")
    }
    assert len(stretches) == 4
