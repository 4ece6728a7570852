"""How long an agent waits: as the trace says, scaled, drawn, or worked out from recorded times."""

from __future__ import annotations

from itertools import pairwise
from statistics import fmean, pstdev

import pytest

from agentsim.domain.trace import Call, Measured, Session
from agentsim.engine.waits import ASSUMED_ZERO, FROM_TIMES, LATE
from engine.runs import LinearCost, serve

COST = LinearCost(step=100, token=1)
MS = 1_000_000


def chain(num_calls: int = 2, delay_ns: int = 10 * MS) -> list[Session]:
    """One session whose calls each wait so long after the one before."""
    calls = [Call("c0", 10, 1, delay_ns=3 * MS)]
    for i in range(1, num_calls):
        calls.append(Call(f"c{i}", 10, 1, after=(f"c{i - 1}",), delay_ns=delay_ns))
    return [Session("s", tuple(calls))]


def test_tool_times_are_scaled_and_the_first_wait_is_not() -> None:
    """What comes before the first call is no tool."""
    run = serve(chain(), cost=COST, tool_time_scale=2.5)
    assert run.requests["delay_ns"].tolist() == [3 * MS, 25 * MS]


def test_a_scale_of_zero_takes_the_tools_out() -> None:
    """The next call is sent in the instant of the answer."""
    run = serve(chain(), cost=COST, tool_time_scale=0.0)
    first, second = run.request("s", "c0"), run.request("s", "c1")
    assert second["submitted_ns"] == first["finished_ns"]


@pytest.mark.parametrize(
    ("tool_time", "deviation"),
    [("exponential", 1.0), ("lognormal:0.5", 0.533), ("lognormal:1", 1.311)],
)
def test_drawn_tool_times_have_the_mean_of_the_trace(tool_time: str, deviation: float) -> None:
    """Mean 1, and the deviation of the law: 1 for exponential, sqrt(exp(sigma^2) - 1)."""
    num_calls = 4000
    run = serve(chain(num_calls), cost=COST, tool_time=tool_time, seed=3)
    draws = [delay / (10 * MS) for delay in run.requests["delay_ns"].tolist()[1:]]
    error = 4 * deviation / num_calls**0.5
    assert abs(fmean(draws) - 1) < error
    assert pstdev(draws) == pytest.approx(deviation, rel=0.2)
    assert len(set(draws)) > num_calls * 0.99


def test_draws_depend_on_seed_and_call_alone() -> None:
    """The same with another session beside it; others with another seed."""
    alone = serve(chain(5), cost=COST, tool_time="exponential", seed=1)
    other = Session("z", (Call("x", 500, 3, delay_ns=0), Call("y", 5, 1, ("x",), delay_ns=MS)))
    beside = serve([*chain(5), other], cost=COST, tool_time="exponential", seed=1)
    reseeded = serve(chain(5), cost=COST, tool_time="exponential", seed=2)
    waits = alone.requests["delay_ns"].tolist()
    assert beside.requests["session"].tolist()[-5:] == alone.requests["session"].tolist()
    assert beside.requests["delay_ns"].tolist()[-5:] == waits
    assert reseeded.requests["delay_ns"].tolist() != waits


def test_poisson_starts_depend_on_seed_and_rate_alone() -> None:
    """Not on what the sessions do; twice the rate is half of every time, to the rounding."""

    def starts(sessions: list[Session], rate: int, seed: int = 0) -> list[int]:
        run = serve(sessions, cost=COST, arrival=f"poisson:{rate}", seed=seed)
        return sorted(run.sessions["started_ns"].tolist())

    small = [Session(f"s{i:03}", (Call("c", 1, 1),)) for i in range(300)]
    large = [Session(f"t{i:03}", (Call("c", 40, 9, delay_ns=i),), at_ns=i) for i in range(300)]
    once = starts(small, 50)
    assert starts(large, 50) == once
    assert starts(small, 50, seed=1) != once
    assert starts(small, 100) == pytest.approx([time / 2 for time in once], abs=300)
    gaps = [late - early for early, late in pairwise(once)]
    assert fmean(gaps) == pytest.approx(20 * MS, rel=0.25)


def test_recorded_calls_are_sent_when_they_were_but_not_before_their_reason() -> None:
    """`late` was recorded before the simulated answer it waits for; that is counted."""
    calls = (
        Call("a", 10, 100, at_ns=1000),
        Call("late", 10, 1, after=("a",), at_ns=1500, delay_ns=77),
        Call("free", 10, 1, at_ns=2000, delay_ns=99),
        Call("well", 10, 1, after=("late",), at_ns=90_000),
    )
    run = serve([Session("s", calls, at_ns=30)], cost=COST, arrival="recorded")
    answered = run.request("s", "a")["finished_ns"]
    assert run.request("s", "a")["submitted_ns"] == 1030
    assert answered > 1530
    assert run.request("s", "late")["submitted_ns"] == answered
    assert run.request("s", "free")["submitted_ns"] == 2030
    assert run.request("s", "well")["submitted_ns"] == 90_030
    assert run.simulation.waits.notes == {LATE: 1}


def test_a_call_without_a_recorded_time_keeps_its_wait_among_recorded_ones() -> None:
    """It is sent as in a closed loop, and it is not late."""
    calls = (Call("a", 10, 1, at_ns=1000), Call("b", 10, 1, after=("a",), delay_ns=500))
    run = serve([Session("s", calls)], cost=COST, arrival="recorded")
    assert run.request("s", "b")["submitted_ns"] == run.request("s", "a")["finished_ns"] + 500
    assert run.simulation.waits.notes == {}


def test_unknown_waits_are_worked_out_or_counted_as_zero() -> None:
    """From recorded times where both ends are known, else 0; each is counted."""
    calls = (
        Call("a", 10, 1, at_ns=0, measured=Measured(e2e_ns=4000)),
        Call("known", 10, 1, after=("a",), at_ns=10_000),
        Call("unknown", 10, 1, after=("known",), at_ns=90_000),
        Call("last", 10, 1, after=("unknown",)),
    )
    run = serve([Session("s", calls)], cost=COST)
    assert run.requests["delay_ns"].tolist() == [0, 6000, 0, 0]
    assert run.simulation.waits.notes == {FROM_TIMES: 1, ASSUMED_ZERO: 2}
