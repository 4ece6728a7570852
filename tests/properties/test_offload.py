"""KV offloading: the host tier against a naive one, and runs of any load."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from agentsim.domain.trace import Session
from agentsim.engine.rules import Rules
from agentsim.machine.host_memory import HostMemory
from agentsim.machine.host_tier import Found, HostTier
from engine.loads import rules, sessions
from engine.runs import GridCost, serve
from properties.orders import ORDERS
from properties.test_exact_equals_fast import assert_equal

KEYS = st.lists(st.integers(0, 9), min_size=1, max_size=6, unique=True)


class NaiveTier:
    """A list of blocks, the least recently used first, with who reads or writes them."""

    def __init__(self, num_blocks: int) -> None:
        self.num_blocks = num_blocks
        self.blocks: list[int] = []
        self.holders: dict[int, int] = {}

    def begin_store(self, keys: list[int], protected: list[int]) -> bool:
        """As `HostTier.begin_store`."""
        idle = [k for k in self.blocks if not self.holders[k] and k not in protected]
        short = max(0, len(self.blocks) + len(keys) - self.num_blocks)
        if short > len(idle):
            return False
        for key in idle[:short]:
            self.blocks.remove(key)
        self.blocks += keys
        self.holders |= dict.fromkeys(keys, -1)
        return True

    def touch(self, keys: list[int]) -> None:
        """As `HostTier.touch`."""
        for key in keys:
            if key in self.blocks:
                self.blocks.remove(key)
                self.blocks.append(key)

    def find(self, keys: list[int]) -> Found:
        """As `HostTier.find`."""
        num = next((i for i, key in enumerate(keys) if key not in self.blocks), len(keys))
        return Found(num, any(self.holders[key] < 0 for key in keys[:num]))


@given(
    num_blocks=st.integers(1, 8),
    deeds=st.lists(
        st.tuples(st.sampled_from(["store", "load", "touch", "end"]), KEYS), max_size=60
    ),
)
@settings(max_examples=300)
def test_the_tier_is_a_list_of_blocks(num_blocks: int, deeds: list[tuple[str, list[int]]]) -> None:
    """Whatever is stored, loaded and touched, the same blocks are there, in the same state."""
    tier, naive = HostTier(num_blocks), NaiveTier(num_blocks)
    under_way: list[tuple[str, list[int]]] = []
    for deed, keys in deeds:
        if deed == "store":
            missing = [key for key in keys if key not in tier]
            is_made = tier.begin_store(missing, keys)
            assert is_made == naive.begin_store(missing, keys)
            under_way += [("store", missing)] * is_made
        elif deed == "load":
            found = tier.find(keys, 0, len(keys))
            if not found.is_pending:
                under_way.append(("load", keys[: found.num_blocks]))
                tier.begin_load(under_way[-1][1])
                for key in under_way[-1][1]:
                    naive.holders[key] += 1
        elif deed == "touch":
            tier.touch(keys)
            naive.touch(keys)
        elif under_way:
            what, which = under_way.pop(0)
            (tier.end_store if what == "store" else tier.end_load)(which)
            for key in which:
                naive.holders[key] += 1 if what == "store" else -1
        tier.check()
        assert {key for key in range(10) if key in tier} == set(naive.blocks)
        assert tier.find(keys, 0, len(keys)) == naive.find(keys)


@given(
    made=sessions(),
    rule=rules(),
    cost=st.builds(GridCost, st.sampled_from([1, 10]), st.sampled_from([7, 64, 10**9])),
    host=st.builds(
        HostMemory, st.sampled_from([1, 5, 40, 400]), st.sampled_from([0.3, 1.0, 20.0, 300.0])
    ),
    timeout_s=st.sampled_from([None, None, 40e-9, 300e-9]),
    num_agents=st.sampled_from([None, None, 1, 2]),
    replicas=st.sampled_from([1, 1, 2]),
    eviction=st.sampled_from([None, None, *ORDERS.values()]),
)
@settings(max_examples=150)
def test_every_load_is_served_by_the_laws(
    made: list[Session], rule: Rules, cost: GridCost, **options: Any
) -> None:
    """Every law holds after every decision, and step by step is as good as by default."""
    rule = replace(
        rule,
        enable_prefix_caching=True,
        num_speculative_tokens=0,
        num_lookahead_tokens=0,
        drop_last_hit=False,
    )
    exact = serve(made, rule, cost, exact=True, **options)
    assert_equal(exact, serve(made, rule, cost, **options))
    prompts, cached = exact.requests["prompt_tokens"], exact.requests["cached_tokens"]
    assert all(0 <= hit < max(1, prompt) for hit, prompt in zip(cached, prompts, strict=True))
    assert exact.simulation.offloaded()["hit_tokens"] <= cached.sum()
