"""What prompts are made of, from the trace to hits in the cache."""

from __future__ import annotations

from typing import Any

from agentsim.domain.trace import Call, Session
from agentsim.engine.rules import Rules
from engine.runs import LinearCost, serve

RULES = Rules(block_size=4, num_gpu_blocks=200)


def cached(*calls: Call, rules: Rules = RULES, **more: Any) -> dict[str, int]:
    """Cached tokens of each call of one session."""
    run = serve([Session("s", calls)], rules, LinearCost(), **more)
    return dict(
        zip(run.requests["call"].tolist(), run.requests["cached_tokens"].tolist(), strict=True)
    )


def test_a_prompt_may_name_an_output_before_the_call_that_extends_to_it() -> None:
    """`peek` holds the output of `second` before `second` is sent: both are the same content."""
    answers = (("sys", 8), ("out:first", 8), ("out:second", 8))
    assert cached(
        Call("first", 8, 8, delay_ns=0, segments=(("sys", 8),)),
        Call("second", 16, 8, delay_ns=5000, extends="first", keep=16),
        Call("peek", 28, 30, delay_ns=4900, segments=(*answers, ("x", 4))),
        Call("third", 24, 4, delay_ns=20_000, extends="second", keep=24),
        Call("again", 28, 4, delay_ns=30_000, segments=(*answers, ("x", 4))),
    ) == {"first": 0, "second": 12, "peek": 12, "third": 20, "again": 24}


def test_two_calls_that_extend_one_share_what_they_keep() -> None:
    """And each has its own text behind."""
    assert cached(
        Call("a", 16, 8, delay_ns=0),
        Call("b", 30, 1, after=("a",), delay_ns=0, extends="a", keep=24),
        Call("c", 30, 1, after=("b",), delay_ns=0, extends="a", keep=24),
        Call("d", 30, 1, after=("c",), delay_ns=0, extends="a", keep=18),
    ) == {"a": 0, "b": 20, "c": 24, "d": 16}


def test_a_call_may_extend_one_that_is_never_served() -> None:
    """The prompt of a call without one is empty; nothing is shared, nothing is lost."""
    assert cached(
        Call("none", 0, 0, delay_ns=0),
        Call("a", 16, 4, after=("none",), delay_ns=0, extends="none", keep=0),
        Call("b", 20, 1, after=("a",), delay_ns=0, extends="a", keep=20),
    ) == {"none": 0, "a": 0, "b": 16}


def test_an_adapter_shares_nothing_with_another() -> None:
    """The same text under another adapter is other content."""
    text = (("sys", 16),)
    assert cached(
        Call("a", 16, 1, delay_ns=0, segments=text),
        Call("b", 16, 1, after=("a",), delay_ns=0, segments=text, adapter="lora"),
        Call("c", 16, 1, after=("b",), delay_ns=0, segments=text, adapter="lora"),
        Call("d", 20, 1, after=("c",), delay_ns=0, extends="c", keep=16, adapter="lora"),
        Call("e", 20, 1, after=("d",), delay_ns=0, extends="c", keep=16),
    ) == {"a": 0, "b": 0, "c": 12, "d": 16, "e": 0}


def test_without_a_prefix_cache_nothing_is_found() -> None:
    """Not even what has just been computed."""
    rules = Rules(block_size=4, num_gpu_blocks=200, enable_prefix_caching=False)
    assert cached(
        Call("a", 16, 8, delay_ns=0),
        Call("b", 24, 1, after=("a",), delay_ns=0, extends="a", keep=24),
        rules=rules,
    ) == {"a": 0, "b": 0}
