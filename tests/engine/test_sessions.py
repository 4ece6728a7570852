"""A session sends a call when the calls it waits for are answered and its wait is over."""

from __future__ import annotations

from agentsim.domain.trace import Call, Session
from agentsim.engine.rules import Rules
from engine.runs import LinearCost, serve

COST = LinearCost(step=100, token=1)


def alone_ns(prompt: int, output: int) -> int:
    """A request with the engine to itself: one step for the prompt, one for each token after."""
    return 100 + prompt + (output - 1) * 101


def test_a_chain_is_the_sum_of_its_waits_and_calls() -> None:
    """Each call waits for the one before it and then its own delay."""
    calls = (
        Call("a", 50, 3, delay_ns=7),
        Call("b", 20, 1, after=("a",), delay_ns=1000),
        Call("c", 10, 4, after=("b",), delay_ns=0),
    )
    run = serve([Session("s", calls, at_ns=40)], cost=COST)
    session = run.session("s")
    served = alone_ns(50, 3) + alone_ns(20, 1) + alone_ns(10, 4)
    assert session["started_ns"] == 40
    assert session["finished_ns"] == 40 + 7 + 1000 + served
    assert session["served_ns"] == served
    assert session["waited_ns"] == 1007
    assert session["num_calls"] == 3
    assert run.request("s", "b")["submitted_ns"] == 47 + alone_ns(50, 3) + 1000


def test_sub_agents_run_in_parallel_and_a_join_waits_for_the_last() -> None:
    """Two branches of one call share the steps; what joins them starts after the later."""
    calls = (
        Call("root", 10, 1, delay_ns=0),
        Call("short", 10, 1, after=("root",), delay_ns=0),
        Call("long", 10, 3, after=("root",), delay_ns=0),
        Call("join", 10, 1, after=("short", "long"), delay_ns=5),
    )
    run = serve([Session("s", calls)], cost=COST)
    fork = alone_ns(10, 1)
    both = fork + 100 + 20  # one step for both prompts
    assert run.request("s", "short")["finished_ns"] == both
    assert run.request("s", "long")["finished_ns"] == both + 2 * 101
    assert run.request("s", "join")["submitted_ns"] == both + 2 * 101 + 5
    session = run.session("s")
    assert session["waited_ns"] == 5
    assert session["served_ns"] == session["finished_ns"] - 5


def test_time_with_several_calls_at_the_server_counts_once() -> None:
    """Served is the union of the calls, waited the rest."""
    calls = (
        Call("a", 10, 10, delay_ns=0),
        Call("b", 10, 1, delay_ns=300),
        Call("later", 10, 1, delay_ns=50_000),
    )
    run = serve([Session("s", calls)], cost=COST)
    session = run.session("s")
    end_of_a = run.request("s", "a")["finished_ns"]
    assert run.request("s", "b")["finished_ns"] < end_of_a
    assert session["finished_ns"] == 50_000 + alone_ns(10, 1)
    assert session["served_ns"] == end_of_a + alone_ns(10, 1)
    assert session["waited_ns"] == 50_000 - end_of_a


def test_a_call_without_a_prompt_is_answered_at_once() -> None:
    """It takes no step; what waits for it goes on in the same instant."""
    calls = (
        Call("none", 0, 5, delay_ns=30),
        Call("next", 10, 1, after=("none",), delay_ns=0),
    )
    run = serve([Session("s", calls)], cost=COST)
    skipped = run.request("s", "none")
    assert skipped["status"] == "skipped"
    assert skipped["submitted_ns"] == skipped["finished_ns"] == 30
    assert (skipped["prompt_tokens"], skipped["output_tokens"]) == (0, 0)
    assert skipped["first_token_ns"] == -1
    assert run.request("s", "next")["submitted_ns"] == 30
    assert len(run.steps["step"]) == 1


def test_a_session_of_nothing_but_empty_calls_ends() -> None:
    """No server is needed for it."""
    calls = (Call("a", 0, 0, delay_ns=3), Call("b", 0, 0, after=("a",), delay_ns=4))
    run = serve([Session("s", calls)], cost=COST)
    assert run.session("s")["finished_ns"] == 7
    assert run.session("s")["served_ns"] == 0
    assert len(run.steps["step"]) == 0


def test_a_call_for_no_output_is_a_prefill() -> None:
    """It ends with the step that computes its prompt, without a token."""
    run = serve([Session("s", (Call("a", 64, 0, delay_ns=0),))], cost=COST)
    request = run.request("s", "a")
    assert request["finished_ns"] == 164
    assert request["first_token_ns"] == -1
    assert request["output_tokens"] == 0
    assert request["status"] == "finished"
    assert len(run.steps["step"]) == 1


def test_calls_of_one_instant_are_admitted_in_the_order_of_sessions_and_calls() -> None:
    """One runs at a time, so that the order shows; no matter which was sent first."""
    sessions = [
        Session("b", (Call("x", 10, 1, delay_ns=0),), at_ns=100),
        Session("a", (Call("y", 10, 1, delay_ns=50), Call("x", 10, 1, delay_ns=50)), at_ns=50),
        Session("c", (Call("x", 10, 1, delay_ns=100),)),
    ]
    run = serve(sessions, Rules(max_num_seqs=1), COST)
    assert set(run.requests["submitted_ns"].tolist()) == {100}
    order = sorted(
        zip(
            run.requests["scheduled_ns"].tolist(),
            run.requests["session"].tolist(),
            run.requests["call"].tolist(),
            strict=True,
        )
    )
    assert [(session, call) for _, session, call in order] == [
        ("c", "x"),  # started at 0
        ("a", "y"),  # at 50, in the order of the trace
        ("a", "x"),
        ("b", "x"),  # at 100
    ]


def test_the_order_within_an_instant_is_not_that_of_planning() -> None:
    """The call of the later session was planned first, for the same nanosecond."""
    early = (Call("a", 10, 1, delay_ns=0), Call("b", 10, 1, after=("a",), delay_ns=890))
    sessions = [
        Session("early", early),
        Session("late", (Call("c", 10, 1, delay_ns=995),), at_ns=5),
    ]
    run = serve(sessions, Rules(max_num_seqs=1), COST)
    assert run.request("early", "b")["submitted_ns"] == 1000
    assert run.request("late", "c")["submitted_ns"] == 1000
    assert run.request("early", "b")["scheduled_ns"] == 1000
    assert run.request("late", "c")["scheduled_ns"] == 1110
