"""Laws of accounting that every run keeps, whatever the load and the settings.

What was asked is what was computed, delivered and timed: tokens, blocks, preemptions, gaps.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from agentsim.domain.trace import Call, Session
from agentsim.engine.rules import Rules
from agentsim.machine.laws import check_pool
from engine.loads import MAX_MODEL_LEN, rules, sessions
from engine.runs import GridCost, Served, serve

costs = st.builds(GridCost, st.sampled_from([1, 10]), st.sampled_from([7, 64, 10**9]))

#: what draws no drafts and reserves nothing for them
PLAIN = {"num_speculative_tokens": 0, "num_lookahead_tokens": 0, "drop_last_hit": False}


def answered(run: Served) -> dict[str, Any]:
    """The columns of the requests that had a prompt."""
    asked = run.requests["prompt_tokens"] > 0
    columns = {name: column[asked] for name, column in run.requests.items()}
    # a request for no output samples one token, which nobody gets
    columns["sampled"] = np.maximum(1, columns["output_tokens"])
    return columns


def load(*calls: tuple[int, int, int, int]) -> list[Session]:
    """Sessions of one call each with nothing in common: prompt, output, priority, time."""
    return [
        Session(id=f"s{i}", calls=(Call("c", prompt, output, priority=priority, delay_ns=time),))
        for i, (prompt, output, priority, time) in enumerate(calls)
    ]


@given(sessions(), rules(), costs)
@settings(max_examples=100)
def test_every_sampled_token_is_delivered_by_one_step(
    made: list[Session], rule: Rules, cost: GridCost
) -> None:
    """The steps' new tokens are the requests' outputs, and one for each request for none."""
    run = serve(made, rule, cost, acceptance=0.4)
    assert run.steps["new_tokens"].sum() == answered(run)["sampled"].sum()
    cut = run.requests["status"] == "cut"
    calls = {(s.id, c.id): c for s in made for c in s.calls}
    for i, key in enumerate(zip(run.requests["session"], run.requests["call"], strict=True)):
        prompt, output = calls[key].input_tokens, calls[key].output_tokens
        assert run.requests["prompt_tokens"][i] == prompt
        if prompt:
            assert cut[i] == (prompt + output > MAX_MODEL_LEN)
            assert run.requests["output_tokens"][i] == min(output, MAX_MODEL_LEN - prompt)


@given(sessions(), rules(), costs)
@settings(max_examples=100)
def test_gaps_between_tokens_add_up_to_the_time_of_decoding(
    made: list[Session], rule: Rules, cost: GridCost
) -> None:
    """One gap for each token but the first; together, last token less first token."""
    run = serve(made, rule, cost, acceptance=0.4)
    asked = answered(run)
    several = asked["output_tokens"] > 1
    decoding = (asked["finished_ns"] - asked["first_token_ns"])[several].sum()
    assert run.gaps["weight"].sum() == (asked["sampled"] - 1).sum()
    assert (run.gaps["ns"] * run.gaps["weight"]).sum() == decoding


def tight(num_gpu_blocks: int, budget: int = 4, cap: int = 0, **more: Any) -> Rules:
    """Few blocks of one token, nothing shared, prompts admitted by the chunk, by priority."""
    return Rules(
        block_size=1,
        num_gpu_blocks=num_gpu_blocks,
        max_model_len=MAX_MODEL_LEN,
        max_num_batched_tokens=budget,
        long_prefill_token_threshold=cap,
        enable_prefix_caching=False,
        scheduler_reserve_full_isl=False,
        policy="priority",
        **more,
    )


#: the least urgent was admitted first and gives up its own blocks: a decision without any token
EMPTY_STEP = {
    "made": load((2, 3, 0, 2), (1, 5, 2, 0)),
    "rule": tight(7, budget=2),
    "cost": GridCost(1, 7),
}
#: the same while its last token is in flight, so that it ends in the queue
LAST_STEP = {
    "made": load((11, 2, 2, 0), (3, 2, 0, 1), (1, 2, 0, 6)),
    "rule": tight(15, cap=2, async_scheduling=True),
    "cost": GridCost(1, 7),
}
#: a victim had its chunk of tokens in this very step, all of them to be computed again
TAKEN_BACK = {
    "made": load((8, 4, 2, 0), (4, 3, 0, 5), (1, 3, 0, 2)),
    "rule": tight(13, cap=1),
    "cost": GridCost(1, 7),
}
#: the same: what is counted again is more than the step computes
MORE_THAN_COMPUTED = {
    "made": load((5, 7, 2, 0), (4, 4, 0, 11), (3, 8, 0, 2)),
    "rule": tight(13, budget=512, cap=2),
    "cost": GridCost(1, 7),
}


@given(made=sessions(), rule=rules(), cost=costs)
@example(**EMPTY_STEP)
@example(**LAST_STEP)
@example(**MORE_THAN_COMPUTED)
@settings(max_examples=150)
def test_steps_and_requests_count_the_same_losses(
    made: list[Session], rule: Rules, cost: GridCost
) -> None:
    """Preemptions and tokens computed again are the same, added up over steps or requests."""
    run = serve(made, rule, cost, acceptance=0.4)
    assert run.steps["preempted"].sum() == run.requests["preemptions"].sum()
    assert run.steps["recomputed_tokens"].sum() == run.requests["recomputed_tokens"].sum()
    assert (run.steps["recomputed_tokens"] <= run.steps["num_tokens"]).all()
    assert (run.requests["accepted_tokens"] <= run.requests["drafted_tokens"]).all()
    lost = run.requests["preemptions"] > 0
    assert not run.requests["recomputed_tokens"][~lost].any()
    assert not run.requests["recovering_ns"][~lost].any()
    # asynchronous: a token in flight may end it, so that it never recovers
    assert rule.async_scheduling or (run.requests["recovering_ns"][lost] > 0).all()
    served_ns = run.requests["finished_ns"] - run.requests["scheduled_ns"]
    assert (run.requests["recovering_ns"] <= served_ns).all()


@given(made=sessions(), rule=rules().map(lambda rule: replace(rule, **PLAIN)), cost=costs)
@example(**TAKEN_BACK)
@settings(max_examples=150)
def test_tokens_computed_are_those_asked_for_less_those_cached(
    made: list[Session], rule: Rules, cost: GridCost
) -> None:
    """Prompt less cached, and every output token but the last is computed once; what a preemption
    lost once more, but for what other requests have cached meanwhile. Asynchronous scheduling
    computes one token too many for each end it does not foresee."""
    run = serve(made, rule, cost)
    asked = answered(run)
    needed = (asked["prompt_tokens"] - asked["cached_tokens"] + asked["sampled"] - 1).sum()
    needed += asked["recomputed_tokens"].sum()
    computed = run.steps["num_tokens"].sum()
    if not rule.async_scheduling:
        assert computed <= needed
        if not (rule.enable_prefix_caching and asked["preemptions"].any()):
            assert computed == needed
    elif not asked["preemptions"].any():
        calls = {(s.id, c.id): c for s in made for c in s.calls}
        keys = zip(asked["session"], asked["call"], strict=True)
        foreseen = [
            calls[key].finish == "length"
            or calls[key].input_tokens + max(1, calls[key].output_tokens) >= MAX_MODEL_LEN
            for key in keys
        ]
        assert computed == needed + len(foreseen) - sum(foreseen)


@given(sessions(), rules(), costs)
@settings(max_examples=100)
def test_prefill_tokens_are_the_prompts_less_what_was_cached(
    made: list[Session], rule: Rules, cost: GridCost
) -> None:
    """With room for every prompt in one step: a prompt that lacks one token only is no prefill."""
    roomy = {
        "max_num_batched_tokens": 4096,
        "long_prefill_token_threshold": 0,
        "num_gpu_blocks": 4096,
        "enable_chunked_prefill": True,
    }
    run = serve(made, replace(rule, **PLAIN, **roomy), cost)
    asked = answered(run)
    lacking = asked["prompt_tokens"] - asked["cached_tokens"]
    assert run.steps["prefill_tokens"].sum() == lacking[lacking > 1].sum()
    assert (lacking > 0).all()


@given(sessions(), rules(), costs, st.sampled_from([None, 40]))
@settings(max_examples=100)
def test_no_step_goes_beyond_its_limits(
    made: list[Session], rule: Rules, cost: GridCost, window: int | None
) -> None:
    """Budget, sequences and blocks of every step; the columns fit together."""
    steps = serve(made, rule, cost, window=window, acceptance=0.4).steps
    assert (steps["num_tokens"] <= rule.max_num_batched_tokens).all()
    assert (steps["num_tokens"] >= steps["num_seqs"]).all()
    assert (steps["num_seqs"] <= steps["running"]).all()
    assert (steps["running"] <= rule.max_active).all()
    assert (steps["used_blocks"] <= rule.usable_blocks).all()
    assert (steps["prefill_tokens"] <= steps["num_tokens"]).all()
    assert (steps["window_pairs"] <= steps["prefill_pairs"]).all()
    assert (steps["window_decode_context"] <= steps["decode_context"]).all()
    assert (steps["evicted_blocks"] <= rule.usable_blocks).all()
    if window is None:
        assert (steps["window_pairs"] == steps["prefill_pairs"]).all()
        assert (steps["window_decode_context"] == steps["decode_context"]).all()


@given(sessions(), rules(), costs)
@settings(max_examples=100)
def test_nothing_happens_before_its_cause(made: list[Session], rule: Rules, cost: GridCost) -> None:
    """Submitted, scheduled, first token, last token; one step after the other."""
    run = serve(made, rule, cost, acceptance=0.4)
    asked, steps = answered(run), run.steps
    assert (asked["submitted_ns"] <= asked["scheduled_ns"]).all()
    assert (asked["scheduled_ns"] < asked["finished_ns"]).all()
    tokens = asked["output_tokens"] > 0
    assert (asked["scheduled_ns"] < asked["first_token_ns"])[tokens].all()
    assert (asked["first_token_ns"] <= asked["finished_ns"])[tokens].all()
    assert (asked["first_token_ns"][~tokens] == -1).all()
    assert (steps["start_ns"] < steps["end_ns"]).all()
    assert (steps["end_ns"][:-1] <= steps["start_ns"][1:]).all()
    assert steps["step"].tolist() == list(range(len(steps["step"])))
    ends = set(steps["end_ns"].tolist())
    assert ends >= set(asked["finished_ns"].tolist()) | set(asked["first_token_ns"][tokens])
    assert set(steps["start_ns"].tolist()) >= set(asked["scheduled_ns"].tolist())
    done = {}
    for i, key in enumerate(zip(run.requests["session"], run.requests["call"], strict=True)):
        done[key] = run.requests["finished_ns"][i]
    for i, key in enumerate(zip(run.requests["session"], run.requests["call"], strict=True)):
        call = next(c for s in made if s.id == key[0] for c in s.calls if c.id == key[1])
        waits_for = [done[key[0], name] for name in call.after]
        assert not waits_for or run.requests["submitted_ns"][i] == max(waits_for) + call.delay_ns


@given(sessions(), rules(), costs)
@settings(max_examples=100)
def test_at_the_end_every_block_is_free(made: list[Session], rule: Rules, cost: GridCost) -> None:
    """No table, no owner and no path is left over."""
    batcher = serve(made, rule, cost, acceptance=0.4).simulation.servers[0].batcher
    pool = batcher.pool
    assert pool.num_free == rule.usable_blocks
    assert not batcher.has_unfinished
    assert not batcher.in_flight
    check_pool(pool, [])
    assert not any(node.tips for node in pool.tree.nodes())
    pool.take(pool.num_free)
    assert pool.num_cached == 0
    assert not any(node.parent for node in pool.tree.nodes())
