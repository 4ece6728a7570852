"""Ways to run the engine that must agree: the same columns, bit for bit.

Many equal steps at once or each by itself; decodes as a group or one by one.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from agentsim.domain.trace import Call, Session
from agentsim.engine.clock import Clock
from agentsim.engine.rules import Rules
from agentsim.machine.api_server import NO_SERVER, ApiServer
from engine.loads import MAX_MODEL_LEN, rules, sessions
from engine.runs import GridCost, Served, serve
from properties.orders import ORDERS

MORE = {
    "made": sessions(),
    "rule": rules(),
    "cost": st.builds(GridCost, st.sampled_from([1, 10]), st.sampled_from([7, 64, 10**9])),
    "window": st.sampled_from([None, 40, 90]),
    "num_agents": st.sampled_from([None, None, 1, 2]),
    "timeout_s": st.sampled_from([None, None, 40e-9, 300e-9]),
    "replicas": st.sampled_from([1, 1, 2, 3]),
    "routing": st.sampled_from(["round-robin", "random", "least-load", "prefix-hash"]),
    "api": st.sampled_from([NO_SERVER, NO_SERVER, ApiServer(10, 0.0, 0), ApiServer(7, 0.1, 3)]),
    "eviction": st.sampled_from([None, None, None, *ORDERS.values()]),
}


#: asynchronous, blocks of one token, 9 of them: a request that has just come back from a preemption
#: joins the group, which is dissolved before its token is there
JUST_BACK = {
    "made": [
        Session(id=f"s{i}", calls=(Call(f"c{i}", prompt, output, delay_ns=0),))
        for i, (prompt, output) in enumerate([(1, 6), (1, 2), (3, 4)])
    ],
    "rule": Rules(
        block_size=1,
        num_gpu_blocks=10,
        max_model_len=MAX_MODEL_LEN,
        scheduler_reserve_full_isl=False,
        async_scheduling=True,
    ),
    "cost": GridCost(1, 7),
    "window": None,
    "num_agents": None,
    "timeout_s": None,
    "replicas": 1,
    "routing": "round-robin",
    "api": NO_SERVER,
    "eviction": None,
}


#: the head of the queue does not fit; a request behind it lowers the adaptive cap of a chunk, and
#: it fits
CAP_FALLS = {
    "made": [
        Session(id=name, calls=(Call("c", prompt, output, delay_ns=0),), at_ns=at_ns)
        for name, prompt, output, at_ns in [("a", 80, 40, 0), ("b", 40, 2, 17), ("c", 5, 2, 20)]
    ],
    "rule": Rules(
        block_size=1,
        num_gpu_blocks=121,
        max_model_len=MAX_MODEL_LEN,
        max_num_batched_tokens=64,
        long_prefill_token_threshold=5,
        adaptive_long_prefill_threshold=True,
        scheduler_reserve_full_isl=False,
    ),
    "cost": GridCost(1, 10**9),
    "window": None,
    "num_agents": None,
    "timeout_s": None,
    "replicas": 1,
    "routing": "round-robin",
    "api": NO_SERVER,
    "eviction": None,
}


#: a prompt holds the output of a call that still decodes, is admitted before it, and fills the same
#: block in the same step: whose copy is found later depends on who comes first
SAME_BLOCK = {
    "made": [
        Session(
            id="s",
            calls=(
                Call("c0", 98, 3, delay_ns=1, segments=(("sys", 1), ("sys", 37), ("sys", 60))),
                Call("c1", 100, 3, delay_ns=0, extends="c0", keep=100),
            ),
            at_ns=1,
        ),
        Session(id="t", calls=(Call("c", 46, 6, delay_ns=0),)),
    ],
    "rule": Rules(
        block_size=3,
        num_gpu_blocks=50,
        max_num_seqs=4,
        max_num_batched_tokens=16,
        max_model_len=MAX_MODEL_LEN,
        long_prefill_token_threshold=5,
        scheduler_reserve_full_isl=False,
        lone_prefill_exempt=False,
    ),
    "cost": GridCost(1, 7),
    "window": None,
    "num_agents": None,
    "timeout_s": None,
    "replicas": 1,
    "routing": "round-robin",
    "api": NO_SERVER,
    "eviction": None,
}


def assert_equal(one: Served, other: Served) -> None:
    """Every column of requests, steps, sessions and token gaps agrees."""
    theirs = other.tables()
    for table, columns in one.tables().items():
        for name, column in columns.items():
            assert column == theirs[table][name], f"{table}.{name}"


def served(
    made: list[Session], rule: Rules, cost: GridCost, **options: Any
) -> Callable[..., Served]:
    """The run of a load."""
    return lambda **more: serve(made, rule, cost, acceptance=0.4, **options, **more)


@example(longest=1 << 14, is_blind=True, **CAP_FALLS)
@given(longest=st.sampled_from([1, 3, 1 << 14]), is_blind=st.booleans(), **MORE)
@settings(max_examples=400)
def test_strides_of_any_length_change_nothing(
    made: list[Session],
    rule: Rules,
    cost: GridCost,
    longest: int,
    is_blind: bool,
    **options: Any,
) -> None:
    """Steps decided by themselves, a few at a time, or as many at once as are alike; with and
    without a look at the next event, so that strides are too long and cut."""
    run = served(made, rule, cost, **options)
    exact = run(exact=True)

    def prepare(server: Any) -> None:
        server.max_stride = longest

    with pytest.MonkeyPatch.context() as patch:
        if is_blind:  # as if nobody ever came: strides must then be cut
            patch.setattr(Clock, "next_ns", math.inf)
        fast = run(prepare=prepare)
    assert_equal(exact, fast)


@given(**MORE)
@example(**SAME_BLOCK)
@example(**JUST_BACK)
@settings(max_examples=150)
def test_decoding_as_a_group_or_one_by_one_is_the_same(
    made: list[Session], rule: Rules, cost: GridCost, **options: Any
) -> None:
    """A batcher that lets nobody join the decode group takes the same decisions."""
    run = served(made, rule, cost, **options)

    def keep_apart(server: Any) -> None:
        server.batcher.may_group = False

    assert_equal(run(), run(exact=True, prepare=keep_apart))
