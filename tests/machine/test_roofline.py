"""Laws of the step time: strides and steps agree, more work is never faster."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentsim.domain.batch import BatchShape
from agentsim.domain.config import CostConfig
from agentsim.machine.catalog import find_gpu, find_model
from agentsim.machine.coefficients import Execution, work_out
from agentsim.machine.factors import resolve_factors
from agentsim.machine.roofline import Roofline

SIZES = (1, 2, 4, *range(8, 256, 8), *range(256, 513, 16))
CASES = [
    ("l4", "qwen2.5-14b-awq", 1),
    ("h100", "mixtral-8x7b", 2),
    ("h100", "gpt-oss-20b", 1),
    ("a100", "qwen3-8b-fp8", 1),
    ("l40s", "gemma-4-e4b-w4a16", 1),
    ("rtx4090", "llama-3.1-8b", 4),
]
NO_OVERHEAD = CostConfig(
    layer_overhead_s=0.0,
    step_overhead_s=0.0,
    sequence_overhead_s=0.0,
    piecewise_launch_s=0.0,
    eager_launch_s=0.0,
    scheduler_step_s=0.0,
    scheduler_sequence_s=0.0,
    allreduce_latency_s=0.0,
    format_overhead_s=0.0,
    expert_overhead_s=0.0,
)


def roofline(
    gpu: str,
    model: str,
    shards: int = 1,
    *,
    cost: CostConfig | None = None,
    sizes: tuple[int, ...] = SIZES,
    **change: Any,
) -> Roofline:
    spec, shape = find_gpu(gpu), find_model(model)
    factors = resolve_factors(spec, shape, cost or CostConfig())
    spec = msgspec.structs.replace(spec, **change)
    return Roofline(work_out(spec, shape, factors, Execution(shards, sizes)))


ROOFLINES = {case: roofline(*case) for case in CASES}
#: no CUDA graphs, a small model: launches take longer than the kernels
EAGER = roofline("h100", "qwen2.5-0.5b", sizes=())
BY_CASE = st.sampled_from([EAGER, *ROOFLINES.values()])


@st.composite
def decode_batches(draw: st.DrawFn) -> BatchShape:
    seqs = draw(st.one_of(st.integers(1, 40), st.integers(1, 1500)))
    context = draw(st.integers(seqs, 1500 * 130_000))
    window = draw(st.integers(seqs, context))
    return BatchShape(seqs, seqs, seqs, decode_context=context, window_decode_context=window)


@st.composite
def batches(draw: st.DrawFn) -> BatchShape:
    """Any batch: some sequences decode, one chunk of a prefill."""
    seqs, chunk = draw(st.integers(0, 600)), draw(st.integers(0, 16_000))
    context = seqs * draw(st.integers(1, 30_000))
    before = draw(st.integers(0, 100_000)) if chunk else 0
    pairs = chunk * before + chunk * (chunk + 1) // 2
    num_seqs = max(1, seqs + (chunk > 0))
    return BatchShape(
        max(1, seqs + chunk), num_seqs, draw(st.integers(0, num_seqs)), chunk, pairs,
        before + chunk if chunk else 0, context, pairs // 2, (before + chunk) // 2 if chunk else 0,
        context // 2,
    )  # fmt: skip


@given(BY_CASE, decode_batches(), st.integers(1, 40), st.integers(0, 1500))
def test_a_stride_of_decodes_is_its_steps_to_the_nanosecond(
    cost: Roofline, shape: BatchShape, num_steps: int, growth: int
) -> None:
    stride = cost.decode_steps_ns(shape, num_steps, growth)
    assert stride.dtype == np.int64
    single = [
        cost.step_ns(
            shape._replace(
                decode_context=shape.decode_context + i * shape.num_seqs,
                window_decode_context=shape.window_decode_context + i * growth,
            )
        )
        for i in range(num_steps)
    ]
    assert stride.tolist() == single


def test_a_stride_with_a_prefill_is_refused() -> None:
    with pytest.raises(ValueError, match="holds a prefill"):
        ROOFLINES[CASES[0]].decode_steps_ns(BatchShape(9, 1, 1, prefill_tokens=9), 2, 0)


@given(BY_CASE, batches())
def test_a_step_takes_at_least_a_nanosecond_and_its_parts_add_up(
    cost: Roofline, shape: BatchShape
) -> None:
    duration = cost.step_ns(shape)
    assert duration >= 1
    columns = {name: np.array([value]) for name, value in shape._asdict().items()}
    parts = {name: float(values[0]) for name, values in cost.parts(columns).items()}
    causes = ("weights", "attention", "lm_head", "communication", "overhead")
    assert sum(parts[name] for name in causes) * 1e9 == pytest.approx(duration, abs=2)
    spent = ("prefill_s", "decode_s", "overhead_s")
    assert sum(parts[name] for name in spent) * 1e9 == pytest.approx(duration, abs=2)
    assert all(value >= -1e-12 for value in parts.values())


@given(BY_CASE, batches(), st.integers(1, 5000))
def test_more_work_is_never_faster(cost: Roofline, shape: BatchShape, more: int) -> None:
    before = cost.step_ns(shape)
    grown = [
        shape._replace(decode_context=shape.decode_context + more),
        shape._replace(
            num_tokens=shape.num_tokens + more,
            prefill_tokens=shape.prefill_tokens + more,
            prefill_pairs=shape.prefill_pairs + more * (more + 1) // 2,
            prefill_context=shape.prefill_context + more,
        ),
        shape._replace(num_sampled=shape.num_sampled + more),
        shape._replace(num_tokens=shape.num_tokens + more, num_seqs=shape.num_seqs + more),
    ]
    assert all(cost.step_ns(larger) >= before for larger in grown)


@given(st.sampled_from(CASES), batches(), st.floats(1.0, 8.0))
def test_a_better_gpu_is_never_slower(
    case: tuple[str, str, int], shape: BatchShape, by: float
) -> None:
    gpu = find_gpu(case[0])
    for field in (
        "bandwidth_bytes_per_s",
        "flops_16bit_per_s",
        "flops_fp8_per_s",
        "link_bytes_per_s",
    ):
        better = roofline(*case, **{field: getattr(gpu, field) * by})
        assert better.step_ns(shape) <= ROOFLINES[case].step_ns(shape)


@given(st.sampled_from(CASES), batches())
def test_twice_the_machine_halves_all_but_the_overhead(
    case: tuple[str, str, int], shape: BatchShape
) -> None:
    gpu = find_gpu(case[0])
    twice = {
        field: 2 * getattr(gpu, field)
        for field in (
            "bandwidth_bytes_per_s",
            "flops_16bit_per_s",
            "flops_fp8_per_s",
            "flops_int8_per_s",
            "link_bytes_per_s",
        )
    }
    one = roofline(*case, cost=NO_OVERHEAD).step_ns(shape)
    assert roofline(*case, cost=NO_OVERHEAD, **twice).step_ns(shape) == pytest.approx(
        one / 2, abs=1
    )


def test_one_sequence_of_a_mixture_reads_only_its_own_experts() -> None:
    cost = ROOFLINES[("h100", "mixtral-8x7b", 2)].coefficients
    assert cost.distinct_experts[0] == 0.0
    assert cost.distinct_experts[1] == pytest.approx(2.0)
    assert cost.distinct_experts[-1] == pytest.approx(8.0)
    assert cost.distinct_experts == sorted(cost.distinct_experts)


def test_sorting_takes_its_time_for_each_step_and_logit() -> None:
    shape = BatchShape(10, 10, 10, decode_context=1000, window_decode_context=1000)
    greedy = roofline("h100", "qwen3-8b").step_ns(shape)
    cost = CostConfig(sampler_step_s=0.5e-3, sampler_logit_s=1e-10)
    sorting = roofline("h100", "qwen3-8b", cost=cost).step_ns(shape)
    vocab = find_model("qwen3-8b").vocab
    assert sorting - greedy == pytest.approx(0.5e6 + 10 * vocab * 0.1, abs=2)


def test_a_decode_beside_a_prefill_costs_no_tile_where_heads_are_packed() -> None:
    decode = BatchShape(64, 64, 64, decode_context=64_000, window_decode_context=64_000)
    mixed = decode._replace(
        num_tokens=72, num_seqs=65, prefill_tokens=8, prefill_pairs=36, prefill_context=8
    )
    extra = [
        cost.step_ns(mixed) - cost.step_ns(decode)
        for cost in (roofline("h100", "codellama-34b", 2), roofline("a100", "codellama-34b", 2))
    ]
    assert 0 < 3 * extra[0] < extra[1]


def test_a_batch_beyond_the_captured_sizes_waits_for_launches() -> None:
    shape = BatchShape(4, 4, 4, decode_context=400, window_decode_context=400)
    assert EAGER.step_ns(shape) > roofline("h100", "qwen2.5-0.5b").step_ns(shape)


def test_a_batch_is_padded_to_the_captured_size() -> None:
    cost = roofline("l4", "qwen2.5-7b", cost=CostConfig(sequence_overhead_s=0.0))
    assert cost.coefficients.padded[9] == 16
    five = cost.step_ns(BatchShape(9, 9, 16, decode_context=900))
    assert five == cost.step_ns(BatchShape(16, 16, 16, decode_context=900))


def test_cpu_time_is_hidden_only_by_asynchronous_scheduling() -> None:
    spec, model = find_gpu("l4"), find_model("qwen2.5-7b")
    factors = resolve_factors(spec, model, CostConfig())
    shape = BatchShape(1, 1, 1, decode_context=100)
    hidden = Roofline(work_out(spec, model, factors, Execution(1, SIZES))).step_ns(shape)
    shown = Execution(1, SIZES, async_scheduling=False)
    cpu_ns = 1e9 * (factors["scheduler_step_s"].value + factors["scheduler_sequence_s"].value)
    assert Roofline(work_out(spec, model, factors, shown)).step_ns(shape) == pytest.approx(
        hidden + cpu_ns, abs=1
    )


def test_every_factor_has_unit_kind_and_source() -> None:
    for cost in ROOFLINES.values():
        for row in cost.factors():
            assert row["unit"]
            assert row["kind"] in ("datasheet", "measured", "fitted", "assumed")
            assert row["source"]


def test_the_weight_format_enters_apart_from_the_gpu() -> None:
    """Half the bytes of KV: half the attention, nothing else changes."""
    spec, model = find_gpu("l4"), find_model("qwen2.5-7b")
    factors = resolve_factors(spec, model, CostConfig())
    full = work_out(spec, model, factors, Execution(kv_element_bytes=2.0))
    half = work_out(spec, model, factors, Execution(kv_element_bytes=1.0))
    assert half.decode_full == full.decode_full / 2
    assert half.dense_memory == full.dense_memory
    awq = resolve_factors(spec, find_model("qwen2.5-7b-awq"), CostConfig())
    differs = {name for name in factors if awq[name].value != factors[name].value}
    assert differs == {"format_compute_ratio"}
