"""What a system takes where a setting is left open, as vLLM 0.32's server does."""

from __future__ import annotations

from typing import Any

import pytest

from agentsim.domain.config import Config, EngineConfig
from agentsim.errors import AgentSimError, ConfigError, UnknownName
from agentsim.machine.presets import PRESETS
from agentsim.machine.system import System, build_system, read_config


def system(gpu: str = "l4", model: str = "qwen2.5-7b-awq", **engine: Any) -> System:
    return build_system(Config(gpu=gpu, model=model, engine=EngineConfig(**engine)))


@pytest.mark.parametrize(
    ("gpu", "budget", "seqs"),
    [
        ("l4", 2048, 256),
        ("l40s", 2048, 256),
        ("a100", 2048, 256),
        ("h100", 8192, 1024),
        ("rtxpro6000", 8192, 1024),
        ("b200", 16384, 1024),
    ],
)
def test_budget_and_sequences_depend_on_the_gpus_memory(gpu: str, budget: int, seqs: int) -> None:
    engine = system(gpu).engine
    assert (engine.max_num_batched_tokens, engine.max_num_seqs) == (budget, seqs)
    assert engine.max_num_active_seqs == seqs
    assert (engine.block_size, engine.gpu_memory_utilization) == (16, 0.92)


def test_throughput_mode_doubles_what_was_left_open() -> None:
    engine = system(performance_mode="throughput", max_num_seqs=100).engine
    assert (engine.max_num_batched_tokens, engine.max_num_seqs) == (4096, 100)


def test_the_budget_is_cut_to_what_the_sequences_can_hold() -> None:
    assert system(max_num_seqs=1, max_model_len=1000).engine.max_num_batched_tokens == 1000
    assert system(max_num_batched_tokens=64).engine.max_num_seqs == 64
    assert system(enable_chunked_prefill=False).engine.max_num_batched_tokens == 32768


def test_asynchronous_scheduling_is_off_for_ngram_and_on_otherwise() -> None:
    drafts = {"num_speculative_tokens": 3}
    assert system().engine.async_scheduling is True
    assert system(async_scheduling=False).engine.async_scheduling is False
    assert system(speculative_method="ngram", **drafts).engine.async_scheduling is False
    assert system(speculative_method="medusa", **drafts).engine.async_scheduling is False
    assert system(speculative_method="eagle", **drafts).engine.async_scheduling is True
    with pytest.raises(ConfigError, match=r"vLLM 0\.32 has none with"):
        system(speculative_method="ngram", async_scheduling=True, **drafts)


def test_captured_sizes_are_those_of_vllm() -> None:
    sizes = system().engine.cudagraph_capture_sizes
    assert sizes is not None
    assert sizes[:5] == (1, 2, 4, 8, 16)
    assert (sizes[-1], len(sizes)) == (512, 51), "PIECEWISE=51 (largest=512) in logs"
    assert len([size for size in sizes if size <= 256]) == 35, "FULL=35 (largest=256) in logs"
    assert system(max_num_seqs=1).engine.cudagraph_capture_sizes == (1, 2)
    assert system(max_num_seqs=5).engine.cudagraph_capture_sizes == (1, 2, 4, 5, 8)
    assert system(enforce_eager=True).engine.cudagraph_capture_sizes == ()
    assert system(max_cudagraph_capture_size=16).engine.cudagraph_capture_sizes == (1, 2, 4, 8, 16)
    few = system(max_num_seqs=2, speculative_method="ngram", num_speculative_tokens=4).engine
    assert few.cudagraph_capture_sizes == (1, 2, 4, 5, 8, 10, 16)
    fine = system(performance_mode="interactivity", max_num_seqs=4).engine
    assert fine.cudagraph_capture_sizes == tuple(range(1, 9))


def test_nothing_vllm_resolves_is_left_open() -> None:
    engine = system().engine
    open_still = {name for name in EngineConfig.__struct_fields__ if getattr(engine, name) is None}
    assert open_still == {"kv_cache_memory_bytes", "kv_offloading_size", "quantization"}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_model_len": 50_000}, "max_model_len: expected at most 32768"),
        ({"tensor_parallel_size": 3}, "tensor_parallel_size: expected a divisor of the 28"),
        ({"quantization": "fp8"}, "has weights in awq, not in fp8"),
        ({"max_num_batched_tokens": 8, "enable_chunked_prefill": False}, "without chunked prefill"),
        ({"max_num_seqs": 4000}, "expected at least max_num_seqs (4000), got 2048"),
        ({"long_prefill_token_threshold": 40_000}, "expected at most max_model_len (32768)"),
    ],
)
def test_what_vllm_refuses_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(AgentSimError) as caught:
        system(**settings)
    assert message in str(caught.value)


def test_an_unknown_quantization_is_named() -> None:
    with pytest.raises(UnknownName, match="unknown quantization 'awk'; did you mean 'awq'"):
        system(quantization="awk")


def test_16_bit_weights_can_be_made_fp8_while_loading() -> None:
    assert system(model="qwen2.5-7b", quantization="fp8").model.weight_format.name == "fp8"


def test_the_early_preset_sets_what_is_known_and_says_what_is_not() -> None:
    config, assumptions = read_config(preset="early-2025")
    assert config.engine.scheduler_reserve_full_isl is False
    assert config.engine.free_queue == "one-ended"
    assert config.engine.lone_prefill_exempt is False
    assert [row["name"] for row in assumptions] == ["preset early-2025"]
    assert "0.32" in assumptions[0]["source"]
    for preset in PRESETS.values():
        for name in preset.settings:
            assert name.removeprefix("engine.") in EngineConfig.__struct_fields__


def test_all_that_was_assumed_is_listed_with_its_source() -> None:
    config, before = read_config(vllm_args="--port 1 --max-num-seqs 2")
    assumptions = build_system(config, before).assumptions
    names = [row["name"] for row in assumptions]
    assert names[0] == "vllm_args without effect"
    assert {"kv.activation_bytes", "bandwidth_efficiency", "bandwidth"} <= set(names)
    for row in assumptions:
        assert row["kind"] in ("datasheet", "measured", "fitted", "assumed")
        assert row["source"]


def test_a_models_window_is_an_assumption_of_the_pool() -> None:
    rows = system("h100", "gpt-oss-20b").assumptions
    assert any(row["name"] == "kv.sliding_window" for row in rows)


def test_the_cpu_platform_has_no_graphs_and_schedules_in_step() -> None:
    """As vLLM's CPU platform; what is asked for is kept."""
    config, _ = read_config(gpu="cpu", model="tiny-qwen2-82m", sets=["engine.max_model_len=8192"])
    engine = build_system(config).engine
    assert (engine.cudagraph_capture_sizes, engine.async_scheduling) == ((), False)
