"""The radix tree: places stay right while edges are cut, uses reach up, and what is old is gone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentsim.workload.prefix_edge import Edge, Span
from agentsim.workload.prefix_tree import PrefixTree


@pytest.fixture(autouse=True)
def _prune_small_trees(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agentsim.workload.prefix_tree._FEW_SPANS", 0)


def shared(tree: PrefixTree, *spans: Span) -> tuple[Edge, int]:
    """Add a path from the root; where it ends."""
    edge, depth, _ = tree.add(tree.root, 0, spans)
    return edge, depth


def found(tree: PrefixTree, *spans: Span) -> int:
    return tree.add(tree.root, 0, spans)[2]


def test_a_shorter_path_is_a_prefix_of_a_longer_one() -> None:
    tree = PrefixTree()
    assert found(tree, ("a", 10), ("b", 10)) == 0
    assert found(tree, ("a", 10), ("b", 5)) == 15
    assert found(tree, ("a", 10), ("b", 20)) == 20
    assert found(tree, ("a", 10), ("b", 30), ("c", 1)) == 30


def test_a_place_outlives_the_cuts_of_its_edge() -> None:
    tree = PrefixTree()
    below = tree.root.private(0, "me")
    end, depth, _ = tree.add(below, 0, [("a", 50), ("b", 50)])
    place = below.place(depth)
    assert end is below
    for cut in (70, 50, 30):
        edge, at = place.prefix(cut)
        _, _, known = tree.add(edge, at, [("new", cut)])
        assert known == cut
        assert tree.add(place.edge, place.depth, [])[2] == 100
        assert place.edge.spans_to(place.depth) == ([], [("a", 50), ("b", 50)])
    _, _, known = tree.add(place.edge, 100, [("c", 5)])
    assert known == 100
    assert tree.add(below, 0, [("a", 50), ("b", 50), ("c", 5)])[2] == 105


def test_a_session_that_takes_back_and_goes_on_stays_near_the_root() -> None:
    """Each turn drops the last 5 of its 20 new tokens; the newest path is one edge."""
    tree = PrefixTree()
    edge: Edge = tree.root.private(0, "me")
    depth = 0
    for turn in range(100):
        edge, end, known = tree.add(edge, depth, [(turn, 20)])
        assert known == depth
        depth = end - 5
    assert edge.edge is tree.root


def test_what_was_used_reaches_to_the_root_and_stays_right_when_edges_are_cut() -> None:
    tree = PrefixTree()
    below = tree.root.private(0, "me")
    tree.add(below, 0, [("a", 100)])
    below.use(100, 1)
    below.use(40, 2)
    tree.add(below, 60, [("b", 10)])  # cuts a at 60
    path = [("a", 100)]
    edge, depth, _ = tree.add(below, 0, path)
    assert edge.held(depth, 0)[1] == 100
    assert below.held(60, 0)[1] == 60
    assert edge.held(depth, 1)[1] == 40
    assert below.held(60, 1)[1] == 40
    assert edge.held(depth, 2)[1] == 0


def test_a_tree_forgets_what_was_not_used_and_keeps_what_private_edges_hang_on() -> None:
    tree = PrefixTree()
    edge, depth = shared(tree, ("sys", 10), ("old", 10))
    edge.use(depth, 5)
    edge, depth = shared(tree, ("sys", 10), ("new", 10))
    edge.use(depth, 8)
    pinned, at = shared(tree, ("sys", 5), ("mine", 10))
    owned = pinned.private(at, "me")
    tree.prune(5)
    assert found(tree, ("sys", 5), ("mine", 10)) == 15
    assert found(tree, ("sys", 10), ("new", 10)) == 20
    assert found(tree, ("sys", 10), ("old", 10)) == 10
    owned.drop()
    shared(tree, *((number, 1) for number in range(20)))  # enough to look again
    tree.prune(8)
    assert not tree.root.children
    assert found(tree, ("sys", 10)) == 0


def test_a_session_that_is_over_leaves_nothing() -> None:
    tree = PrefixTree()
    edge, depth = shared(tree, ("sys", 10))
    owned = edge.private(depth, "me")
    tree.add(owned, depth, [("a", 10), ("b", 10)])
    tree.add(owned, depth + 10, [("c", 10)])
    owned.drop()
    again = edge.private(depth, "me")
    assert again is not owned
    assert tree.add(again, depth, [("a", 10)])[2] == depth


def _prefixes(spans: list[Span]) -> Iterator[tuple[Any, ...]]:
    tokens = [(name, offset) for name, length in spans for offset in range(length)]
    for end in range(1, len(tokens) + 1):
        yield tuple(tokens[:end])


_paths = st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 4)), max_size=5)


@given(st.lists(st.tuples(_paths, st.booleans(), st.booleans()), max_size=12), st.integers(1, 5))
def test_it_finds_and_holds_what_a_table_of_all_prefixes_does(
    paths: list[tuple[list[Span], bool, bool]], lifetime: int
) -> None:
    """Paths for all and of one session, some of them used, with a pruning after each."""
    tree = PrefixTree()
    used: dict[tuple[Any, ...], int] = {}
    for now, (spans, is_private, is_used) in enumerate(paths):
        start = tree.root.private(0, "me") if is_private else tree.root
        edge, depth, known = tree.add(start, 0, spans)
        prefixes = [(is_private, *prefix) for prefix in _prefixes(spans)]
        assert depth == len(prefixes)
        alive = sum(now - used.get(prefix, -lifetime) < lifetime for prefix in prefixes)
        assert edge.held(depth, now - lifetime)[1] == alive <= known
        if is_private:
            assert edge.spans_to(depth)[0] == []
        if is_used:
            edge.use(depth, now)
            used |= dict.fromkeys(prefixes, now)
        tree.prune(now - lifetime)
