"""The block pool of extents beside a pool of blocks: nothing that can be observed differs.

A machine of hypothesis opens and extends paths, admits sequences on them, lets them grow, preempts
and finishes them in any interleaving, with several tables on the same content at once. In vLLM's
order of eviction and in every other.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from agentsim.domain.block_use import BlockUse
from agentsim.machine.blocks import BlockPool, BlockTable
from agentsim.machine.content import Span, Tip
from agentsim.machine.laws import check_pool
from agentsim.machine.ordered_blocks import OrderedPool
from agentsim.policies.evictions import EvictionOrder
from properties.naive_pool import NaivePool, NaiveTable, Tokens
from properties.orders import ORDERS

LONGEST_PATH = 60


@dataclass
class Path:
    """A path that is open, and the sequence on it, if it has blocks."""

    tip: Tip
    tokens: Tokens
    table: BlockTable
    naive: NaiveTable

    @property
    def num_tokens(self) -> int:
        return len(self.tokens) - 1

    @property
    def is_at_work(self) -> bool:
        """Whether its sequence waits or runs: it may have blocks, and grow."""
        return self.tip.owner is not None


def spelled(spans: list[Span]) -> tuple[object, ...]:
    """The tokens of spans."""
    return tuple((name, offset + i) for name, offset, length in spans for i in range(length))


#: tokens of a span: mostly whole blocks of 1, 2 or 4 tokens
lengths = st.sampled_from([4, 8, 4, 8, 2, 12, 1, 3, 5])
shared_spans = st.lists(st.tuples(st.sampled_from("ab"), st.just(0), lengths), max_size=3)
fresh_lengths = st.sampled_from([0, 0, 1, 4, 8])
which_one = st.integers(0, 1 << 16)
percent = st.sampled_from([100, 100, 50, 80, 20, 0])


class PoolMachine(RuleBasedStateMachine):
    """A pool beside a naive one."""

    two_ended = True
    order: EvictionOrder | None = None

    @initialize(
        block_size=st.sampled_from([1, 2, 4]),
        num_tokens=st.sampled_from([40, 80, 500]),
        first=st.lists(st.tuples(shared_spans, fresh_lengths), min_size=1, max_size=4),
    )
    def make(self, block_size: int, num_tokens: int, first: list[tuple[list[Span], int]]) -> None:
        num_blocks = num_tokens // block_size
        self.block_size = block_size
        order = self.order
        if order is None:
            self.pool = BlockPool(num_blocks, block_size, two_ended=self.two_ended)
        else:
            self.pool = OrderedPool(num_blocks, block_size, order.rank, order.sees_depth)
        self.naive = NaivePool(num_blocks, block_size, self.two_ended, order)
        self.num_opened = 0
        self.paths: list[Path] = []
        self.num_fresh = 0
        for spans, fresh in first:
            self.open(spans, fresh, "")

    # -- paths

    @rule(spans=shared_spans, fresh=fresh_lengths, adapter=st.sampled_from(["", "", "", "lora"]))
    def open(self, spans: list[Span], fresh: int, adapter: str) -> None:
        spans = [*spans, self._fresh(fresh)]
        self._add(self.pool.tree.insert(spans, adapter), (adapter, *spelled(spans)))

    @precondition(lambda self: self.paths)
    @rule(which=which_one, share=percent)
    def open_again(self, which: int, share: int) -> None:
        """The same content again, all of it or its beginning: token by token, from the root."""
        path = self._choose(self.paths, which)
        keep = path.num_tokens * share // 100
        tokens: Any = path.tokens[1 : 1 + keep]
        spans = [(name, offset, 1) for name, offset in tokens]
        self._add(self.pool.tree.insert(spans, str(path.tokens[0])), path.tokens[: 1 + keep])

    @precondition(lambda self: self.paths)
    @rule(
        which=which_one, share=percent, spans=shared_spans, fresh=fresh_lengths, first=st.booleans()
    )
    def extend(self, which: int, share: int, spans: list[Span], fresh: int, first: bool) -> None:
        """Go on from somewhere on a path, with content that is new or somewhere else already."""
        path = self._choose(self.paths, which)
        keep = path.num_tokens * share // 100
        spans = [self._fresh(fresh), *spans] if first else [*spans, self._fresh(fresh)]
        tokens = (*path.tokens[: 1 + keep], *spelled(spans))
        if len(tokens) <= LONGEST_PATH:
            self._add(self.pool.tree.extend(path.tip, keep, spans), tokens)

    @precondition(lambda self: any(not path.is_at_work for path in self.paths))
    @rule(which=which_one)
    def drop(self, which: int) -> None:
        path = self._choose([path for path in self.paths if not path.is_at_work], which)
        self.paths.remove(path)
        self.pool.tree.drop(path.tip)

    # -- sequences

    @precondition(lambda self: self.paths)
    @rule(which=which_one)
    def arrive(self, which: int) -> None:
        """From now on a sequence may grow along the path."""
        self._choose(self.paths, which).tip.owner = self

    @precondition(lambda self: self._idle())
    @rule(
        chosen=st.lists(st.tuples(which_one, percent, percent), min_size=1, max_size=4),
        lookahead=st.sampled_from([0, 0, 1, 3]),
    )
    def admit(self, chosen: list[tuple[int, int, int]], lookahead: int) -> None:
        """Hold what is found, take blocks for a chunk of the rest, cache what the chunk fills."""
        for which, chunk, soon in chosen:
            if idle := self._idle():
                self._admit(self._choose(idle, which), chunk, lookahead, soon)

    @precondition(lambda self: self._running())
    @rule(
        chosen=st.lists(st.tuples(which_one, st.integers(1, 12), percent), min_size=1, max_size=6)
    )
    def grow(self, chosen: list[tuple[int, int, int]]) -> None:
        """Compute some more tokens, and cache what they fill or some of it."""
        for which, tokens, soon in chosen:
            path = self._choose(self._running(), which)
            size = self.block_size
            end = min(path.num_tokens, path.table.cached * size + tokens)
            end = min(end, (path.table.held + self.pool.num_free) * size)
            self._take(path, max(0, -(-end // size) - path.table.held))
            self._cache(path, end // size, soon)

    @precondition(lambda self: self._running())
    @rule(chosen=st.lists(st.tuples(which_one, st.booleans()), min_size=1, max_size=3))
    def release(self, chosen: list[tuple[int, bool]]) -> None:
        for which, is_preempted in chosen:
            if running := self._running():
                path = self._choose(running, which)
                self.pool.release(path.table)
                self.naive.release(path.naive)
                if not is_preempted:
                    path.tip.owner = None

    @rule(num_cached=st.integers(0, 12))
    def run_through(self, num_cached: int) -> None:
        """Somebody without content takes the blank blocks and some others, and returns them."""
        num_blocks = min(self.pool.blank + num_cached, self.pool.num_free)
        naive = NaiveTable(())
        table = BlockTable(None)
        assert self.pool.take(num_blocks) == self.naive.take(naive, num_blocks)
        table.held = num_blocks
        self.pool.release(table)
        self.naive.release(naive)

    # -- what must agree

    @invariant()
    def agree(self) -> None:
        check_pool(self.pool, [path.table for path in self.paths])
        assert self.pool.num_free == len(self.naive.free)
        self._compare_hits()

    def teardown(self) -> None:
        """Evict everything that is free, block by block: the order is the same. Then end all: no
        content is left."""
        if not hasattr(self, "pool"):
            return
        table, naive = BlockTable(None), NaiveTable(())
        while self.naive.free:
            assert self.pool.take(1) == self.naive.take(naive, 1)
            table.held += 1
            self._compare_hits()
        check_pool(self.pool, [table, *(path.table for path in self.paths)])
        for path in self.paths:
            self.pool.release(path.table)
            self.pool.tree.drop(path.tip)
        self.pool.release(table)
        check_pool(self.pool, [])
        self.pool.take(self.pool.num_free)
        assert not any(node.parent for node in self.pool.tree.nodes())

    # -- how

    def _add(self, tip: Tip, tokens: Tokens) -> None:
        assert tip.length == len(tokens) - 1
        use = None
        if self.order is not None:
            number = self.num_opened
            use = BlockUse(f"s{number % 3}", f"c{number % 5}", ends_session=number % 4 == 0)
        self.num_opened += 1
        self.paths.append(Path(tip, tokens, BlockTable(tip, use), NaiveTable(tokens, use)))

    def _fresh(self, length: int) -> Span:
        self.num_fresh += 1
        return (f"new{self.num_fresh}", 0, length)

    def _choose(self, paths: list[Path], which: int) -> Path:
        return paths[which % len(paths)]

    def _idle(self) -> list[Path]:
        """Those whose sequence has no blocks, or that have none yet."""
        return [path for path in self.paths if not path.table.held]

    def _running(self) -> list[Path]:
        return [path for path in self.paths if path.table.held]

    def _admit(self, path: Path, chunk: int, lookahead: int, soon: int) -> None:
        size, limit = self.block_size, max(0, path.num_tokens - 1) // self.block_size
        found = self.naive.lookup(path.tokens, limit)
        num_free = self.naive.num_unused(found)
        assert self.pool.lookup(path.tip, limit) == (len(found), num_free)
        path.tip.owner = self
        start = len(found) * size
        end = start + (path.num_tokens - start) * chunk // 100
        end = min(end, start + (self.pool.num_free - num_free) * size)
        if found:
            self.pool.hold(path.table, len(found))
            self.naive.touch(path.naive, found)
        self._take(path, min(-(-(end + lookahead) // size) - len(found), self.pool.num_free))
        self._cache(path, end // size, soon)

    def _take(self, path: Path, num_blocks: int) -> None:
        assert self.pool.take(num_blocks) == self.naive.take(path.naive, num_blocks)
        path.table.held += num_blocks

    def _cache(self, path: Path, num_blocks: int, soon: int) -> None:
        """Cache up to `num_blocks`, or only a share of what is not yet, the rest later."""
        cached = path.table.cached
        num_blocks = cached + max(0, num_blocks - cached) * soon // 100
        self.pool.cache(path.table, num_blocks)
        self.naive.cache(path.naive, num_blocks)
        assert path.table.cached == path.naive.num_cached

    def _compare_hits(self) -> None:
        assert self.pool.num_cached == len(self.naive.cached)
        for path in self.paths:
            limit = path.num_tokens // self.block_size
            found = self.naive.lookup(path.tokens, limit)
            expected = len(found), self.naive.num_unused(found)
            assert self.pool.lookup(path.tip, limit) == expected


class OneEndedMachine(PoolMachine):
    """The same with freed blocks without content at the back of the queue."""

    two_ended = False


class ForeseeingMachine(PoolMachine):
    """The same with blocks evicted by their future."""

    order = ORDERS["belady"]


class ScrambledMachine(PoolMachine):
    """The same with any block evicted before any other."""

    order = ORDERS["scrambled"]


MACHINES = [PoolMachine, OneEndedMachine, ForeseeingMachine, ScrambledMachine]


@pytest.mark.parametrize("machine", MACHINES)
def test_extents_are_as_good_as_blocks(machine: type[PoolMachine]) -> None:
    """Hits, free and cached blocks and evictions agree with a pool of single blocks."""
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=100,
            stateful_step_count=50,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
        ),
    )


class Life:
    """A long random life of a machine: deeper than hypothesis goes, and not shrunk."""

    def __init__(self, machine: PoolMachine, seed: int) -> None:
        self.machine = machine
        self.draw = random.Random(seed)
        block_size = self.draw.choice([1, 2, 3, 4])
        machine.make(block_size, self.draw.choice([30, 60, 120]), [])

    def live(self, num_moves: int) -> None:
        """Make random moves, and compare after each."""
        moves = [self.open] * 3 + [self.admit] * 4 + [self.grow] * 6 + [self.release] * 3
        moves += [self.evict, self.drop]
        for _ in range(num_moves):
            self.draw.choice(moves)()
            if len(self.machine.paths) > 8:
                self.release()
                self.drop()
            self.machine.agree()
        self.machine.teardown()

    def open(self) -> None:
        machine, draw = self.machine, self.draw
        spans = [(draw.choice("ab"), 0, draw.choice([2, 4, 8])) for _ in range(draw.randint(0, 2))]
        fresh, share = draw.choice([0, 0, 4]), draw.choice([100, 100, 70, 50, 30, 0])
        kind = draw.random()
        if kind < 0.3 or not machine.paths:
            machine.open(spans, fresh, "")
        elif kind < 0.6:
            machine.open_again(self.any(), share)
        else:
            machine.extend(self.any(), share, spans, fresh, draw.random() < 0.5)

    def admit(self) -> None:
        if self.machine._idle():
            chunks = [(self.any(), self.draw.choice([0, 30, 60, 100]), self.draw.choice([0, 100]))]
            self.machine.admit(chunks, self.draw.choice([0, 0, 2]))

    def grow(self) -> None:
        if self.machine._running():
            chosen = [(self.any(), self.draw.randint(1, 8), self.draw.choice([0, 50, 100, 100]))]
            self.machine.grow(chosen)

    def release(self) -> None:
        if self.machine._running():
            self.machine.release([(self.any(), self.draw.random() < 0.3)])

    def evict(self) -> None:
        self.machine.run_through(self.draw.randint(0, 8))

    def drop(self) -> None:
        if any(not path.is_at_work for path in self.machine.paths):
            self.machine.drop(self.any())

    def any(self) -> int:
        return self.draw.randrange(1 << 16)


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("seed", range(12))
def test_extents_are_as_good_as_blocks_in_a_long_life(
    machine: type[PoolMachine], seed: int
) -> None:
    """The same over some thousand moves."""
    Life(machine(), seed).live(4000)


def test_of_two_copies_the_second_is_evicted_from_its_end() -> None:
    """One sequence fills its blocks before the other has entered the same ones in the cache; what
    both then leave is evicted under every order, block by block."""
    for order in ORDERS.values():
        machine: PoolMachine = type("Machine", (PoolMachine,), {"order": order})()
        machine.make(1, 40, [([("a", 0, 12)], 0)] * 2)
        machine.admit([(1, 100, 0), (1, 100, 80), (0, 100, 80)], 0)
        machine.grow([(1, 11, 100), (1, 8, 100)])
        machine.release([(1, True), (0, False), (1, True)])
        machine.run_through(11)
        machine.agree()
        machine.teardown()
