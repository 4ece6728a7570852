"""What has been sent: a radix tree of named tokens, and the longest prefix found in it.

A path from the root is a prompt, or a prompt and its output. Its tokens are spans: each is a name
and so many of its tokens, from the first on; a token is (name, offset), the same wherever the name
is used. The work for a prompt is in what is new of it.

What belongs to one session hangs below a private edge (`Edge.private`) and is dropped with it; the
rest can be forgotten when nobody used it for long (`PrefixTree.prune`).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Hashable, Iterable, Iterator

from agentsim.workload.prefix_edge import Edge, PrivateEdge, Span

#: A tree with fewer spans is not worth pruning.
_FEW_SPANS = 10_000


class PrefixTree:
    """Every prompt (and output) so far, as paths from one root."""

    def __init__(self) -> None:
        self.root = Edge(None, 0, "", 0)
        self._num_shared = 0  # spans, but for the private ones
        self._enough = _FEW_SPANS

    def add(self, edge: Edge, depth: int, spans: Iterable[Span]) -> tuple[Edge, int, int]:
        """Go on from a place by some spans, adding what is not there yet.

        Parameters
        ----------
        edge : Edge
            The edge of the tokens before `depth`, as `Place.prefix` gives it; or the root, or the
            private edge that hangs there.

        Returns
        -------
        tuple of Edge, int and int
            Edge and depth of the path's end, and how many of its tokens were there before.
        """
        names, ends = edge.names, edge.ends
        at = bisect_right(ends, depth)
        start = ends[at - 1] if at else edge.origin  # where the span at `at` begins
        spans = iter(spans)
        for name, tokens in spans:
            origin, end = depth, depth + tokens
            while depth < end:
                if at < len(ends) and start == origin and names[at] == name:
                    if end < ends[at]:
                        depth = end
                    else:
                        depth = start = ends[at]
                        at += 1
                    continue
                children = edge.children
                child = children.get((depth, name, origin)) if children else None
                if child is None:
                    return *self._grow(edge, depth, (name, origin, end), spans), depth
                edge, at, start = child, 0, origin
                names, ends = edge.names, edge.ends
        return edge, depth, depth

    def _grow(
        self, edge: Edge, depth: int, first: tuple[Hashable, int, int], spans: Iterator[Span]
    ) -> tuple[Edge, int]:
        """Let a path go on at a place with the rest of a span, and with others; where it ends."""
        name, origin, end = first
        if edge.ends and depth < edge.ends[-1]:
            edge = edge.leave(depth, name, origin)
        names, ends = edge.names, edge.ends
        num_before = len(ends)
        if ends and origin < depth:
            ends[-1] = end
        else:
            names.append(name)
            ends.append(end)
        for name, tokens in spans:
            if tokens:
                names.append(name)
                end += tokens
                ends.append(end)
        if not isinstance(edge, PrivateEdge):
            self._num_shared += len(ends) - num_before
        return edge, end

    def prune(self, since_ns: int) -> None:
        """Forget what is not private and was not used later, once the tree has doubled."""
        if self._num_shared < self._enough:
            return
        edges = [self.root]
        for edge in edges:
            below = edge.children.values()
            edges += [child for child in below if not isinstance(child, PrivateEdge)]
        self._num_shared = 0
        for edge in reversed(edges):
            if edge.trim(since_ns) and edge is not self.root:
                edge.drop()
            self._num_shared += len(edge.ends)
        self._enough = 2 * self._num_shared + _FEW_SPANS
