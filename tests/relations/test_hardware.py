"""Change the hardware, know how the time of a step must change."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentsim.domain.batch import BatchShape
from agentsim.domain.config import CostConfig
from agentsim.domain.specs import GpuSpec
from agentsim.machine.catalog import find_gpu, find_model
from agentsim.machine.coefficients import Execution, work_out
from agentsim.machine.factors import Factor, resolve_factors
from agentsim.machine.roofline import Roofline

#: what a GPU does in a second, by field of `GpuSpec`
RATES = (
    "bandwidth_bytes_per_s",
    "flops_16bit_per_s",
    "flops_fp8_per_s",
    "flops_int8_per_s",
    "link_bytes_per_s",
)


def costs(gpu_name: str, model_name: str, execution: Execution) -> tuple[Roofline, Roofline]:
    """Step times on a GPU and on one twice as fast in everything, overheads included."""
    gpu, model = find_gpu(gpu_name), find_model(model_name)
    factors = resolve_factors(gpu, model, CostConfig())
    twice = msgspec.structs.replace(gpu, **{name: _twice(gpu, name) for name in RATES})
    halves = {name: _halved(factor) for name, factor in factors.items()}
    return (
        Roofline(work_out(gpu, model, factors, execution)),
        Roofline(work_out(twice, model, halves, execution)),
    )


def _twice(gpu: GpuSpec, name: str) -> Any:
    rate = getattr(gpu, name)
    return rate and rate * 2


def _halved(factor: Factor) -> Factor:
    """Times are halved; shares and ratios stay."""
    if not factor.name.endswith("_s"):
        return factor
    return type(factor)(**{**_fields(factor), "value": factor.value / 2})


def _fields(factor: Factor) -> dict[str, Any]:
    return {name: getattr(factor, name) for name in factor.__dataclass_fields__}


@st.composite
def shapes(draw: st.DrawFn) -> BatchShape:
    """A few decodes and at most one chunk."""
    decodes = draw(st.integers(0, 64))
    context = sum(draw(st.integers(1, 20_000)) for _ in range(min(decodes, 1))) * decodes
    chunk = draw(st.integers(2, 4000)) if not decodes or draw(st.booleans()) else 0
    before = draw(st.integers(0, 20_000)) if chunk else 0
    pairs = chunk * before + chunk * (chunk + 1) // 2
    reach = chunk and before + chunk
    return BatchShape(
        num_tokens=decodes + chunk,
        num_seqs=decodes + bool(chunk),
        num_sampled=decodes + bool(chunk),
        prefill_tokens=chunk,
        prefill_pairs=pairs,
        prefill_context=reach,
        decode_context=context,
        window_pairs=pairs,
        window_prefill_context=reach,
        window_decode_context=context,
    )


@pytest.mark.parametrize("is_async", [True, False])
@pytest.mark.parametrize(
    ("gpu", "model", "shards"),
    [("l4", "qwen2.5-14b-awq", 1), ("h100", "llama-3.1-70b", 4), ("h100", "mixtral-8x7b", 2)],
)
@given(shape=shapes())
@settings(max_examples=40)
def test_twice_the_hardware_is_half_of_every_step(
    gpu: str, model: str, shards: int, is_async: bool, shape: BatchShape
) -> None:
    """Bandwidth, compute and link doubled, every overhead halved: half the time, to the
    rounding to nanoseconds."""
    execution = Execution(
        tensor_parallel_size=shards, capture_sizes=(1, 2, 4, 8, 64), async_scheduling=is_async
    )
    slow, fast = costs(gpu, model, execution)
    assert abs(slow.step_ns(shape) - 2 * fast.step_ns(shape)) <= 2


@given(shape=shapes(), more=st.integers(1, 5000))
@settings(max_examples=40)
def test_more_context_is_never_faster(shape: BatchShape, more: int) -> None:
    """With the same tokens to compute."""
    cost, _ = costs("l4", "qwen2.5-14b-awq", Execution(capture_sizes=(1, 2, 4, 8)))
    longer = shape._replace(
        decode_context=shape.decode_context + more,
        window_decode_context=shape.window_decode_context + more,
    )
    assert cost.step_ns(longer) >= cost.step_ns(shape)
