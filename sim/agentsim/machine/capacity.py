"""How much KV cache fits, worked out as vLLM 0.32 does at start-up.

``requested = ceil(total * utilisation)`` (v1/worker/utils.py `request_memory`); the KV cache gets
what weights, peak activations, CUDA graphs and other allocations leave of it (gpu_worker.py
`determine_available_memory`); blocks are that over the bytes of a block (kv_cache_utils.py). vLLM
measures activations and graphs in a profile run; here they are formulas, each named below.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from agentsim.domain.config import EngineConfig
from agentsim.domain.specs import GpuSpec, ModelSpec
from agentsim.domain.units import GIB
from agentsim.errors import DoesNotFit
from agentsim.machine.drafting import DraftPlan

MIB = 1 << 20

#: Bytes the profile run's sampler holds for each logit, max_num_seqs rows: float32 logits, their
#: sort with indices and workspace, probabilities, masks. Fitted to the 2588 blocks that vLLM 0.19
#: found for Llama-3.1-8B on an RTX 4090.
SAMPLER_BYTES_PER_LOGIT = 36
#: Bytes of one CUDA graph in vLLM's estimate: 0.37 GiB for 54 graphs, 0.64 and 0.78 GiB for 86
#: ("Estimated CUDA graph memory" in start-up logs of 0.21 and later that users have published).
GRAPH_BYTES = 8 * MIB
#: Allocations beside PyTorch's in vLLM's process (cuBLAS, attention workspaces). Assumed, from
#: "non_torch_memory" lines of start-up logs.
NON_TORCH_BYTES = 80 * MIB
#: NCCL and all-reduce buffers on each GPU with tensor parallelism; fitted to the blocks of
#: Llama-2-70B, CodeLlama-34B and Mixtral on 2 and 4 H100.
PARALLEL_BYTES = 400 * MIB

#: Bytes of a cached number by `kv_cache_dtype`.
KV_ELEMENT_BYTES = {"fp8": 1.0, "fp8_e4m3": 1.0, "fp8_e5m2": 1.0}


@dataclass(frozen=True, slots=True)
class KVCapacity:
    """The KV cache of one replica; bytes are those of one of its GPUs.

    Attributes
    ----------
    num_gpu_blocks : int
        Blocks of the pool, the one that is never used included.
    available_bytes : int
        For the KV cache; 0 where `num_gpu_blocks` was given.
    draft_bytes : int
        Weights of a draft model or of heads; their KV is part of each block.
    tokens_per_request : int
        Block-rounded tokens that one request of `max_model_len` takes.
    """

    num_gpu_blocks: int
    block_size: int
    block_bytes: int
    max_model_len: int
    requested_bytes: int
    weight_bytes: int
    activation_bytes: int
    graph_bytes: int
    other_bytes: int
    available_bytes: int
    is_given: bool
    device: str = "GPU"
    draft_bytes: int = 0

    @property
    def max_concurrency(self) -> float:
        """Requests of `max_model_len` that fit at once, as vLLM counts them."""
        return self.num_gpu_blocks / math.ceil(self.max_model_len / self.block_size)

    @property
    def num_tokens(self) -> int:
        """Tokens of KV cache as vLLM logs them (kv_cache_utils.py `get_kv_cache_capacity`)."""
        return int(self.max_concurrency * self.max_model_len)

    def log_lines(self) -> list[str]:
        """The lines that vLLM 0.32 would log at start-up."""
        lines = []
        if not self.is_given:
            lines.append(f"Available KV cache memory: {round(self.available_bytes / GIB, 2)} GiB")
        lines.append(
            f"{self.device} KV cache size: {self.num_tokens:,} tokens, Maximum concurrency for "
            f"{self.max_model_len:,} tokens per request: {self.max_concurrency:.2f}x"
        )
        return lines

    def _draft_rows(self) -> list[tuple[str, int, str, str]]:
        source = "shape of the draft model or of the heads of engine.speculative_method"
        return [("kv.draft_bytes", self.draft_bytes, "assumed", source)] if self.draft_bytes else []

    def assumptions(self) -> list[dict[str, Any]]:
        """The terms that were worked out, not given."""
        if self.is_given:
            return []
        rows = (
            ("kv.weight_bytes", self.weight_bytes, "datasheet", "shape and format of the model"),
            *self._draft_rows(),
            ("kv.activation_bytes", self.activation_bytes, "fitted", "docs/model.md, KV capacity"),
            ("kv.graph_bytes", self.graph_bytes, "assumed", "8 MiB for each captured CUDA graph"),
            (
                "kv.other_bytes",
                self.other_bytes,
                "assumed",
                "80 MiB, 400 MiB more in tensor parallel",
            ),
        )
        return [{"name": n, "value": v, "kind": k, "source": s} for n, v, k, s in rows]


def activation_bytes(model: ModelSpec, engine: EngineConfig) -> int:
    """Peak of the profile run at max_num_batched_tokens: the larger of a layer and the sampler."""
    tokens, shards = engine.max_num_batched_tokens or 0, engine.tensor_parallel_size
    rows = min(engine.max_num_seqs or 0, tokens)
    heads = max(model.num_heads + 2 * group.num_kv_heads for group in model.attention)
    head_dim = max(group.head_dim for group in model.attention)
    width = max(3 * model.intermediate, 2 * heads * head_dim) / shards
    if experts := model.experts:
        # gate and up, their product and the down projection of every routed copy of a token
        routed = experts.per_token * (3 * experts.intermediate / shards + model.hidden)
        width = max(
            routed + 3 * experts.shared_intermediate / shards, 2 * heads * head_dim / shards
        )
    layer = 2.0 * tokens * (3 * model.hidden + width)
    sampler = float(rows * model.vocab * SAMPLER_BYTES_PER_LOGIT) + 2.0 * tokens * model.hidden
    return math.ceil(max(layer, sampler))


def num_graphs(engine: EngineConfig) -> int:
    """CUDA graphs captured: each size for mixed batches, and each up to max_num_seqs for decode."""
    sizes = engine.cudagraph_capture_sizes or ()
    decode = (engine.max_num_seqs or 0) * (1 + engine.num_speculative_tokens)
    return len(sizes) + sum(1 for size in sizes if size <= decode)


def kv_element_bytes(engine: EngineConfig) -> float:
    """Bytes of a number in the KV cache."""
    return KV_ELEMENT_BYTES.get(engine.kv_cache_dtype, 2.0)


def size_kv_cache(
    gpu: GpuSpec, model: ModelSpec, engine: EngineConfig, draft: DraftPlan | None = None
) -> KVCapacity:
    """The KV cache that vLLM would set up.

    Parameters
    ----------
    engine : EngineConfig
        With every default filled in; `max_model_len` may be -1.
    draft : DraftPlan or None
        Who drafts: its weights leave less for the cache, and its KV shares the blocks.

    Raises
    ------
    DoesNotFit
        If the weights leave no room, or no request of `max_model_len` fits.
    """
    shards, block_size = engine.tensor_parallel_size, engine.block_size or 16
    token_bytes = model.kv_bytes_per_token(kv_element_bytes(engine), shards)
    draft_bytes = 0
    if draft is not None:
        token_bytes += draft.kv_token_bytes
        draft_bytes = draft.weight_bytes
    block_bytes = token_bytes * block_size
    requested = math.ceil(gpu.memory_bytes * (engine.gpu_memory_utilization or 1.0))
    weights = math.ceil(model.weight_bytes / shards)
    activations = activation_bytes(model, engine)
    graphs = num_graphs(engine) * GRAPH_BYTES if engine.estimate_cudagraph_memory else 0
    other = NON_TORCH_BYTES + (PARALLEL_BYTES if shards > 1 else 0)
    available = requested - weights - draft_bytes - activations - graphs - other
    if engine.kv_cache_memory_bytes is not None:
        available = engine.kv_cache_memory_bytes
    blocks = engine.num_gpu_blocks
    if blocks is None:
        blocks = available // block_bytes
        if blocks < 2:
            raise DoesNotFit(
                f"{model.name} does not fit {_place(gpu, shards)}: weights {_gib(weights)} GiB"
                f"{_and_drafter(draft)} and "
                f"{_gib(activations + graphs + other)} GiB of activations and graphs of the "
                f"{_gib(requested)} GiB requested ({engine.gpu_memory_utilization} of "
                f"{_gib(gpu.memory_bytes)} GiB) leave {_gib(available)} GiB free for the KV cache, "
                f"which takes {_gib(1000 * token_bytes)} GiB for every 1000 tokens: raise "
                "gpu_memory_utilization or tensor_parallel_size, or take a smaller model or weight "
                "format"
            )
    return KVCapacity(
        num_gpu_blocks=blocks,
        block_size=block_size,
        block_bytes=block_bytes,
        max_model_len=_max_model_len(model, engine, blocks, block_bytes, draft),
        requested_bytes=requested,
        weight_bytes=weights,
        activation_bytes=activations,
        graph_bytes=graphs,
        other_bytes=other,
        available_bytes=available if engine.num_gpu_blocks is None else blocks * block_bytes,
        is_given=engine.num_gpu_blocks is not None,
        draft_bytes=draft_bytes,
    )


def _max_model_len(
    model: ModelSpec,
    engine: EngineConfig,
    blocks: int,
    block_bytes: int,
    draft: DraftPlan | None,
) -> int:
    """The longest request, fitted for -1, after a request of that length was found to fit."""
    block_size, length = engine.block_size or 16, engine.max_model_len or 0
    usable = (blocks - 1) * block_size
    if length == -1:
        return min(model.max_position, usable)
    if math.ceil(length / block_size) > blocks - 1:
        need = math.ceil(length / block_size) * block_bytes
        raise DoesNotFit(
            f"one request of max_model_len {length} needs {need // block_bytes} blocks of "
            f"{block_size} tokens ({_gib(need)} GiB) of KV cache and {blocks - 1} are usable "
            f"({_gib((blocks - 1) * block_bytes)} GiB{_beside(draft)}): set "
            f"max_model_len to at most {usable}, or raise gpu_memory_utilization"
        )
    return length


def _and_drafter(draft: DraftPlan | None) -> str:
    if draft is None or not draft.weight_bytes:
        return ""
    return f", {_gib(draft.weight_bytes)} GiB of the {draft.name}"


def _beside(draft: DraftPlan | None) -> str:
    return f" beside{_and_drafter(draft)[1:]}" if _and_drafter(draft) else ""


def _place(gpu: GpuSpec, shards: int) -> str:
    return gpu.name if shards == 1 else f"each of {shards} {gpu.name}"


def _gib(num_bytes: float) -> str:
    return f"{num_bytes / GIB:.2f}"
