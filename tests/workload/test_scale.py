"""Traces whose sessions grow faster or slower."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentsim.domain.trace import Call, Session, Trace
from agentsim.simulator import simulate
from agentsim.workload.formats import read_trace
from agentsim.workload.scale import scale_growth

SHIPPED = [str(path) for path in (Path(__file__).parents[2] / "traces").glob("*.jsonl")]


def calls(*made: Call) -> Trace:
    return Trace([Session("one", made)])


def test_what_a_call_adds_grows_and_the_first_prompt_stays() -> None:
    trace = calls(
        Call("a", 1000, 50),
        Call("b", 1150, 20, after=("a",), extends="a", keep=1050),
        Call("c", 1180, 20, after=("b",), extends="b", keep=1150),
    )
    a, b, c = scale_growth(trace, 2.0).sessions[0].calls
    assert (a.input_tokens, a.output_tokens) == (1000, 100)
    assert (b.keep, b.input_tokens, b.output_tokens) == (1100, 1300, 40)
    assert (c.keep, c.input_tokens) == (1300, 1360)


def test_segments_of_the_first_prompt_stay_and_answers_follow_their_calls() -> None:
    trace = calls(
        Call("a", 100, 50, segments=(("sys", 80), ("task", 20))),
        Call("b", 190, 10, after=("a",),
             segments=(("sys", 80), ("task", 20), ("out:a", 50), ("obs", 40))),
    )  # fmt: skip
    _, b = scale_growth(trace, 1.5).sessions[0].calls
    assert b.segments == (("sys", 80), ("task", 20), ("out:a", 75), ("obs", 60))
    assert b.input_tokens == 235


def test_blocks_grow_whole() -> None:
    trace = calls(Call("a", 1000, 5, blocks=(1, 2), block_tokens=512))
    (a,) = scale_growth(trace, 0.5).sessions[0].calls
    assert (a.block_tokens, a.input_tokens) == (256, 500)


@pytest.mark.parametrize("path", SHIPPED)
def test_nothing_changes_by_a_factor_of_one(path: str) -> None:
    trace = read_trace(path)
    once = simulate(scale_growth(trace, 1.0))
    plain = simulate(trace)
    assert once.makespan_ns == plain.makespan_ns
    for name in ("prompt_tokens", "cached_tokens", "output_tokens"):
        assert once.requests[name].tolist() == plain.requests[name].tolist()


@given(factor=st.floats(0.3, 3.0))
def test_a_prompt_never_keeps_more_than_there_is(factor: float) -> None:
    trace = calls(
        Call("a", 97, 13),
        Call("b", 150, 7, after=("a",), extends="a", keep=101),
        Call("c", 160, 7, after=("b",), extends="b", keep=33),
    )
    made = {call.id: call for call in scale_growth(trace, factor).sessions[0].calls}
    for name, base in (("b", "a"), ("c", "b")):
        whole = made[base].input_tokens + made[base].output_tokens
        assert 0 < made[name].keep <= min(whole, made[name].input_tokens)
