"""Inspection of small traces whose every figure can be computed on paper."""

from __future__ import annotations

import msgspec
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from agentsim.domain.trace import Call, Session, Trace
from agentsim.workload.histogram import Histogram, histogram
from agentsim.workload.inspect import Quantiles, inspect, quantiles

S = 1_000_000_000

TRACE = Trace(
    [
        Session(
            "s1",
            (
                Call("main/0", 100, 10, trigger="user", segments=(("sys", 64), ("~t", 36))),
                Call(
                    "main/1",
                    150,
                    20,
                    ("main/0",),
                    turn=1,
                    delay_ns=2 * S,
                    trigger="tool",
                    extends="main/0",
                    keep=110,
                    output_estimated=True,
                ),
                Call("sub/0", 50, 5, ("main/1",), agent="sub", delay_ns=0, trigger="spawn"),
                Call(
                    "main/2",
                    170,
                    0,
                    ("main/1", "sub/0"),
                    turn=2,
                    trigger="tool",
                    extends="main/1",
                    keep=170,
                    input_estimated=True,
                ),
            ),
        ),
        Session("s2", (Call("main/0", 80, 30, segments=(("sys", 64), ("~t", 16))),)),
        Session("s3", (Call("main/0", 0, 7, blocks=(), block_tokens=16),)),
    ],
    notes={"outputs taken as sent back": 3},
)


def test_everything_is_counted() -> None:
    seen = inspect(TRACE)
    assert (seen.sessions, seen.calls, seen.sub_agents, seen.joins) == (3, 6, 1, 1)
    assert (seen.empty_calls, seen.prefill_only_calls) == (1, 1)
    assert (seen.prompt_tokens, seen.output_tokens) == (550, 72)
    assert seen.longest_prompt_tokens == 170
    assert seen.prefill_share == 550 / 622
    assert seen.triggers == {"spawn": 1, "tool": 2, "unknown": 2, "user": 1}
    assert seen.identities == {"blocks": 1, "extends": 2, "none": 1, "segments": 2}
    assert (seen.estimated_inputs, seen.estimated_outputs) == (1, 1)
    assert seen.notes == {"outputs taken as sent back": 3}


def test_reuse_is_found_within_and_across_sessions() -> None:
    seen = inspect(TRACE)
    assert seen.reused_tokens == 110 + 170 + 64
    assert seen.reused_block_tokens == 96 + 160 + 64
    assert seen.reused_prompt_tokens == 100 + 150 + 64
    assert seen.reuse == 344 / 550


def test_waits_that_are_not_known_are_counted_and_not_taken_as_zero() -> None:
    seen = inspect(TRACE)
    assert seen.delay_s == Quantiles(2, 1.0, 0.2, 1.0, 1.8, 1.98)
    assert seen.unknown_delays == 1


def test_appended_tokens_are_what_a_prompt_adds_to_its_base_and_its_answer() -> None:
    seen = inspect(TRACE)
    assert (seen.appended.count, seen.appended.p50) == (1, 40.0)
    assert seen.shrunk_calls == 1


def test_quantiles_interpolate_linearly() -> None:
    assert quantiles(range(11)) == Quantiles(11, 5.0, 1.0, 5.0, 9.0, 9.9)
    assert quantiles([]) == Quantiles(0, 0.0, 0.0, 0.0, 0.0, 0.0)


def test_an_inspection_is_plain_data() -> None:
    seen = inspect(TRACE)
    assert msgspec.convert(msgspec.to_builtins(seen), type(seen)) == seen


def test_histograms_count_every_value_above_0_and_the_zeros_apart() -> None:
    seen = inspect(TRACE).histograms
    assert sum(seen["prompt"].counts) + seen["prompt"].zeros == 6
    assert (seen["prompt"].least, seen["prompt"].most, seen["prompt"].zeros) == (50, 170, 1)
    assert (seen["delay_s"].counts, seen["delay_s"].zeros) == ((1,), 1)
    assert histogram(np.array([])) == Histogram(0.0, 0.0, (), 0)


@given(st.lists(st.floats(0, 1e12), min_size=1))
def test_a_histogram_loses_nothing(values: list[float]) -> None:
    seen = histogram(np.array(values))
    assert sum(seen.counts) + seen.zeros == len(values)
    assert all(seen.least <= value <= seen.most for value in values if value)


def test_what_a_trace_cannot_tell_is_counted() -> None:
    assert inspect(TRACE).unknown == {
        "calls whose wait is not known": 1,
        "prompts whose length is an estimate": 1,
        "answers whose length is an estimate": 1,
        "prompts that do not say what they share": 1,
        "calls that do not say what caused them": 2,
        "sessions that all start at once": 3,
    }


def test_a_trace_that_tells_all_says_so() -> None:
    call = Call("main/0", 10, 5, trigger="user", segments=(("sys", 4), ("~t", 6)))
    assert inspect(Trace([Session("s", (call,))])).unknown == {}
