"""KV capacity against what real servers logged, and the arithmetic of refusals."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest

from agentsim.domain.config import Config, EngineConfig, load_config
from agentsim.errors import DoesNotFit
from agentsim.machine.capacity import KVCapacity
from agentsim.machine.system import build_system


def capacity(gpu: str, model: str, **engine: Any) -> KVCapacity:
    return build_system(Config(gpu=gpu, model=model, engine=EngineConfig(**engine))).capacity


def test_the_cpu_example_logs_what_vllm_logged() -> None:
    """12 layers, 4 KV heads of 64, blocks of 32: 1 GiB is 2730 blocks, 87,360 tokens (0.32.0)."""
    found = capacity(
        "h100", "tiny-qwen2-82m", kv_cache_memory_bytes=2**30, block_size=32, max_model_len=8192
    )
    assert (found.block_bytes, found.num_gpu_blocks) == (393_216, 2730)
    assert found.log_lines() == [
        "Available KV cache memory: 1.0 GiB",
        "GPU KV cache size: 87,360 tokens, "
        "Maximum concurrency for 8,192 tokens per request: 10.66x",
    ]


def test_given_blocks_are_taken_as_they_are() -> None:
    found = capacity("l4", "llama-3.1-8b", num_gpu_blocks=100, max_model_len=512)
    assert found.num_gpu_blocks == 100
    assert len(found.log_lines()) == 1
    assert found.assumptions() == []


def test_llama_on_an_rtx_4090_has_the_blocks_vllm_found() -> None:
    """2588 blocks, vLLM 0.19, 0.9 of the memory, budget 2048, 256 sequences."""
    found = capacity(
        "rtx4090",
        "llama-3.1-8b",
        gpu_memory_utilization=0.9,
        max_model_len=32768,
        estimate_cudagraph_memory=False,
    )
    assert found.num_gpu_blocks == pytest.approx(2588, rel=0.01)


def test_h100_runs_have_the_blocks_vllm_logged(shared: Path) -> None:
    """Llama-2 7B and 70B, Mixtral, CodeLlama in tensor parallel of 1, 2 and 4: within 1 %."""
    with (shared / "measured/inference-sim-training/runs.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 9
    for row in rows:
        found = capacity(
            "h100",
            row["model"],
            gpu_memory_utilization=0.9,
            max_num_seqs=128,
            max_num_batched_tokens=2048,
            max_model_len=4096,
            tensor_parallel_size=int(row["tp"]),
            estimate_cudagraph_memory=False,
        )
        assert found.num_gpu_blocks == pytest.approx(int(row["num_gpu_blocks"]), rel=0.01)


def test_graph_memory_is_taken_from_the_cache_since_0_21() -> None:
    before, since = (
        capacity("h100", "llama-3.1-8b", estimate_cudagraph_memory=on) for on in (False, True)
    )
    assert (before.graph_bytes, before.available_bytes) == (
        0,
        since.available_bytes + since.graph_bytes,
    )


def test_the_case_study_has_room_for_one_longest_request() -> None:
    """About 50 k tokens before CUDA graphs: 9.98 GB of weights on an L4 at 0.90."""
    found = build_system(load_config()).capacity
    assert 44_000 < found.num_tokens < 50_000
    assert found.num_tokens == found.num_gpu_blocks * found.block_size
    assert found.weight_bytes == pytest.approx(9.98e9, rel=0.001)


def test_terms_add_up_to_the_memory_requested() -> None:
    found = build_system(load_config()).capacity
    terms = found.weight_bytes + found.activation_bytes + found.graph_bytes + found.other_bytes
    assert terms + found.available_bytes == found.requested_bytes


def test_a_model_that_does_not_fit_shows_weights_and_what_is_free() -> None:
    with pytest.raises(DoesNotFit) as caught:
        capacity("l4", "qwen2.5-14b")
    assert "weights 27.51 GiB" in str(caught.value)
    assert "GiB free for the KV cache" in str(caught.value)


def test_a_length_that_does_not_fit_is_refused_with_the_longest_that_does() -> None:
    with pytest.raises(
        DoesNotFit, match=r"needs 8192 blocks .* set max_model_len to at most (\d+)"
    ):
        capacity("l4", "llama-3.1-8b")
    fitted = capacity("l4", "llama-3.1-8b", max_model_len=-1)
    assert fitted.max_model_len == (fitted.num_gpu_blocks - 1) * 16
    assert capacity("l4", "llama-3.1-8b", max_model_len=fitted.max_model_len)
    with pytest.raises(DoesNotFit):
        capacity("l4", "llama-3.1-8b", max_model_len=fitted.max_model_len + 1)


def test_more_memory_never_means_fewer_blocks() -> None:
    found = [
        capacity("l4", "qwen2.5-7b-awq", gpu_memory_utilization=share).num_gpu_blocks
        for share in (0.6, 0.7, 0.8, 0.92, 1.0)
    ]
    assert found == sorted(found)
    fp8 = capacity("l4", "qwen2.5-7b-awq", kv_cache_dtype="fp8").num_gpu_blocks
    full = capacity("l4", "qwen2.5-7b-awq").num_gpu_blocks
    assert fp8 in (2 * full, 2 * full + 1)
