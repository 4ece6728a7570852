"""What prompts are made of: a radix tree of named tokens, and which of its blocks are cached.

A token is (segment, offset): the same wherever the segment is used. Two prompts share what their
spans agree on from the start, so every prompt with its output is a path from the root of one tree.
A `Node` holds the tokens ``[start, end)`` of its path and so the KV blocks whose last token is one
of them: ``[start // block_size, end // block_size)``. What is cached or in use there is kept as
`Extent`, runs of blocks of equal state; nothing here is done block by block, and no block has an
identity: only the order of content can be observed.

Laws, held because a sequence returns its blocks tail first and never takes a block without all
before it: the cached content of a node is one stretch from its first block up to `Node.top`, and it
is empty unless every ancestor's is whole up to where the node begins.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from agentsim.domain.block_use import BlockUse

#: (segment, offset of the first token in it, number of tokens)
Span = tuple[str | int, int, int]


class Extent:
    """Blocks ``[lo, hi)`` of a node: cached copies of equal reference count.

    A free extent (`refs` 0) stands in the free queue (`before`, `after`) and is evicted from its
    tail. One in use may be cut: `rest` is then the part cut off, which its holders hold too. `use`
    is kept where an order of eviction asks for it.
    """

    __slots__ = ("after", "before", "hi", "lo", "node", "refs", "rest", "use")

    def __init__(self, node: Node, lo: int, hi: int, refs: int) -> None:
        self.node = node
        self.lo = lo
        self.hi = hi
        self.refs = refs
        self.rest: Extent | None = None
        self.use: BlockUse | None = None
        self.before: Extent | None = None
        self.after: Extent | None = None

    def cut(self, at: int) -> Extent:
        """Keep ``[lo, at)`` and return the rest as an extent of the same state and place."""
        upper = Extent(self.node, at, self.hi, self.refs)
        upper.use = self.use
        self.hi = at
        extents = self.node.extents
        extents.insert(extents.index(self) + 1, upper)
        if self.refs:
            upper.rest, self.rest = self.rest, upper
        else:  # tail first: the upper part is evicted before the lower
            upper.link_before(self)
        return upper

    def link_before(self, other: Extent) -> None:
        """Enter the free queue in front of `other`."""
        before = other.before
        assert before is not None
        self.before, self.after = before, other
        before.after = other.before = self

    def unlink(self) -> None:
        """Leave the free queue."""
        assert self.before is not None and self.after is not None
        self.before.after = self.after
        self.after.before = self.before
        self.before = self.after = None


class Node:
    """The tokens ``[start, end)`` of a path, with what is cached of them.

    Children branch off anywhere in it, not only at its end: the newest branch of a session goes on
    with the node, and what it left behind becomes a child. `extents` is in the order in which the
    cache took them; where two overlap (the same content computed twice) the first is the one a
    lookup returns. `overlap` tells whether any may.
    """

    __slots__ = (
        "children",
        "end",
        "extents",
        "last_branch",
        "overlap",
        "parent",
        "spans",
        "start",
        "tips",
        "top",
    )

    def __init__(
        self, parent: Node | None, start: int, end: int, spans: list[Span], top: int
    ) -> None:
        self.parent = parent
        self.start = start
        self.end = end
        self.spans = spans
        self.top = top
        self.children: dict[tuple[int, str | int, int], Node] = {}
        self.extents: list[Extent] = []
        self.tips: list[Tip] = []
        self.overlap = False
        self.last_branch = -1  # no child begins later

    def adopt(self, child: Node) -> None:
        """Take a node as child."""
        child.parent = self
        self.children[child.key] = child
        self.last_branch = max(self.last_branch, child.start)

    @property
    def key(self) -> tuple[int, str | int, int]:
        """Where it branches off and with which token: how the parent knows this node."""
        return self.start, self.spans[0][0], self.spans[0][1]


class Tip:
    """The end of a path: `length` tokens from the root, the last of them in `node`.

    `owner` is the sequence that may still grow along it, if any.
    """

    __slots__ = ("length", "node", "owner")

    def __init__(self, node: Node, length: int) -> None:
        self.node = node
        self.length = length
        self.owner: Any = None


class ContentTree:
    """All paths in use or cached, for one replica.

    Parameters
    ----------
    block_size : int
        Tokens in a KV block.
    """

    def __init__(self, block_size: int) -> None:
        self.block_size = block_size
        self.parted: list[Extent] | None = None  # free extents that were cut, if anyone asks
        self._roots: dict[str, Node] = {}

    def insert(self, spans: Iterable[Span], adapter: str = "") -> Tip:
        """The path of these spans from the start, as a tip that must be given back (`drop`)."""
        root = self._roots.get(adapter)
        if root is None:
            root = self._roots[adapter] = Node(None, 0, 0, [], 0)
        return self._follow(root, 0, spans)

    def extend(self, base: Tip, keep: int, spans: Iterable[Span]) -> Tip:
        """The path of the first `keep` tokens of `base`, then these spans."""
        node = base.node
        while keep <= node.start and node.parent is not None:
            node = node.parent
        return self._follow(node, keep, spans)

    def drop(self, tip: Tip) -> None:
        """Forget a tip; content that is neither cached nor on the way to a tip is forgotten too."""
        tip.node.tips.remove(tip)
        self.prune(tip.node)

    def prune(self, node: Node) -> None:
        """Take out the node, and then its ancestors, as far as nothing needs them."""
        while not (node.extents or node.tips or node.children) and node.parent is not None:
            parent = node.parent
            del parent.children[node.key]
            node = parent

    def path(self, tip: Tip) -> tuple[str, list[Span]]:
        """The adapter and the spans of a path, as few as there can be."""
        parts: list[Span] = []
        node, end = tip.node, tip.length
        while node.parent is not None:
            head, _ = _split_spans(node.spans, end - node.start)
            parts.extend(reversed(head))
            end = node.start
            node = node.parent
        spans: list[Span] = []
        for name, offset, length in reversed(parts):
            if spans and spans[-1][0] == name and sum(spans[-1][1:]) == offset:
                spans[-1] = (name, spans[-1][1], spans[-1][2] + length)
            else:
                spans.append((name, offset, length))
        adapter = next(name for name, root in self._roots.items() if root is node)
        return adapter, spans

    def nodes(self) -> Iterator[Node]:
        """Every node, parents first; for checks and tests."""
        stack = list(self._roots.values())
        while stack:
            node = stack.pop()
            yield node
            stack.extend(node.children.values())

    def _follow(self, node: Node, position: int, spans: Iterable[Span]) -> Tip:
        """A tip for `spans` after `position`, which lies in or at the end of `node`."""
        todo = [span for span in spans if span[2]]
        todo.reverse()
        if todo and position < node.end:
            position = _match(node, position, todo)
        while todo:
            child = node.children.get((position, todo[-1][0], todo[-1][1]))
            if child is None:
                return self._branch(node, position, todo)
            node = child
            position = _match(node, node.start, todo)
        return _new_tip(node, position)

    def _branch(self, node: Node, position: int, todo: list[Span]) -> Tip:
        """A tip for `todo` (reversed) after `position`, which lies in or at the end of `node`."""
        spans = todo[::-1]
        length = position + sum(span[2] for span in spans)
        if _can_go_on(node, position):
            # the newest branch goes on with the node, so that a session stays one node
            if position < node.end:
                self._cut_tail(node, position)
            node.spans.extend(spans)
            node.end = length
            return _new_tip(node, length)
        if node.parent is not None and position < node.end:
            node = self._cut_head(node, position)
        child = Node(node, position, length, spans, position // self.block_size)
        node.adopt(child)
        return _new_tip(child, length)

    def _cut_tail(self, node: Node, position: int) -> None:
        """Move what lies behind `position` (no child does) into a child, if anything needs it."""
        head, tail = _split_spans(node.spans, position - node.start)
        block = position // self.block_size
        child = Node(node, position, node.end, tail, max(block, node.top))
        self._part_extents(node, block, lower=node, upper=child)
        child.overlap = node.overlap
        child.tips = [tip for tip in node.tips if tip.length > position]
        for tip in child.tips:
            tip.node = child
        node.tips = [tip for tip in node.tips if tip.length <= position]
        node.spans, node.end, node.top = head, position, min(node.top, block)
        if child.extents or child.tips:
            node.adopt(child)

    def _cut_head(self, node: Node, position: int) -> Node:
        """Move what lies before `position` into a new parent of `node`, and return that."""
        assert node.parent is not None
        head, tail = _split_spans(node.spans, position - node.start)
        block = position // self.block_size
        upper = Node(node.parent, node.start, position, head, min(node.top, block))
        node.parent.children[node.key] = upper
        self._part_extents(node, block, lower=upper, upper=node)
        upper.overlap = node.overlap
        upper.tips = [tip for tip in node.tips if tip.length <= position]
        for tip in upper.tips:
            tip.node = upper
        node.tips = [tip for tip in node.tips if tip.length > position]
        children, node.children, node.last_branch = node.children, {}, -1
        for child in children.values():
            (upper if child.start <= position else node).adopt(child)
        node.start, node.spans, node.top = position, tail, max(node.top, block)
        if node.extents or node.tips or node.children:
            upper.adopt(node)
        return upper

    def _part_extents(self, node: Node, block: int, lower: Node, upper: Node) -> None:
        """Give the extents of `node` below `block` to `lower` and the others to `upper`."""
        for extent in list(node.extents):
            if extent.lo < block < extent.hi:
                rest = extent.cut(block)
                if self.parted is not None and not extent.refs:
                    self.parted += (extent, rest)
        extents = node.extents
        lower.extents = [extent for extent in extents if extent.lo < block]
        upper.extents = [extent for extent in extents if extent.lo >= block]
        for extent in lower.extents:
            extent.node = lower
        for extent in upper.extents:
            extent.node = upper


def _can_go_on(node: Node, position: int) -> bool:
    """Whether a node may end at `position` and go on otherwise: nobody needs the rest in place."""
    if node.parent is None or node.last_branch >= position:
        return False
    for tip in node.tips:
        if tip.length > position and tip.owner is not None:
            return False
    return True


def _new_tip(node: Node, length: int) -> Tip:
    tip = Tip(node, length)
    node.tips.append(tip)
    return tip


def _match(node: Node, position: int, todo: list[Span]) -> int:
    """Take from `todo` (reversed) what agrees with the node from `position` on, and return how far
    that goes."""
    skip = position - node.start
    for segment, offset, length in node.spans:
        left = max(0, length - skip)
        skip = max(0, skip - length)
        while left:
            if not todo:
                return position
            name, begin, count = todo[-1]
            if name != segment or begin != offset + length - left:
                return position
            same = min(left, count)
            position += same
            left -= same
            todo.pop()
            if same < count:
                todo.append((name, begin + same, count - same))
    return position


def _split_spans(spans: Sequence[Span], num_tokens: int) -> tuple[list[Span], list[Span]]:
    """The first `num_tokens` of the spans, and the rest."""
    head: list[Span] = []
    for index, (segment, offset, length) in enumerate(spans):
        if num_tokens < length:
            tail = [(segment, offset + num_tokens, length - num_tokens), *spans[index + 1 :]]
            if num_tokens:
                head.append((segment, offset, num_tokens))
            return head, tail
        head.append((segment, offset, length))
        num_tokens -= length
    return head, []
