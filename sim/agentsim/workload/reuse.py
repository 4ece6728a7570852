"""The reuse that a cache without limit would see in a trace.

A prompt's reuse is its longest prefix that anything sent before begins with: prompts, and outputs
too, since vLLM caches generated blocks. Sessions count in the order of their start, calls in the
order of the trace.
"""

from __future__ import annotations

from typing import NamedTuple

from agentsim.domain.trace import Call, Trace
from agentsim.workload.prefix_tree import Position, PrefixTree, Span

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
    reused = reused_prefixes(trace, with_outputs=True)
    lengths = [call.input_tokens for session in trace for call in session.calls]
    in_blocks = [
        min(found, max(0, length - 1)) // BLOCK_SIZE * BLOCK_SIZE
        for found, length in zip(reused, lengths, strict=True)
    ]
    prompts_only = reused_prefixes(trace, with_outputs=False)
    return Reuse(sum(reused), sum(in_blocks), sum(prompts_only))


def reused_prefixes(trace: Trace, with_outputs: bool) -> list[int]:
    """For each call in the order of the trace, the tokens of its prompt that were sent before.

    Parameters
    ----------
    trace : Trace
    with_outputs : bool
        Whether outputs count as sent, or prompts alone.
    """
    trees: dict[str, PrefixTree] = {}
    lengths = []
    for session in trace:
        ends: dict[str, tuple[Call, Position]] = {}
        for call in session.calls:
            tree = trees.setdefault(call.adapter or "", PrefixTree())
            start, spans = prompt_path(session.id, call, ends, tree)
            end, found = tree.add(start, spans)
            lengths.append(found)
            ends[call.id] = (call, end)
            if with_outputs:
                tree.add(end, [Span((session.id, f"out:{call.id}"), 0, call.output_tokens)])
    return lengths


def prompt_path(
    session_id: str, call: Call, ends: dict[str, tuple[Call, Position]], tree: PrefixTree
) -> tuple[Position, list[Span]]:
    """A position that the prompt goes through, and its spans from there."""
    new = Span((session_id, f"~new:{call.id}"), 0, call.input_tokens)
    if call.extends is not None:
        base, end = ends[call.extends]
        start = tree.prefix(end, min(call.keep, base.input_tokens))
        of_output = max(0, call.keep - base.input_tokens)
        answer = Span((session_id, f"out:{base.id}"), 0, of_output)
        spans = [answer, new._replace(tokens=call.input_tokens - call.keep)]
        if (base.adapter or "") != (call.adapter or ""):
            return tree.root, [*tree.spans_to(start), *spans]
        return start, spans
    if call.segments is not None:
        return tree.root, [
            Span(("" if _is_shared(name) else session_id, name), 0, tokens)
            for name, tokens in call.segments
        ]
    if call.blocks is not None:
        size, last = call.block_tokens, len(call.blocks) - 1
        return tree.root, [
            Span(("#", name), 0, call.input_tokens - size * last if index == last else size)
            for index, name in enumerate(call.blocks)
        ]
    return tree.root, [new]


def _is_shared(name: str) -> bool:
    return not name.startswith(("~", "out:"))
