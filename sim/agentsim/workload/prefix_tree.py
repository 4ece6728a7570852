"""What has been sent before: a radix tree of named tokens, and the longest prefix found in it.

A token is (segment, offset), the same wherever the segment is used; a path from the root is a
prompt, or a prompt and its output. An edge is one stretch of one segment, so the work for a prompt
is in its stretches, not in its tokens or blocks.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

#: Where a name belongs: ("", name) is known to all sessions, (session, name) to one.
Segment = tuple[str, str | int]


class Span(NamedTuple):
    """`tokens` tokens of a segment from `offset` on."""

    segment: Segment
    offset: int
    tokens: int


class Node:
    """The tokens of one edge: those of `span`, after `start` tokens of its ancestors."""

    __slots__ = ("children", "parent", "span", "start")

    def __init__(self, parent: Node | None, start: int, span: Span) -> None:
        self.parent = parent
        self.start = start
        self.span = span
        self.children: dict[tuple[Segment, int], Node] = {}

    @property
    def end(self) -> int:
        """Tokens from the root to the end of this edge."""
        return self.start + self.span.tokens


class Position(NamedTuple):
    """A place in the tree: `depth` tokens from the root, in or at the end of `node`."""

    node: Node
    depth: int


class PrefixTree:
    """Every prompt (and output) so far, as paths from one root."""

    def __init__(self) -> None:
        self._root = Node(None, 0, Span(("", ""), 0, 0))

    @property
    def root(self) -> Position:
        """The place before the first token."""
        return Position(self._root, 0)

    def add(self, position: Position, spans: Iterable[Span]) -> tuple[Position, int]:
        """Go on from a position by some spans, adding what is not there yet.

        Returns
        -------
        tuple of Position and int
            The end of the path, and how many of its tokens from the root were there before.
        """
        node, depth = self.prefix(position, position.depth)  # its edge may have been cut since
        todo = [span for span in spans if span.tokens]
        todo.reverse()
        while todo:
            span = todo.pop()
            if depth < node.end:
                inside = node.span.offset + depth - node.start
                if (node.span.segment, inside) != (span.segment, span.offset):
                    todo.append(span)
                    return self._branch(self._cut(node, depth), depth, todo), depth
                limit = node.end - depth
            else:
                child = node.children.get((span.segment, span.offset))
                if child is None:
                    todo.append(span)
                    return self._branch(node, depth, todo), depth
                node, limit = child, child.span.tokens
            same = min(span.tokens, limit)
            depth += same
            if same < span.tokens:
                todo.append(Span(span.segment, span.offset + same, span.tokens - same))
        return Position(node, depth), depth

    def prefix(self, position: Position, depth: int) -> Position:
        """The first `depth` tokens of a path that ends at `position`."""
        node = position.node
        while depth <= node.start and node.parent is not None:
            node = node.parent
        return Position(node, depth)

    def spans_to(self, position: Position) -> list[Span]:
        """The tokens from the root to a position."""
        node: Node | None = position.node
        depth = position.depth
        spans = []
        while node is not None:
            tokens = min(depth, node.end) - node.start
            spans.append(Span(node.span.segment, node.span.offset, tokens))
            node = node.parent
        return spans[::-1]

    def _branch(self, node: Node, depth: int, todo: list[Span]) -> Position:
        """Add spans (in reversed order) below a node, at its end."""
        while todo:
            span = todo.pop()
            child = Node(node, depth, span)
            node.children[span.segment, span.offset] = child
            node, depth = child, depth + span.tokens
        return Position(node, depth)

    def _cut(self, node: Node, depth: int) -> Node:
        """Part an edge at `depth`; the upper part is new, positions in the lower stay valid."""
        assert node.parent is not None and depth > node.start
        segment, offset, tokens = node.span
        taken = depth - node.start
        upper = Node(node.parent, node.start, Span(segment, offset, taken))
        node.parent.children[segment, offset] = upper
        node.parent, node.start = upper, depth
        node.span = Span(segment, offset + taken, tokens - taken)
        upper.children[segment, offset + taken] = node
        return upper
