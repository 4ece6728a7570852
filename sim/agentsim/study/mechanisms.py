"""Which settings belong to which mechanism of serving: `MECHANISMS`."""

from __future__ import annotations

#: What `engine.kind` is taken apart into, beside settings that have names already.
RUNTIME, LAYOUT, API = "kind.model_code", "kind.kv_memory", "kind.api_server"

#: Mechanisms and the settings that are theirs; a name that ends in a dot stands for a table.
MECHANISMS: dict[str, tuple[str, ...]] = {
    "model code": (RUNTIME,),
    "paging": (LAYOUT,),
    "API server": (API,),
    "prefix caching": ("engine.enable_prefix_caching",),
    "chunked prefill": (
        "engine.enable_chunked_prefill",
        "engine.max_num_batched_tokens",
        "engine.long_prefill_token_threshold",
        "engine.long_prefill_token_threshold_adaptive",
    ),
    "CUDA graphs": (
        "engine.enforce_eager",
        "engine.cudagraph_capture_sizes",
        "engine.max_cudagraph_capture_size",
    ),
    "batching": ("engine.max_num_seqs", "engine.max_num_active_seqs"),
    "async scheduling": ("engine.async_scheduling",),
    "speculation": ("engine.speculative_method", "engine.num_speculative_tokens", "speculation."),
    "quantisation": ("model", "engine.quantization", "engine.dtype"),
    "KV quantisation": ("engine.kv_cache_dtype",),
    "tensor parallelism": ("engine.tensor_parallel_size",),
    "replicas": ("cluster.",),
    "GPU": ("gpu", "profile"),
    "KV memory": (
        "engine.num_gpu_blocks",
        "engine.gpu_memory_utilization",
        "engine.kv_cache_memory_bytes",
        "engine.block_size",
        "engine.watermark",
        "engine.estimate_cudagraph_memory",
    ),
    "context limit": ("engine.max_model_len", "agents.too_long", "agents.compact_tokens"),
    "KV offloading": ("engine.kv_offloading_size",),
    "eviction": ("engine.free_queue", "engine.eviction"),
}
#: Mechanisms that cost nothing to switch on.
SOFTWARE = (
    "prefix caching",
    "chunked prefill",
    "CUDA graphs",
    "batching",
    "async scheduling",
    "speculation",
)
_BY_SETTING = {name: label for label, names in MECHANISMS.items() for name in names}


def mechanism_of(setting: str) -> str:
    """The mechanism of a setting; nothing if it is of none."""
    table = setting.partition(".")[0] + "."
    return _BY_SETTING.get(setting) or _BY_SETTING.get(table, "")
