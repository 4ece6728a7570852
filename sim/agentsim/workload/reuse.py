"""The reuse that a cache without limit would see in a trace.

A prompt's reuse is its longest prefix that anything sent before begins with: prompts, and outputs
too, since vLLM caches generated blocks. Sessions count in the order of their start, calls in the
order of the trace.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Sequence
from itertools import chain, repeat
from typing import NamedTuple

from agentsim.domain.trace import Call, Session, Trace
from agentsim.workload.prefix_edge import Edge, Place, PrivateEdge, Span
from agentsim.workload.prefix_tree import PrefixTree

#: vLLM's default `block_size` on GPUs.
BLOCK_SIZE = 16


class Reuse(NamedTuple):
    """Prompt tokens of a trace that were sent before.

    Attributes
    ----------
    tokens : int
        Found in earlier prompts and outputs.
    block_tokens : int
        The same in whole blocks of `BLOCK_SIZE`, and never a prompt's last token: vLLM computes
        that anew.
    prompt_tokens : int
        Found in earlier prompts alone, as by a cache that holds no outputs.
    """

    tokens: int
    block_tokens: int
    prompt_tokens: int


def reuse_of(trace: Trace) -> Reuse:
    """What a cache without limit would find, over all calls."""
    tokens = block_tokens = prompt_tokens = 0
    for call, found, found_in_prompts in _reused(trace):
        tokens += found
        block_tokens += min(found, max(0, call.input_tokens - 1)) // BLOCK_SIZE * BLOCK_SIZE
        prompt_tokens += found_in_prompts
    return Reuse(tokens, block_tokens, prompt_tokens)


def reused_prefixes(trace: Trace, with_outputs: bool) -> list[int]:
    """For each call in the order of the trace, the tokens of its prompt that were sent before.

    Parameters
    ----------
    trace : Trace
    with_outputs : bool
        Whether outputs count as sent, or prompts alone.
    """
    return [found if with_outputs else in_prompts for _, found, in_prompts in _reused(trace)]


def _reused(trace: Trace) -> Iterator[tuple[Call, int, int]]:
    """Each call with what was sent before of its prompt, and what in prompts alone."""
    trees: dict[str, PrefixTree] = {}
    trees_of_prompts: dict[str, PrefixTree] = {}
    for session in trace:
        sent = SessionPrompts(trees, session.id, session)
        prompts = SessionPrompts(trees_of_prompts, session.id, session)
        for call in session.calls:
            yield call, sent.add(call), prompts.add(call)
            sent.add_answer(call.id)
        sent.drop()
        prompts.drop()


class SessionPrompts:
    """Where the prompts of one run of a session end in the trees of their adapters.

    Parameters
    ----------
    trees : dict of str to PrefixTree
        By adapter; a tree that is missing is added.
    owner : str
        Name of the run; its private names are nobody else's.
    session : Session
    """

    def __init__(self, trees: dict[str, PrefixTree], owner: str, session: Session) -> None:
        self._trees = trees
        self._owner = owner
        self._calls = {call.id: call for call in session.calls}
        self._ends: dict[str, Place] = {}
        self._private: dict[PrivateEdge, None] = {}  # in order

    def end(self, call_id: str) -> Place:
        """Where the prompt of a call ends; it is added if it is not there yet."""
        end = self._ends.get(call_id)
        if end is None:
            missing = [self._calls[call_id]]
            while (base := missing[-1].extends) is not None and base not in self._ends:
                missing.append(self._calls[base])
            while missing:
                self.add(missing.pop())
            end = self._ends[call_id]
        return end

    def add(self, call: Call) -> int:
        """Add a prompt, after that of the call it extends; the tokens of it that were there."""
        tree = self._tree(call)
        if call.extends is not None and call.keep:
            edge, depth, found = self._extend(call, self._calls[call.extends], tree)
        else:
            edge, depth, found = self._spell(tree, *self._spans(call))
        self._ends[call.id] = edge.place(depth)
        return found

    def add_answer(self, call_id: str) -> tuple[Edge, int]:
        """Add the answer of a call behind its prompt; where it ends."""
        end, call = self.end(call_id), self._calls[call_id]
        answer = [(f"out:{call_id}", call.output_tokens)]
        edge, depth, _ = self._tree(call).add(end.edge, end.depth, answer)
        return edge, depth

    def drop(self) -> None:
        """Drop what nobody else can ever send: the run is over."""
        for edge in self._private:
            edge.drop()

    def _tree(self, call: Call) -> PrefixTree:
        adapter = call.adapter or ""
        tree = self._trees.get(adapter)
        if tree is None:
            tree = self._trees[adapter] = PrefixTree()
        return tree

    def _extend(self, call: Call, base: Call, tree: PrefixTree) -> tuple[Edge, int, int]:
        """Go on from the prompt of another call, with some of its answer."""
        end = self._ends[base.id]
        edge, depth = end.edge, end.depth
        rest = [(f"~new:{call.id}", call.input_tokens - call.keep)]
        if call.keep > depth:
            rest.insert(0, (f"out:{base.id}", call.keep - depth))
        elif call.keep < depth:
            edge, depth = end.prefix(call.keep)
        if base.adapter != call.adapter and self._tree(base) is not tree:
            shared, private = edge.spans_to(depth)
            return self._spell(tree, shared, [*private, *rest])
        if not isinstance(edge, PrivateEdge):
            edge = self._below(edge, depth)
        return tree.add(edge, depth, rest)

    def _spell(
        self, tree: PrefixTree, shared: Iterable[Span], private: Iterable[Span]
    ) -> tuple[Edge, int, int]:
        """A path from the root, of spans that all sessions know and of the session's own."""
        edge, depth, found = tree.add(tree.root, 0, shared)
        end, to, found_below = tree.add(self._below(edge, depth), depth, private)
        return end, to, found if found < depth else found_below

    def _below(self, edge: Edge, depth: int) -> PrivateEdge:
        below = edge.private(depth, self._owner)
        self._private[below] = None
        return below

    def _spans(self, call: Call) -> tuple[Iterable[Span], Iterable[Span]]:
        """The shared and the private spans of a prompt that is told from its start."""
        if call.segments is not None:
            spans = [span for span in call.segments if span[1]]
            num_shared = next(
                (place for place, (name, _) in enumerate(spans) if _is_private(name)), len(spans)
            )
            return spans[:num_shared], spans[num_shared:]
        if call.blocks is None:
            return (), ((f"~new:{call.id}", call.input_tokens),)
        names: Sequence[Hashable] = call.blocks
        if str in map(type, names):  # a hash is not the segment of that name
            names = [("#", name) if isinstance(name, str) else name for name in names]
        before = call.block_tokens * (len(names) - 1)
        lengths = chain(repeat(call.block_tokens, len(names) - 1), [call.input_tokens - before])
        return zip(names, lengths, strict=False), ()


def _is_private(name: str) -> bool:
    return name.startswith(("~", "out:"))
