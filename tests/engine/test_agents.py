"""So many agents at a time: each takes the next session when its last has ended."""

from __future__ import annotations

import pytest

from agentsim.domain.trace import Call, Session
from engine.runs import LinearCost, serve

COST = LinearCost(step=100, token=1)


def session(name: str, *, at_ns: int = 0) -> Session:
    """Two calls on a shared system prompt, with private and own text, and the answer sent back."""
    first = Call("a", 36, 8, delay_ns=10, segments=(("sys", 16), ("~mine", 20)))
    history = (("sys", 16), ("~mine", 20), ("out:a", 8))
    second = Call("b", 44, 1, after=("a",), delay_ns=10, segments=history)
    return Session(name, (first, second), at_ns=at_ns)


def test_one_agent_runs_session_after_session() -> None:
    """The next begins when the last one has ended, whatever its start in the trace."""
    run = serve([session("a"), session("b", at_ns=5)], cost=COST, num_agents=1)
    first, second = run.session("a"), run.session("b")
    assert first["started_ns"] == 0
    assert second["started_ns"] == first["finished_ns"]
    assert first["slot"] == second["slot"] == 0


def test_without_a_number_of_agents_sessions_start_as_recorded() -> None:
    """Each has an agent of its own."""
    run = serve([session("a"), session("b", at_ns=70)], cost=COST)
    assert run.session("a")["started_ns"] == 0
    assert run.session("b")["started_ns"] == 70
    assert run.sessions["slot"].tolist() == [0, 1]


def test_more_agents_than_sessions_run_them_again_under_other_names() -> None:
    """Five agents and two sessions: three of the one, two of the other."""
    run = serve([session("a"), session("b")], cost=COST, num_agents=5)
    assert sorted(run.sessions["session"]) == ["a", "a#2", "a#3", "b", "b#2"]
    assert sorted(run.sessions["slot"]) == [0, 1, 2, 3, 4]
    assert set(run.sessions["started_ns"].tolist()) == {0}


def test_fewer_agents_than_sessions_run_each_once() -> None:
    """Two agents share five sessions; never more than two at work."""
    names = ["a", "b", "c", "d", "e"]
    run = serve([session(name) for name in names], cost=COST, num_agents=2)
    assert sorted(run.sessions["session"]) == names
    assert set(run.sessions["slot"].tolist()) == {0, 1}
    begins = [(time, 1) for time in run.sessions["started_ns"].tolist()]
    ends = [(time, -1) for time in run.sessions["finished_ns"].tolist()]
    at_work = most = 0
    for _, change in sorted(begins + ends):
        at_work += change
        most = max(most, at_work)
    assert most == 2


def test_a_session_run_again_shares_what_is_shared_and_nothing_private() -> None:
    """The system prompt is found in the cache; own segments and outputs are fresh."""
    run = serve([session("a")], cost=COST, num_agents=2, ramp_s=0.001)
    assert run.request("a", "a")["cached_tokens"] == 0
    assert run.request("a", "b")["cached_tokens"] == 32  # 43 tokens computed: 2 whole blocks
    assert run.request("a#2", "a")["cached_tokens"] == 16
    assert run.request("a#2", "b")["cached_tokens"] == 32


@pytest.mark.parametrize("num_agents", [1, 3])
def test_agent_i_starts_after_i_ramps(num_agents: int) -> None:
    """A ramp of 2 ms, and sessions that are longer."""
    long = Session("a", (Call("c", 10, 1, delay_ns=50_000_000),))
    run = serve([long], cost=COST, num_agents=num_agents, ramp_s=0.002)
    starts = dict(zip(run.sessions["slot"].tolist(), run.sessions["started_ns"], strict=True))
    assert starts == {slot: slot * 2_000_000 for slot in range(num_agents)}
