"""Reuse: the radix tree finds what comparing prompts token by token finds."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given

from agentsim.domain.trace import Call, Session, Trace
from agentsim.workload.reuse import Reuse, reuse_of, reused_prefixes
from workload.generated import common, spelled_out, traces


def _naive(trace: Trace, with_outputs: bool) -> list[int]:
    """The longest common prefix with anything sent before under the same adapter."""
    sent: dict[str, list[Any]] = {}
    lengths = []
    for _, call, prompt, output in spelled_out(trace):
        earlier = sent.setdefault(call.adapter or "", [])
        lengths.append(max((common(prompt, tokens) for tokens in earlier), default=0))
        earlier.append(prompt + output if with_outputs else prompt)
    return lengths


@given(traces())
def test_the_tree_finds_what_a_token_by_token_comparison_finds(trace: Trace) -> None:
    for with_outputs in (True, False):
        assert reused_prefixes(trace, with_outputs) == _naive(trace, with_outputs)


@given(traces())
def test_outputs_and_single_tokens_only_add_reuse(trace: Trace) -> None:
    reuse = reuse_of(trace)
    assert reuse.prompt_tokens <= reuse.tokens
    assert reuse.block_tokens <= reuse.tokens


def _reuse(*calls: Call) -> Reuse:
    return reuse_of(Trace([Session("s", calls)]))


def test_a_chain_reuses_what_it_keeps() -> None:
    reuse = _reuse(
        Call("a", 100, 20),
        Call("b", 150, 20, extends="a", keep=120),
        Call("c", 200, 20, extends="b", keep=130),
    )
    assert reuse == Reuse(tokens=250, block_tokens=112 + 128, prompt_tokens=100 + 130)


def test_a_whole_prompt_sent_again_recomputes_its_last_block() -> None:
    """vLLM always computes the last token, so a hit is at most length - 1, in whole blocks."""
    segments = (("sys", 64),)
    reuse = _reuse(Call("a", 64, 5, segments=segments), Call("b", 64, 5, segments=segments))
    assert reuse == Reuse(tokens=64, block_tokens=48, prompt_tokens=64)


@pytest.mark.parametrize(
    ("name", "shared"),
    [("sys", 30), ("~sys", 0), ("out:a", 0)],
    ids=["shared", "private", "output"],
)
def test_names_are_shared_between_sessions_unless_private(name: str, shared: int) -> None:
    call = Call("b", 30, 0, segments=((name, 30),))
    sessions = [Session(s, (Call("a", 5, 30), call)) for s in ("s1", "s2")]
    assert reuse_of(Trace(sessions)).tokens == shared


def test_a_shorter_use_of_a_segment_is_a_prefix_of_a_longer_one() -> None:
    long, short = (("sys", 100),), (("sys", 40), ("other", 10))
    assert _reuse(Call("a", 100, 0, segments=long), Call("b", 50, 0, segments=short)).tokens == 40
    assert _reuse(Call("a", 50, 0, segments=short), Call("b", 100, 0, segments=long)).tokens == 40


def test_an_adapter_shares_nothing_with_the_model_below_it() -> None:
    calls = [
        Call("a", 40, 0, segments=(("sys", 40),)),
        Call("b", 50, 0, extends="a", keep=40, adapter="lora"),
        Call("c", 60, 0, extends="b", keep=50, adapter="lora"),
    ]
    assert _reuse(*calls).tokens == 50


def test_hashed_blocks_are_shared_and_a_partial_one_by_its_length() -> None:
    calls = [
        Call("a", 20, 0, blocks=(1, 2, 3), block_tokens=8),
        Call("b", 24, 0, blocks=(1, 2, 3), block_tokens=8),
        Call("c", 24, 0, blocks=(1, 7, 3), block_tokens=8),
    ]
    assert _reuse(*calls).tokens == 20 + 8


def test_a_hash_is_not_the_segment_of_that_name() -> None:
    calls = [
        Call("a", 8, 0, segments=(("h", 8),)),
        Call("b", 16, 0, blocks=("h", 1), block_tokens=8),
        Call("c", 8, 0, blocks=(1,), block_tokens=8),
        Call("d", 8, 0, blocks=("1",), block_tokens=8),
    ]
    assert _reuse(*calls).tokens == 0
    assert _reuse(*calls, Call("e", 16, 0, blocks=("h", 1), block_tokens=8)).tokens == 16
