"""What a prefix cache must hold: the share it finds by its size, and the blocks in use."""

from __future__ import annotations

import msgspec

from agentsim.domain.trace import Call, Trace
from agentsim.workload.order import in_order
from agentsim.workload.prefix_tree import PrefixTree
from agentsim.workload.reuse import BLOCK_SIZE, SessionPrompts
from agentsim.workload.stack_distance import StackDistances

#: Parts of a trace, of equally many calls, whose blocks are counted.
WINDOWS = 40
#: Smallest cache of the curve, in blocks; each next one is twice as large.
SMALLEST_CACHE = 256
#: Shares of what an endless cache finds, for which the size is told.
SHARES = (0.5, 0.9, 0.99)


class CacheSize(msgspec.Struct, frozen=True):
    """A cache that evicts the least recently used block: its size, and the share it finds."""

    blocks: int
    tokens: int
    hit_rate: float


class CacheUse(msgspec.Struct, frozen=True):
    """What a prefix cache would see, calls in the order in which they are sent.

    Attributes
    ----------
    order : str
        ``recorded`` where all calls have a time, else ``closed-loop``: `order.in_order`.
    distinct_blocks : int
        Different blocks of `BLOCK_SIZE` tokens, prompts and answers.
    curve : tuple of CacheSize
        From small to one that holds all; hit rate of prompt tokens.
    enough : dict of str to int
        Blocks with which a cache finds so much of what an endless one finds, such as ``90%``.
    working_set : tuple of int
        Different blocks used in each of the parts of the trace, `window_calls` calls each.
    window_calls : int
    span_s : float
        From the first call sent to the last.
    """

    order: str
    distinct_blocks: int
    curve: tuple[CacheSize, ...]
    enough: dict[str, int]
    working_set: tuple[int, ...]
    window_calls: int
    span_s: float


def cache_use(trace: Trace) -> CacheUse:
    """Send all calls through a cache without limit, and count.

    Parameters
    ----------
    trace : Trace
        With its heads shared (`heads.share_heads`).
    """
    seen = _Pass(trace.num_calls)
    first_ns = last_ns = 0
    timed = True
    under_way: dict[int, SessionPrompts] = {}
    trees: dict[str, PrefixTree] = {}
    for place, (session, number, call, at_ns, is_last) in enumerate(in_order(trace)):
        timed = timed and (call.at_ns is not None or not call.after)
        first_ns, last_ns = at_ns if not place else first_ns, at_ns
        prompts = under_way.get(number)
        if prompts is None:
            prompts = under_way[number] = SessionPrompts(trees, f"{number}", session)
        seen.send(prompts, call)
        if is_last:
            under_way.pop(number).drop()
    return seen.result("recorded" if timed else "closed-loop", (last_ns - first_ns) / 1e9)


class _Pass:
    """The sums over all calls."""

    def __init__(self, num_calls: int) -> None:
        self._distances = StackDistances(num_calls)
        self._window_calls = max(1, -(-num_calls // WINDOWS))
        self._working_set: list[int] = []
        self._num_sent = self._window_begin = 0
        self._prompt_tokens = 0

    def send(self, prompts: SessionPrompts, call: Call) -> None:
        """The next call: prompt and answer are used; the answer's last token is never computed."""
        prompts.add(call)
        edge, depth = prompts.add_answer(call.id)
        depth -= 1 if call.output_tokens else 0
        used = self._distances.use(edge, depth, call.input_tokens - 1)
        self._prompt_tokens += call.input_tokens
        if self._num_sent % self._window_calls == 0:
            self._working_set.append(0)
            self._window_begin = self._num_sent
        self._working_set[-1] += used.num_new + sum(
            count for request, count in used.stretches if request < self._window_begin
        )
        self._num_sent += 1

    def result(self, order: str, span_s: float) -> CacheUse:
        """All that was seen."""
        distinct = self._distances.distinct_blocks
        sizes = [SMALLEST_CACHE]
        while sizes[-1] < distinct:
            sizes.append(2 * sizes[-1])
        return CacheUse(
            order=order,
            distinct_blocks=distinct,
            curve=tuple(self._size(blocks) for blocks in sizes),
            enough={f"{share:.0%}": self._distances.blocks_for(share) for share in SHARES},
            working_set=tuple(self._working_set),
            window_calls=self._window_calls,
            span_s=span_s,
        )

    def _size(self, blocks: int) -> CacheSize:
        hits = self._distances.hits(blocks) * BLOCK_SIZE
        rate = hits / self._prompt_tokens if self._prompt_tokens else 0.0
        return CacheSize(blocks, blocks * BLOCK_SIZE, rate)
