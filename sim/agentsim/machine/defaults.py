"""What vLLM 0.32's server takes where a setting is left open, and what it refuses.

The rules are those of engine/arg_utils.py `get_batch_defaults` and of config/vllm.py
`__post_init__` and `_set_cudagraph_sizes`.
"""

from __future__ import annotations

import msgspec

from agentsim.domain.config import EngineConfig
from agentsim.domain.specs import GpuSpec, ModelSpec
from agentsim.domain.units import GIB
from agentsim.errors import ConfigError

#: Speculative methods that asynchronous scheduling of 0.32 supports (config/vllm.py).
ASYNC_METHODS = ("none", "draft_model", "eagle", "eagle3", "mtp")


def fill_defaults(
    engine: EngineConfig, gpu: GpuSpec, model: ModelSpec, decode_tokens: int = 1
) -> EngineConfig:
    """`engine` with vLLM 0.32's server defaults where it says None; `num_gpu_blocks` stays.

    Parameters
    ----------
    decode_tokens : int
        Tokens a step computes of each sequence that decodes: 1 + drafts.
    """
    tokens, seqs = _batch_defaults(gpu)
    if engine.performance_mode == "throughput":
        tokens, seqs = 2 * tokens, 2 * seqs
    length = engine.max_model_len if engine.max_model_len is not None else model.max_position
    known_length = model.max_position if length == -1 else length
    if known_length > model.max_position:
        raise ConfigError(
            f"engine.max_model_len: expected at most {model.max_position}, the longest context of "
            f"{model.name}, got {length}"
        )
    max_num_seqs = engine.max_num_seqs or seqs
    if engine.max_num_batched_tokens is None:
        if not engine.enable_chunked_prefill:
            tokens = max(known_length, tokens)
        tokens = min(max_num_seqs * known_length, tokens)
    budget = engine.max_num_batched_tokens or tokens
    if engine.max_num_seqs is None:
        max_num_seqs = min(max_num_seqs, budget)
    if budget < max_num_seqs:
        raise ConfigError(
            f"engine.max_num_batched_tokens: expected at least max_num_seqs ({max_num_seqs}), got "
            f"{budget}"
        )
    if budget < known_length and not engine.enable_chunked_prefill:
        raise ConfigError(
            f"engine.max_num_batched_tokens: expected at least max_model_len ({known_length}) "
            f"without chunked prefill, got {budget}"
        )
    if engine.long_prefill_token_threshold > known_length:
        raise ConfigError(
            "engine.long_prefill_token_threshold: expected at most max_model_len "
            f"({known_length}), got {engine.long_prefill_token_threshold}"
        )
    supported = engine.speculative_method in ASYNC_METHODS
    if engine.async_scheduling and not supported:
        raise ConfigError(
            "engine.async_scheduling: vLLM 0.32 has none with speculative_method "
            f"{engine.speculative_method!r}; leave it out"
        )
    sizes = _capture_sizes(engine, gpu, max_num_seqs, budget, decode_tokens)
    return msgspec.structs.replace(
        engine,
        block_size=engine.block_size or 16,
        gpu_memory_utilization=engine.gpu_memory_utilization or 0.92,
        max_num_seqs=max_num_seqs,
        max_num_active_seqs=engine.max_num_active_seqs or max_num_seqs,
        max_num_batched_tokens=budget,
        max_model_len=length,
        async_scheduling=_first_given(engine.async_scheduling, supported and not _is_cpu(gpu)),
        cudagraph_capture_sizes=sizes,
        max_cudagraph_capture_size=sizes[-1] if sizes else 0,
    )


def _is_cpu(gpu: GpuSpec) -> bool:
    """Whether it is vLLM's CPU platform, which has no CUDA graphs and schedules in step."""
    return gpu.compute_capability == 0


def _first_given(given: bool | None, default: bool) -> bool:
    return default if given is None else given


def _batch_defaults(gpu: GpuSpec) -> tuple[int, int]:
    """Token budget and sequences of a server (engine/arg_utils.py `get_batch_defaults`)."""
    if gpu.memory_bytes >= 160 * GIB:
        return 16384, 1024
    if gpu.memory_bytes >= 70 * GIB and "a100" not in gpu.device_name.lower():
        return 8192, 1024
    return 2048, 256


def _capture_sizes(
    engine: EngineConfig, gpu: GpuSpec, max_num_seqs: int, budget: int, decode_tokens: int
) -> tuple[int, ...]:
    """Batch sizes with a CUDA graph (config/vllm.py `_set_cudagraph_sizes`)."""
    if engine.enforce_eager or engine.max_cudagraph_capture_size == 0 or _is_cpu(gpu):
        return ()
    if engine.cudagraph_capture_sizes is not None:
        return tuple(sorted({size for size in engine.cudagraph_capture_sizes if size <= budget}))
    ceiling = 1024 if gpu.compute_capability // 10 == 10 else 512
    largest = engine.max_cudagraph_capture_size
    sizes: set[int] = set()
    if largest is None:
        largest = min(max_num_seqs * decode_tokens * 2, ceiling)
        if decode_tokens > 1:
            counts = [*_grid(min(max_num_seqs, ceiling)), min(max_num_seqs, ceiling)]
            sizes = {n * decode_tokens for n in counts if n * decode_tokens <= largest}
        elif max_num_seqs <= largest:
            sizes = {max_num_seqs}
    largest = min(budget, largest)
    sizes = {size for size in sizes if size <= budget}
    if engine.performance_mode == "interactivity":
        sizes.update(range(1, min(largest, 32) + 1))
    sizes.update(_grid(largest))
    if budget <= largest:
        sizes.add(budget)
    return tuple(sorted(sizes))


def _grid(largest: int) -> list[int]:
    """1, 2, 4, then every 8 below 256, then every 16, up to `largest`."""
    small = [n for n in (1, 2, 4) if n <= largest]
    return [*small, *range(8, min(largest + 1, 256), 8), *range(256, largest + 1, 16)]
