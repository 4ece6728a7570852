"""How long arithmetic units and memory are busy in a step: what power depends on."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentsim.domain.batch import BatchShape
from machine.test_roofline import roofline

L4 = roofline("l4", "qwen2.5-14b-awq")


def busy(shape: BatchShape) -> tuple[float, float]:
    """Shares of the step: arithmetic, memory."""
    columns = {name: np.array([value], np.int64) for name, value in shape._asdict().items()}
    parts = L4.parts(columns)
    seconds = L4.step_ns(shape) / 1e9
    return float(parts["compute_s"][0]) / seconds, float(parts["memory_s"][0]) / seconds


def decode(num_seqs: int, context: int = 5000) -> BatchShape:
    return BatchShape(num_seqs, num_seqs, num_seqs, decode_context=num_seqs * context)


def prefill(tokens: int) -> BatchShape:
    pairs = tokens * (tokens + 1) // 2
    return BatchShape(tokens, 1, 1, tokens, pairs, tokens)


def test_one_decoding_sequence_keeps_the_memory_busy_and_a_prefill_the_arithmetic() -> None:
    compute, memory = busy(decode(1))
    assert compute < 0.1
    assert memory > 0.8
    compute, memory = busy(prefill(2048))
    assert memory < 0.2
    assert compute > 0.8


def test_more_sequences_keep_the_arithmetic_busier() -> None:
    assert busy(decode(1))[0] < busy(decode(16))[0] < busy(decode(64))[0]


@given(st.integers(1, 256), st.integers(1, 30_000), st.integers(0, 8192))
def test_no_unit_is_busy_longer_than_the_step(seqs: int, context: int, chunk: int) -> None:
    shape = decode(seqs, context)
    if chunk:
        shape = BatchShape(*(a + b for a, b in zip(shape, prefill(chunk), strict=True)))
    for share in busy(shape):
        assert 0 < share <= 1 + 1e-6


def test_the_shares_are_those_of_the_datasheet_for_a_lone_token() -> None:
    """A decode step reads 8.4 GB of weights at 0.87 of 300 GB/s: 32 of its 39 ms."""
    memory_s = busy(decode(1, context=1))[1] * L4.step_ns(decode(1, context=1)) / 1e9
    assert memory_s == pytest.approx(8.4e9 / (0.87 * 300e9), rel=0.03)
