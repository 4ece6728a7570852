"""The radix tree: positions stay valid while edges are cut."""

from __future__ import annotations

from agentsim.workload.prefix_tree import PrefixTree, Span

A = ("", "a")
B = ("", "b")


def test_a_position_inside_an_edge_outlives_its_cuts() -> None:
    tree = PrefixTree()
    tree.add(tree.root, [Span(A, 0, 100)])
    inside, found = tree.add(tree.root, [Span(A, 0, 50)])
    assert found == 50
    for place in (70, 50, 30):
        _, found = tree.add(tree.root, [Span(A, 0, place), Span(B, place, 10)])
        assert found == place
    _, found = tree.add(inside, [Span(A, 50, 50)])
    assert found == 100
    end, found = tree.add(inside, [Span(B, 0, 5)])
    assert found == 50
    assert tree.spans_to(end)[1:] == [Span(A, 0, 30), Span(A, 30, 20), Span(B, 0, 5)]


def test_a_shorter_path_is_a_prefix_of_a_longer_one() -> None:
    tree = PrefixTree()
    end, found = tree.add(tree.root, [Span(A, 0, 10), Span(B, 0, 10)])
    assert found == 0
    again, found = tree.add(tree.prefix(end, 15), [Span(B, 5, 5)])
    assert found == 20
    assert again.depth == 20
