"""What every policy of a kind must keep, ours or an outsider's, whatever the load."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from agentsim.domain.block_use import BlockUse
from agentsim.domain.trace import Session
from agentsim.engine.rules import Rules
from agentsim.policies.acceptance import Acceptance
from agentsim.policies.drafters import DRAFTERS, Drafted, Drafter
from agentsim.policies.evictions import make_eviction
from agentsim.policies.routers import make_router
from agentsim.policies.schedulers import make_policy
from agentsim.report.metrics import METRICS
from engine.loads import rules, sessions
from engine.runs import GridCost, serve
from properties.test_block_pool import Life, PoolMachine
from properties.test_exact_equals_fast import assert_equal
from report.runs import run, two_turns

COSTS = st.builds(GridCost, st.sampled_from([1, 10]), st.sampled_from([7, 64, 10**9]))


def serve_all(made: list[Session], rule: Rules, cost: GridCost, **options: Any) -> None:
    """Serve a load by every law at every step, twice, step by step and by default: all the same."""
    exact = serve(made, rule, cost, exact=True, **options)
    assert_equal(exact, serve(made, rule, cost, **options))
    assert_equal(exact, serve(made, rule, cost, exact=True, **options))


def check_scheduler(name: str) -> None:
    """Everybody is served; ranks tell all requests apart, and stay what they are."""

    @given(sessions(), rules(), COSTS)
    @settings(max_examples=40)
    def serves(made: list[Session], rule: Rules, cost: GridCost) -> None:
        serve_all(made, replace(rule, policy=name), cost)

    numbers = st.tuples(st.integers(0, 2), st.integers(1, 60))

    @given(st.lists(numbers, min_size=1, max_size=20))
    def ranks(wishes: list[tuple[int, int]]) -> None:
        policy = make_policy(name)
        requests = [Wish(arrival, *wish) for arrival, wish in enumerate(wishes)]
        found = [policy.rank(request) for request in requests]
        assert len(set(found)) == len(found)
        assert found == [policy.rank(request) for request in requests]
        assert policy.victim(dict.fromkeys(requests)) in requests

    serves()
    ranks()


class Wish:
    """A request as a scheduler sees it."""

    def __init__(self, arrival: int, priority: int, num_prompt: int) -> None:
        self.arrival = self.admission = arrival
        self.priority = priority
        self.num_prompt = num_prompt
        self.session = f"s{arrival % 3}"

    def prefix(self, num_tokens: int) -> str:
        return f"head:{min(num_tokens, self.num_prompt)}"


def check_router(name: str) -> None:
    """Everybody goes to a replica there is, and to the same one in the same run."""

    @given(sessions(), rules(), COSTS, st.integers(2, 4))
    @settings(max_examples=40)
    def serves(made: list[Session], rule: Rules, cost: GridCost, replicas: int) -> None:
        serve_all(made, rule, cost, routing=name, replicas=replicas)

    @given(st.lists(st.lists(st.integers(0, 9), min_size=3, max_size=3), min_size=1))
    def chooses(loads: list[list[int]]) -> None:
        one, other = make_router(name, 3, 0), make_router(name, 3, 0)
        for number, load in enumerate(loads):
            chosen = one.choose(Wish(number, 0, 30), tuple(load))
            assert chosen in range(3)
            assert chosen == other.choose(Wish(number, 0, 30), tuple(load))

    serves()
    chooses()


def check_eviction(name: str) -> None:
    """The pool evicts as one of single blocks would; skipping steps changes nothing; the answer
    depends on the use and the depth alone."""
    order = make_eviction(name)
    machine: type[PoolMachine] = type("OrderedMachine", (PoolMachine,), {"order": order})
    for seed in range(2):
        Life(machine(), seed).live(800)

    @given(sessions(), rules(), COSTS)
    @settings(max_examples=40)
    def serves(made: list[Session], rule: Rules, cost: GridCost) -> None:
        rule = replace(rule, enable_prefix_caching=True, eviction=name)
        serve_all(made, rule, cost)

    uses = st.builds(
        BlockUse,
        st.sampled_from(["s0", "s1"]),
        st.sampled_from(["c0", "c1"]),
        st.booleans(),
        st.integers(0, 3),
        st.booleans(),
        st.integers(1, 9),
    )

    @given(st.lists(st.tuples(uses, st.integers(1, 10**6)), min_size=1))
    def ranks(known: list[tuple[BlockUse, int]]) -> None:
        found = [order.rank(*each) for each in known]
        assert found == [make_eviction(name).rank(*each) for each in known]
        sorted(found)

    serves()
    ranks()


def check_drafter(name: str) -> None:
    """No more is accepted than was drafted, and the same again."""
    numbers = st.fixed_dictionaries(
        {
            "rate": st.floats(0, 1),
            "rates": st.just((0.9, 0.6, 0.3, 0.0)),
            "spread": st.floats(0, 0.5),
            "proposal": st.floats(0, 1),
        }
    )

    def drafter(numbers: dict[str, Any]) -> Drafter:
        drafted = Drafted(4, 0, "s/c", {"ngram_acceptance": 0.4})
        return DRAFTERS[name](Acceptance(model=name, method="ngram", **numbers), drafted)

    @given(numbers, st.integers(0, 4), st.integers(0, 50))
    def accepts(numbers: dict[str, Any], num_drafts: int, position: int) -> None:
        first, again = drafter(numbers), drafter(numbers)
        assert first.propose() in (0, 4)
        again.propose()
        assert 0 <= first.accept(num_drafts, position) <= num_drafts
        assert first.accept(num_drafts, position) == again.accept(num_drafts, position)

    accepts()


def check_metric(name: str) -> None:
    """It says what it is, has values of a run, the same again, and none of a run without calls."""
    metric = METRICS[name]
    assert (metric.name, metric.better in ("lower", "higher")) == (name, True)
    assert metric.unit and metric.meaning
    made = two_turns()
    sample = metric.sample(made)
    assert sample.count >= 1
    assert len(sample.values) == len(sample.weights)
    assert np.isfinite(sample.values).all()
    assert sample.mean() == metric.sample(made).mean()
    assert metric.sample(run([], [], [])).mean() in (None, 0.0)
