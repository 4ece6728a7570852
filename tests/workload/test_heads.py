"""Heads: what sessions share at the start of their first prompt."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agentsim.domain.trace import Call, Session, Trace
from agentsim.workload.heads import common_tokens, head_tokens, share_heads
from agentsim.workload.reuse import reuse_of
from workload.generated import common, stretch, traces


def _sessions(*heads: tuple[int, int]) -> Trace:
    calls = (
        Call("main/0", 100, 10),
        Call("main/1", 150, 10, ("main/0",), extends="main/0", keep=110),
    )
    return Trace(
        Session(f"s{index}", calls, system_tokens=system, tool_tokens=tool)
        for index, (system, tool) in enumerate(heads)
    )


def test_roots_of_equal_lengths_share_their_head() -> None:
    trace = share_heads(_sessions((20, 30), (20, 30), (30, 20)))
    assert [session.calls[0].segments for session in trace] == [
        (("sys:20+30", 50), ("~new:main/0", 50)),
        (("sys:20+30", 50), ("~new:main/0", 50)),
        (("sys:30+20", 50), ("~new:main/0", 50)),
    ]
    assert trace.notes == {"roots with a shared head": 3}
    assert reuse_of(trace).tokens == 3 * 110 + 50


def test_a_stated_length_holds_for_all_sessions() -> None:
    trace = share_heads(_sessions((20, 30), (0, 0)), shared_prefix_tokens=70)
    for session in trace:
        assert session.calls[0].segments == (("sys:shared-prefix", 70), ("~new:main/0", 30))


def test_a_head_longer_than_the_prompt_is_the_prompt() -> None:
    trace = share_heads(_sessions((0, 0)), shared_prefix_tokens=200)
    assert trace.sessions[0].calls[0].segments == (("sys:shared-prefix", 100),)


def test_nothing_changes_without_lengths_or_with_zero() -> None:
    plain, declared = _sessions((0, 0)), _sessions((20, 30))
    assert share_heads(plain) is plain
    assert share_heads(declared, shared_prefix_tokens=0) is declared


def test_prompts_that_say_what_they_share_and_later_ones_stay() -> None:
    calls = (
        Call("a", 10, 1, segments=(("x", 10),)),
        Call("b", 10, 1, blocks=(1,), block_tokens=16),
        Call("c", 10, 1, ("a",)),
        Call("d", 0, 1),
    )
    trace = Trace([Session("s", calls, system_tokens=5)])
    assert share_heads(trace) is trace


def test_a_head_runs_through_a_chain_as_far_as_it_is_kept() -> None:
    calls = (
        Call("a", 100, 1),
        Call("b", 120, 1, ("a",), extends="a", keep=101),
        Call("c", 60, 1, ("b",), extends="b", keep=30),
        Call("d", 80, 1, ("c",), extends="c", keep=60),
        Call("sub", 90, 1, ("a",), agent="sub"),
    )
    heads = head_tokens(Session("s", calls, system_tokens=20, tool_tokens=30))
    assert heads == {"a": 50, "b": 50, "c": 30, "d": 30, "sub": 0}


def test_the_head_of_segments_is_what_is_not_private_in_the_agents_first_prompt() -> None:
    calls = (
        Call("a", 100, 9, segments=(("sys", 40), ("task", 20), ("~x", 40))),
        Call("b", 90, 1, segments=(("sys", 40), ("task", 20), ("tool", 30))),
        Call("c", 50, 1, segments=(("sys", 50),)),
        Call("d", 50, 1, agent="sub", segments=(("out:a", 9), ("sys", 41))),
    )
    assert head_tokens(Session("s", calls)) == {"a": 60, "b": 60, "c": 40, "d": 0}
    assert head_tokens(Session("s", calls, system_tokens=30))["a"] == 30


_SEGMENTS = st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 4)), max_size=5)


@given(_SEGMENTS, _SEGMENTS)
def test_common_tokens_are_those_of_the_prompts_spelled_out(
    one: list[tuple[str, int]], other: list[tuple[str, int]]
) -> None:
    left = [token for name, tokens in one for token in stretch("", name, tokens)]
    right = [token for name, tokens in other for token in stretch("", name, tokens)]
    assert common_tokens(one, other) == common(left, right)


@given(traces())
def test_sharing_heads_changes_no_length_and_loses_no_reuse(trace: Trace) -> None:
    shared = share_heads(trace)
    lengths = [[c.input_tokens for c in s.calls] for s in trace]
    assert [[c.input_tokens for c in s.calls] for s in shared] == lengths
    assert reuse_of(shared).tokens >= reuse_of(trace).tokens
