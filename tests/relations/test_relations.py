"""Change the input, know how the output must change."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from agentsim.domain.batch import BatchShape
from agentsim.domain.trace import Session
from agentsim.engine.rules import Rules
from engine.loads import sessions
from engine.runs import GridCost, IntArray, serve

COST = GridCost(7, 64)
TIMES = ("submitted_ns", "scheduled_ns", "first_token_ns", "finished_ns")


def rules(**more: Any) -> Rules:
    return Rules(
        max_model_len=512, num_gpu_blocks=4000, block_size=4, max_num_batched_tokens=64, **more
    )


@given(sessions(), st.integers(1, 10**9))
@settings(max_examples=40)
def test_all_starts_shifted_shift_every_time(made: list[Session], shift: int) -> None:
    """And nothing else."""
    later = [msgspec.structs.replace(s, at_ns=s.at_ns + shift) for s in made]
    first, second = serve(made, rules(), COST), serve(later, rules(), COST)
    for name in TIMES:
        moved = np.where(first.requests[name] >= 0, first.requests[name] + shift, -1)
        assert second.requests[name].tolist() == moved.tolist()
    assert second.requests["cached_tokens"].tolist() == first.requests["cached_tokens"].tolist()


@given(sessions())
@settings(max_examples=40)
def test_sessions_renamed_in_the_same_order_change_nothing(made: list[Session]) -> None:
    """Names are names."""
    renamed = [msgspec.structs.replace(s, id=f"x{s.id}") for s in made]
    first, second = serve(made, rules(), COST).tables(), serve(renamed, rules(), COST).tables()
    for table in first:
        for name in first[table]:
            if name != "session":
                assert first[table][name] == second[table][name]


class Twice:
    """A machine that takes twice as long for everything."""

    def step_ns(self, shape: BatchShape) -> int:
        return 2 * COST.step_ns(shape)

    def decode_steps_ns(self, shape: BatchShape, num_steps: int, window_growth: int) -> IntArray:
        return 2 * COST.decode_steps_ns(shape, num_steps, window_growth)


@given(sessions())
@settings(max_examples=40)
def test_a_machine_half_as_fast_takes_twice_as_long(made: list[Session]) -> None:
    """With waits twice as long, every time is doubled."""
    slow = [
        msgspec.structs.replace(
            s,
            at_ns=2 * s.at_ns,
            calls=tuple(
                msgspec.structs.replace(c, delay_ns=2 * (c.delay_ns or 0)) for c in s.calls
            ),
        )
        for s in made
    ]
    first, second = serve(made, rules(), COST), serve(slow, rules(), Twice())
    for name in TIMES:
        twice = np.where(first.requests[name] >= 0, 2 * first.requests[name], -1)
        assert second.requests[name].tolist() == twice.tolist()


@given(sessions(), st.integers(0, 400))
@settings(max_examples=40)
def test_more_blocks_never_lower_the_hits_of_one_agent_at_a_time(
    made: list[Session], more: int
) -> None:
    """What a smaller cache still holds, a larger one holds too."""
    hits = []
    for num_gpu_blocks in (200, 200 + more):
        rule = replace(rules(max_num_seqs=1), num_gpu_blocks=num_gpu_blocks)
        run = serve(made, rule, COST, num_agents=1)
        hits.append(int(run.requests["cached_tokens"].sum()))
    assert hits[0] <= hits[1]


@given(sessions())
@settings(max_examples=40)
def test_without_shared_content_the_prefix_cache_changes_no_time(made: list[Session]) -> None:
    """Every prompt new: cache on or off, the same."""
    new = [
        msgspec.structs.replace(
            s,
            calls=tuple(
                msgspec.structs.replace(c, segments=None, extends=None, keep=0, blocks=None)
                for c in s.calls
            ),
        )
        for s in made
    ]
    runs = [serve(new, rules(enable_prefix_caching=on), COST) for on in (True, False)]
    for name in TIMES:
        assert runs[0].requests[name].tolist() == runs[1].requests[name].tolist()


@given(sessions())
@settings(max_examples=40)
def test_a_session_after_all_others_changes_nothing_before(made: list[Session]) -> None:
    """It overlaps none of them, so all their rows stay."""
    first = serve(made, rules(), COST)
    end = int(first.sessions["finished_ns"].max()) + 10**6
    late = msgspec.structs.replace(made[0], id="zz", at_ns=end)
    second = serve([*made, late], rules(), COST)
    mine = second.requests["session"] != "zz"
    for name in TIMES:
        assert second.requests[name][mine].tolist() == first.requests[name].tolist()
