"""Reading steps: sums of a batch, JSON lines, tables, vLLM's log; what is refused."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentsim.calibration.steps import (
    shape_of_work,
    steps_of_csv,
    steps_of_jsonl,
    steps_of_log,
)
from agentsim.errors import ConfigError

WORK = st.lists(
    st.tuples(st.integers(0, 300), st.integers(1, 50), st.booleans()), min_size=1, max_size=5
)


@given(WORK, st.one_of(st.none(), st.integers(1, 200)))
def test_sums_are_those_of_counting_each_query(
    work: list[tuple[int, int, bool]], window: int | None
) -> None:
    """A query at position p sees p + 1 keys, or as many as the window has."""
    shape = shape_of_work(work, window)
    prefills = [(start, count) for start, count, is_decode in work if not is_decode]
    seen = [start + i + 1 for start, count in prefills for i in range(count)]
    assert shape.num_tokens == sum(count for _, count, _ in work)
    assert shape.prefill_tokens == len(seen)
    assert shape.prefill_pairs == sum(seen)
    assert shape.window_pairs == sum(min(keys, window or keys) for keys in seen)
    assert shape.prefill_context == sum(start + count for start, count in prefills)
    assert shape.decode_context == sum(s + c for s, c, is_decode in work if is_decode)


def test_a_single_token_of_a_prefill_is_told_from_decodes() -> None:
    line = json.dumps(
        {"dur": 0.01, "decode_reqs": 1, "reqs": [["a", 99, 1], ["b", 64, 1], ["c", 0, 30]]}
    )
    ((shape, seconds),) = steps_of_jsonl("f", [line], None)
    assert seconds == 0.01
    assert (shape.decode_context, shape.prefill_tokens, shape.prefill_context) == (100, 31, 95)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "f:1: expected a step"),
        ('{"dur": 1.0, "reqs": [["a", 0, 1]]}', "missing required field `decode_reqs`"),
        ('{"dur": -1.0, "reqs": [["a", 0, 1]], "decode_reqs": 0}', "above 0, got -1.0"),
        ('{"dur": 1.0, "reqs": [["a", -1, 1]], "decode_reqs": 0}', "computed >= 0"),
        ('{"dur": 1.0, "reqs": [], "decode_reqs": 0}', "at least one request"),
    ],
)
def test_a_wrong_line_is_named(line: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        steps_of_jsonl("f", [line], None)


def test_a_table_may_leave_out_what_is_0() -> None:
    lines = ["num_tokens,num_seqs,decode_context,seconds", "3,3,300,0.012"]
    ((shape, seconds),) = steps_of_csv("f.csv", lines)
    assert (shape.num_tokens, shape.num_sampled, shape.window_decode_context) == (3, 3, 300)
    assert seconds == 0.012


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["num_tokens,seconds", "1,1"], "missing column 'num_seqs'; it has num_tokens, seconds"),
        (["num_tokens,num_seqs,seconds", "1,1,0"], "f.csv:2: column 'seconds': .* got 0.0"),
        (["num_tokens,num_seqs,seconds", "1,-1,1"], "f.csv:2: expected counts >= 0"),
        (["num_tokens,num_seqs,seconds", "1,x,1"], "f.csv:2: expected numbers"),
    ],
)
def test_a_wrong_table_is_named(lines: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        steps_of_csv("f.csv", lines)


SIZE = "[kv_cache_utils.py:2327] GPU KV cache size: 100,000 tokens, Maximum concurrency"
STEP = (
    "Engine 000: Iteration({}): {} context requests, {} context tokens, {} generation requests, "
    "{} generation tokens, iteration elapsed time: {} ms, GPU KV cache usage: {}%"
)


def test_a_log_gives_batches_with_the_context_that_its_cache_holds() -> None:
    log = [SIZE, STEP.format(0, 1, 190, 0, 0, 76.78, 0.2), STEP.format(1, 0, 0, 4, 4, 9.5, 2.0)]
    (first, seconds), (second, _) = steps_of_log("f", ["noise", *log], 16)
    assert seconds == pytest.approx(0.07678)
    assert (first.prefill_tokens, first.prefill_context, first.num_seqs) == (190, 193, 1)
    assert second.num_seqs == 4
    assert second.decode_context == 2000 - 4 * 15 // 2


def test_a_log_needs_the_size_of_the_cache() -> None:
    with pytest.raises(ConfigError, match="no line 'KV cache size"):
        steps_of_log("f", [STEP.format(0, 1, 190, 0, 0, 76.78, 0.2)], 16)
