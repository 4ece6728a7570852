"""Clients that give up: the server drops their requests before its next decision, and they go on a
nanosecond later."""

from __future__ import annotations

import pytest

from agentsim.domain.trace import Call, Session
from agentsim.engine.rules import Rules
from agentsim.errors import ConfigError
from agentsim.machine.system import build_system, read_config
from engine.runs import LinearCost, serve

COST = LinearCost()  # a step takes 100 ns and 1 ns a token


def test_a_call_that_decodes_is_dropped_after_the_step_in_flight() -> None:
    """Steps end at 120, 221, 322, 423 and 524 ns; the client gives up at 500."""
    sessions = [Session("s", (Call("c", 20, 12), Call("d", 30, 1, after=("c",), delay_ns=7)))]
    run = serve(sessions, Rules(), COST, timeout_s=500e-9)
    dropped, later = run.request("s", "c"), run.request("s", "d")
    assert (dropped["status"], dropped["output_tokens"]) == ("timeout", 5)
    assert (dropped["first_token_ns"], dropped["finished_ns"]) == (120, 525)
    assert later["status"] == "finished"
    assert later["submitted_ns"] == 525 + 7


@pytest.mark.parametrize("is_async", [False, True])
def test_what_is_in_flight_of_a_dropped_call_brings_nothing(is_async: bool) -> None:
    """With asynchronous scheduling one step more has been decided when the client gives up."""
    rules = Rules(async_scheduling=is_async)
    run = serve([Session("s", (Call("c", 20, 50),))], rules, COST, timeout_s=500e-9)
    assert run.request("s", "c")["output_tokens"] == run.steps["new_tokens"].sum()
    assert run.steps["end_ns"][-1] == (524 + 101 if is_async else 524)


def test_a_call_that_waits_is_dropped_from_the_queue() -> None:
    """One runs at a time: the second has had no step when its client gives up."""
    sessions = [Session("a", (Call("c", 20, 40),)), Session("b", (Call("c", 20, 2),))]
    run = serve(sessions, Rules(max_num_seqs=1), COST, timeout_s=3e-6)
    assert run.request("b", "c")["status"] == "timeout"
    assert run.request("b", "c")["scheduled_ns"] == -1
    assert run.request("a", "c")["status"] == "timeout"
    fast = serve(sessions, Rules(max_num_seqs=1), COST, timeout_s=1e-3)
    assert {fast.request(name, "c")["status"] for name in "ab"} == {"finished"}


def test_who_answers_in_time_is_not_touched() -> None:
    """The last token comes at 221 ns."""
    run = serve([Session("s", (Call("c", 20, 2),))], Rules(), COST, timeout_s=222e-9)
    assert run.request("s", "c")["status"] == "finished"


def test_static_batches_drop_nobody() -> None:
    config, _ = read_config(sets=["engine.kind=static", "agents.timeout_s=5"])
    with pytest.raises(ConfigError, match=r"agents\.timeout_s: engine\.kind static"):
        build_system(config)
