"""Rules of the engine that show in time: instants, asynchronous ends, limits, refusals."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from agentsim.domain.config import AgentsConfig, Config
from agentsim.domain.trace import Call, Session, Trace
from agentsim.engine.rules import Rules
from agentsim.engine.simulation import Simulation
from agentsim.errors import DoesNotFit
from engine.runs import LinearCost, Served, serve

COST = LinearCost(step=100, token=1)
ASYNC = Rules(async_scheduling=True)


def one(prompt: int, output: int, **more: Any) -> list[Session]:
    """One request at time 0."""
    return [Session("s", (Call("c", prompt, output, delay_ns=0, **more),))]


def beside(at_ns: int, prompt: int = 20) -> list[Session]:
    """A long answer from time 0, whose steps end at 110, 211, 312 ..., and a request at `at_ns`."""
    return [
        Session("first", (Call("c", 10, 9, delay_ns=0),)),
        Session("second", (Call("c", prompt, 1, delay_ns=0),), at_ns=at_ns),
    ]


@pytest.mark.parametrize(("at_ns", "scheduled_ns"), [(209, 211), (210, 211), (211, 211)])
def test_an_arrival_at_the_end_of_a_step_is_in_the_next(at_ns: int, scheduled_ns: int) -> None:
    """The step has ended, the next has not begun."""
    run = serve(beside(at_ns), cost=COST)
    assert run.request("second", "c")["scheduled_ns"] == scheduled_ns
    assert serve(beside(212), cost=COST).request("second", "c")["scheduled_ns"] == 312


@pytest.mark.parametrize(("at_ns", "scheduled_ns"), [(110, 211), (111, 312), (211, 312)])
def test_asynchronous_steps_are_decided_one_step_ahead(at_ns: int, scheduled_ns: int) -> None:
    """The step from 211 is decided at 110, the one from 312 at 211."""
    run = serve(beside(at_ns), ASYNC, COST)
    assert run.request("second", "c")["scheduled_ns"] == scheduled_ns


def test_an_end_that_is_foreseen_takes_no_step_more() -> None:
    """Synchronous or asynchronous: one step for the prompt and the first token, one for each."""
    for rules in (Rules(), ASYNC):
        for more in ({"finish": "length"}, {"max_tokens": 5}):
            run = serve(one(10, 5, **more), rules, COST)
            assert run.steps["num_tokens"].tolist() == [10, 1, 1, 1, 1]


def test_a_stop_token_costs_one_step_more_if_steps_are_decided_ahead() -> None:
    """The answer is not later for it; what arrives then is."""
    run = serve(one(10, 5), ASYNC, COST)
    assert run.steps["num_tokens"].tolist() == [10, 1, 1, 1, 1, 1]
    assert run.steps["new_tokens"].tolist() == [1, 1, 1, 1, 1, 0]
    assert run.request("s", "c")["finished_ns"] == 110 + 4 * 101
    assert serve(one(10, 5), Rules(), COST).steps["num_tokens"].tolist() == [10, 1, 1, 1, 1]


def test_an_answer_at_the_models_limit_is_cut() -> None:
    """Prompt and output together are at most `max_model_len`."""
    for rules in (Rules(max_model_len=32), replace(ASYNC, max_model_len=32)):
        request = serve(one(20, 50), rules, COST).request("s", "c")
        assert request["status"] == "cut"
        assert request["output_tokens"] == 12
        assert request["finished_ns"] == 120 + 11 * 101
        whole = serve(one(20, 12), rules, COST).request("s", "c")
        assert (whole["status"], whole["output_tokens"]) == ("finished", 12)


def refused(sessions: list[Session], rules: Rules) -> str:
    """The message of a refusal, after which nothing has run."""
    simulation = Simulation(Trace(sessions), Config(agents=AgentsConfig()), rules, COST)
    with pytest.raises(DoesNotFit) as refusal:
        simulation.run()
    assert not simulation.ledger.num_calls
    assert simulation.env.now_ns == 0
    return str(refusal.value)


def test_a_prompt_as_long_as_the_limit_is_refused() -> None:
    """It would leave no room for a token."""
    text = refused(one(32, 1), Rules(max_model_len=32))
    assert text.startswith("request s/c: a prompt of 32 tokens")
    assert "max_model_len 32" in text
    assert "\n" not in text


def test_a_request_that_can_never_fit_is_refused_with_the_arithmetic() -> None:
    """The last token needs no KV: 33 + 32 - 1 tokens fill 4 blocks of 16, one more does not fit."""
    rules = Rules(block_size=16, num_gpu_blocks=5)
    assert serve(one(33, 32), rules, COST).request("s", "c")["status"] == "finished"
    text = refused(one(33, 33), rules)
    assert "needs 5 blocks (33 prompt + 33 output tokens / 16) and the pool has 4" in text
    later = [*one(1, 1), Session("t", (Call("d", 40, 40),), at_ns=10**9)]
    assert "request t/d needs 5 blocks" in refused(later, rules)


def test_without_chunked_prefill_a_prompt_beyond_the_budget_is_refused() -> None:
    """It could never be computed in one step."""
    rules = Rules(enable_chunked_prefill=False, max_num_batched_tokens=64)
    assert serve(one(60, 5), rules, COST).steps["num_tokens"][0] == 60
    assert "max_num_batched_tokens is 64" in refused(one(65, 1), rules)


def test_a_prompt_beyond_the_budget_is_computed_in_chunks() -> None:
    """Each as large as the budget, the rest with the first token."""
    run = serve(one(50, 2), Rules(max_num_batched_tokens=16), COST)
    assert run.steps["num_tokens"].tolist() == [16, 16, 16, 2, 1]
    assert run.steps["new_tokens"].tolist() == [0, 0, 0, 1, 1]
    assert run.request("s", "c")["first_token_ns"] == 4 * 100 + 50


def test_the_long_prefill_cap_spares_who_is_alone_but_not_in_early_2025() -> None:
    """`long_prefill_token_threshold` of 16 for a prompt of 40."""
    rules = Rules(long_prefill_token_threshold=16)
    assert serve(one(40, 1), rules, COST).steps["num_tokens"].tolist() == [40]
    early = replace(rules, lone_prefill_exempt=False)
    assert serve(one(40, 1), early, COST).steps["num_tokens"].tolist() == [16, 16, 8]


def order_of(run: Served) -> list[str]:
    """Calls in the order of their first steps."""
    times = zip(run.requests["scheduled_ns"].tolist(), run.requests["call"].tolist(), strict=True)
    return [call for _, call in sorted(times)]


def test_the_smallest_priority_is_next() -> None:
    """A call's own, else its session's; equal ones in order of arrival."""
    calls = (
        Call("running", 10, 2, delay_ns=0, priority=9),
        Call("late", 10, 1, delay_ns=1, priority=5),
        Call("next", 10, 1, delay_ns=2, priority=-1),
        Call("plain", 10, 1, delay_ns=3),
        Call("later", 10, 1, delay_ns=4, priority=5),
    )
    sessions = [Session("s", calls, priority=3)]
    by_priority = serve(sessions, Rules(max_num_seqs=1, policy="priority"), COST)
    assert order_of(by_priority) == ["running", "next", "plain", "late", "later"]
    in_order = serve(sessions, Rules(max_num_seqs=1), COST)
    assert order_of(in_order) == ["running", "late", "next", "plain", "later"]


@pytest.mark.parametrize(("two_ended", "cached"), [(True, 8), (False, 4)])
def test_blocks_without_content_are_reused_first_if_the_queue_has_two_ends(
    two_ended: bool, cached: int
) -> None:
    """Two requests leave 3 blocks each, the third of them not full; a third request takes 2. With
    two ends it gets those two; with one end the oldest, one of them content of the first."""
    names = (("a", "again"), ("b", "other"), ("d", "taker"))
    spans = {name: ((name, 8),) for name, _ in names}
    calls = (
        Call("a", 8, 2, delay_ns=0, segments=spans["a"]),
        Call("b", 8, 2, delay_ns=0, segments=spans["b"], after=("a",)),
        Call("d", 8, 1, delay_ns=0, segments=spans["d"], after=("b",)),
        Call("again", 9, 1, delay_ns=0, segments=(*spans["a"], ("x", 1)), after=("d",)),
    )
    rules = Rules(block_size=4, num_gpu_blocks=7, two_ended_free_queue=two_ended)
    run = serve([Session("s", calls)], rules, COST)
    assert run.request("s", "again")["cached_tokens"] == cached
