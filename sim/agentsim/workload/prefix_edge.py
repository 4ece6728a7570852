"""The edges of a prefix tree (`workload.prefix_tree`), and places on them.

An edge holds many spans of tokens. Others leave it at any depth; then a shared edge stays as it is,
and who leaves it is a child. A private edge goes on with who leaves it, and what is left behind
becomes the child: a session that grows, taking something back now and then, stays one edge however
many turns it has.

An edge knows when it was used (`Edge.use`, `Edge.held`). Times never go back.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Hashable
from operator import attrgetter

#: A name and how many of its tokens, from the first on.
Span = tuple[Hashable, int]


class Place:
    """`depth` tokens from the root, on an edge."""

    __slots__ = ("depth", "edge")

    def __init__(self, edge: Edge, depth: int) -> None:
        self.edge = edge
        self.depth = depth

    def prefix(self, depth: int) -> tuple[Edge, int]:
        """The edge of the first `depth` tokens of the path that ends here, and `depth`."""
        edge = self.edge
        while 0 < depth <= edge.depth:
            edge = edge.edge
        return edge, depth


class Edge(Place):
    """Tokens that go on from the place where the edge hangs (the root hangs on itself).

    Attributes
    ----------
    key : hashable
        Tells the children of an edge apart: depth, name and origin, or depth and owner.
    origin : int
        Depth at which the first token of the first span would lie: where the edge hangs, or above
        that if it begins within a span.
    names, ends : list
        The spans: their names, and the depths after their last tokens.
    children : dict of hashable to Edge
        Edges that hang on this one.
    uses : list of (int, int)
        Depth and time of the uses that no later one reached as deep as, the deepest first.
    """

    __slots__ = ("children", "ends", "key", "names", "origin", "uses")

    def __init__(self, edge: Edge | None, depth: int, key: Hashable, origin: int) -> None:
        super().__init__(edge or self, depth)
        self.key = key
        self.origin = origin
        self.names: list[Hashable] = []
        self.ends: list[int] = []
        self.children: dict[Hashable, Edge] = {}
        self.uses: list[tuple[int, int]] = []

    def leave(self, depth: int, name: Hashable, origin: int) -> Edge:
        """The edge for a path that goes on otherwise than this edge does from `depth`."""
        key = (depth, name, origin)
        edge = self.children[key] = Edge(self, depth, key, origin)
        return edge

    def place(self, depth: int) -> Place:
        """A place at a depth, which stays right when the edge is left."""
        return Place(self, depth)

    def private(self, depth: int, owner: str) -> PrivateEdge:
        """The edge at a depth below which everything belongs to `owner`."""
        key = (depth, owner)
        edge = self.children.get(key)
        if edge is None:
            edge = self.children[key] = PrivateEdge(self, depth, key, depth)
        assert isinstance(edge, PrivateEdge)
        return edge

    def drop(self) -> None:
        """Take the edge, and all that hangs on it, off its tree."""
        del self.edge.children[self.key]
        below: list[Place] = [self]
        for place in below:  # no circles are left: what is dropped is gone at once
            if isinstance(place, PrivateEdge):
                below += place.hanging
                place.hanging.clear()
                place.children.clear()

    def spans_to(self, depth: int) -> tuple[list[Span], list[Span]]:
        """The tokens from the root to a depth on this edge: what all share, and what is private."""
        parts: tuple[list[Span], list[Span]] = ([], [])
        edge = self
        while depth:
            while depth > edge.depth:
                at = bisect_left(edge.ends, depth)
                origin = edge.ends[at - 1] if at else edge.origin
                parts[isinstance(edge, PrivateEdge)].append((edge.names[at], depth - origin))
                depth = origin
            edge = edge.edge
        return parts[0][::-1], parts[1][::-1]

    def use(self, depth: int, now_ns: int) -> None:
        """Everything from the root to a depth on this edge is used."""
        edge = self
        while depth:
            uses = edge.uses
            while uses and uses[-1][0] <= depth:
                uses.pop()
            uses.append((depth, now_ns))
            edge, depth = edge.edge, edge.depth

    def held(self, depth: int, since_ns: int) -> tuple[Edge, int]:
        """How much of the path to a depth on this edge was used later: its edge and depth."""
        edge = self
        while depth:
            if edge.uses:
                edge.forget_uses(since_ns)
                if edge.uses:
                    return edge, min(depth, edge.uses[0][0])
            edge, depth = edge.edge, edge.depth
        return edge, 0

    def forget_uses(self, since_ns: int) -> None:
        """Drop the uses that are not later."""
        if self.uses and self.uses[0][1] <= since_ns:
            self.uses = [use for use in self.uses if use[1] > since_ns]

    def trim(self, since_ns: int) -> bool:
        """Drop the end that was not used later and on which nothing hangs; whether all is gone."""
        self.forget_uses(since_ns)
        hanging = max((edge.depth for edge in self.children.values()), default=self.depth)
        deepest = max(hanging, self.uses[0][0]) if self.uses else hanging
        if self.ends and deepest < self.ends[-1]:
            self._end_at(deepest)
        return not self.ends and not self.children

    def _end_at(self, depth: int) -> None:
        """Drop the tokens from `depth` on."""
        at = bisect_left(self.ends, depth) + 1 if depth > self.depth else 0
        del self.names[at:], self.ends[at:]
        if at:
            self.ends[-1] = depth


class PrivateEdge(Edge):
    """An edge of one session: the newest path goes on with it, and the older becomes a child.

    Attributes
    ----------
    hanging : list of Place
        Children and places on it, by depth; those beyond a cut go with what is cut off.
    """

    __slots__ = ("hanging",)

    def __init__(self, edge: Edge, depth: int, key: Hashable, origin: int) -> None:
        super().__init__(edge, depth, key, origin)
        self.hanging: list[Place] = []

    def place(self, depth: int) -> Place:
        """A place at a depth, which goes with its tokens when the edge is left."""
        place = Place(self, depth)
        self._hang(place)
        return place

    def leave(self, depth: int, name: Hashable, origin: int) -> Edge:
        """This edge, after what follows `depth` has become a child."""
        at = bisect_right(self.ends, depth)
        begin = self.ends[at - 1] if at else self.origin
        key = (depth, self.names[at], begin)
        tail = self.children[key] = PrivateEdge(self, depth, key, begin)
        tail.names, tail.ends = self.names[at:], self.ends[at:]
        self._end_at(depth)
        first = bisect_right(self.hanging, depth, key=_depth)
        tail.hanging = self.hanging[first:]
        del self.hanging[first:]
        for place in tail.hanging:
            place.edge = tail
            if isinstance(place, Edge):
                tail.children[place.key] = self.children.pop(place.key)
        self._hang(tail)
        self._share_uses(tail)
        return self

    def _hang(self, place: Place) -> None:
        if self.hanging and self.hanging[-1].depth > place.depth:
            insort(self.hanging, place, key=_depth)
        else:
            self.hanging.append(place)

    def _share_uses(self, tail: Edge) -> None:
        """The tail gets the uses that reach into it; here they count up to where it hangs."""
        deep = [use for use in self.uses if use[0] > tail.depth]
        if deep:
            self.uses = self.uses[len(deep) :]
            tail.uses = deep
            if not self.uses or self.uses[0][0] < tail.depth:
                self.uses.insert(0, (tail.depth, deep[-1][1]))


_depth = attrgetter("depth")
