"""Nanoseconds for each unit of a step's work, from the specs and the named factors."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import asdict, dataclass
from typing import Any

from agentsim.domain.specs import GpuSpec, ModelSpec
from agentsim.machine.experts import distinct_experts
from agentsim.machine.factors import Factor
from agentsim.machine.rates import work_out_rates

#: Bytes moved for each logit by the cast to float32 and the greedy sampler: 10, from the sampler's
#: 311 us at 256 rows of 128 256 on an RTX 4090 (LLMServingSim profile of vLLM 0.19).
SAMPLER_BYTES_PER_LOGIT = 10.0

#: Rows of the table of distinct experts: with more tokens all are active, but for a few rare ones
#: of several hundred.
_EXPERT_ROWS = 4096


@dataclass(frozen=True, slots=True)
class Execution:
    """What of the engine's settings a step time depends on.

    Attributes
    ----------
    capture_sizes : tuple of int
        Batch sizes in tokens with a CUDA graph, ascending; empty: none.
    decode_tokens : int
        Tokens of a sequence in a uniform decode step: 1 + drafts, or more where branches are
        verified; 0: no decode step is captured whole.
    kv_element_bytes : float
        2 for 16 bits, 1 for fp8.
    """

    tensor_parallel_size: int = 1
    capture_sizes: tuple[int, ...] = ()
    decode_tokens: int = 1
    async_scheduling: bool = True
    kv_element_bytes: float = 2.0


@dataclass(frozen=True, slots=True)
class Coefficients:
    """What `Roofline` multiplies the sums of a batch by; all in nanoseconds but for the tables.

    Attributes
    ----------
    dense_memory, dense_compute : float
        Streaming all weights but experts and LM head once; their product for one token.
    expert_memory, expert_compute : float
        Streaming one expert of every layer; the products of one token's experts.
    distinct_experts : list of float
        Expected experts of a layer that a batch of so many tokens activates.
    exposed : float
        Share of the shorter of memory and compute time that is not hidden.
    head_memory, head_compute, row : float
        LM head: streaming it; the product of one row; sampling of one row.
    context_full, context_window : float
        Reading one token's KV in all layers of full, of sliding attention.
    decode_full, decode_window : float
        The same for decodes; with many tokens of a sequence their products, if they take longer.
    mixed_full, mixed_window : float
        The same for decodes of a step that also prefills: each takes the rows of a tile.
    pairs_full, pairs_window : float
        One query-key pair in all layers of full, of sliding attention.
    token, token_link : float
        One token's element-wise traffic and all-reduces; of it the all-reduces.
    layers, layers_link : float
        Fixed cost of all layers; of it the latency of the all-reduces.
    padded : list of int
        Tokens a batch is padded to, by its tokens, up to `largest_graph`.
    padded_decode : list of int
        The same for uniform decode steps, whose graphs hold whole sequences.
    """

    dense_memory: float
    dense_compute: float
    expert_memory: float
    expert_compute: float
    distinct_experts: list[float]
    last_expert_row: int
    exposed: float
    head_memory: float
    head_compute: float
    row: float
    context_full: float
    context_window: float
    decode_full: float
    decode_window: float
    mixed_full: float
    mixed_window: float
    pairs_full: float
    pairs_window: float
    token: float
    token_link: float
    layers: float
    layers_link: float
    sequence: float
    step: float
    launch_piecewise: float
    launch_eager: float
    cpu_step: float
    cpu_sequence: float
    hides_cpu: bool
    decode_tokens: int
    largest_graph: int
    padded: list[int]
    largest_decode_graph: int
    padded_decode: list[int]
    factors: tuple[dict[str, Any], ...]


def work_out(
    gpu: GpuSpec, model: ModelSpec, factors: dict[str, Factor], execution: Execution
) -> Coefficients:
    """The coefficients of `model` on `gpu`."""
    f = {name: factor.value for name, factor in factors.items()}
    shards = execution.tensor_parallel_size
    experts, layers = model.experts, model.num_layers
    rates = work_out_rates(gpu, model, factors)
    hidden_bytes = 2.0 * model.hidden
    token_link, layers_link = 0.0, 0.0
    if shards > 1:
        # two all-reduces a layer; a ring sends 2 (N - 1) / N of the data over each link
        sent = 2 * layers * hidden_bytes * 2 * (shards - 1) / shards
        token_link = sent * 1e9 / (gpu.link_bytes_per_s * f["link_efficiency"])
        layers_link = 2 * layers * f["allreduce_latency_s"] * 1e9
    rows = _EXPERT_ROWS if experts else 0
    fixed = layers * (f["layer_overhead_s"] + f["format_overhead_s"])
    if experts:
        fixed += experts.num_layers * f["expert_overhead_s"]
    context_full = _kv_bytes(model, execution, windowed=False) * rates.context_byte
    context_window = _kv_bytes(model, execution, windowed=True) * rates.context_byte
    pairs_full = _pair_flops(model, windowed=False) / shards * rates.attention_flop
    pairs_window = _pair_flops(model, windowed=True) / shards * rates.attention_flop
    queries = execution.decode_tokens if execution.decode_tokens > 1 else 0
    rows_of_decode = max(f["mixed_decode_rows"], queries)
    padded_decode = _padded(_decode_sizes(execution))
    widest = execution.capture_sizes[-1] if execution.capture_sizes else 0
    expert_bytes = model.expert_params * model.bytes_per_param("experts")
    return Coefficients(
        dense_memory=model.dense_bytes / shards * rates.weight_byte,
        dense_compute=_dense_flops(model) / shards * rates.weight_flop,
        expert_memory=(experts.num_layers if experts else 0)
        * expert_bytes
        / shards
        * rates.weight_byte,
        expert_compute=_expert_flops(model) / shards * rates.weight_flop,
        distinct_experts=distinct_experts(experts, f["expert_skew"], rows) if experts else [],
        last_expert_row=rows,
        exposed=rates.exposed,
        head_memory=model.lm_head_params * 2.0 / shards * rates.byte,
        head_compute=model.lm_head_params * 2.0 / shards * rates.flop,
        row=model.vocab * (SAMPLER_BYTES_PER_LOGIT * rates.byte + f["sampler_logit_s"] * 1e9),
        context_full=context_full,
        context_window=context_window,
        decode_full=max(context_full, queries * pairs_full),
        decode_window=max(context_window, queries * pairs_window),
        mixed_full=max(context_full, rows_of_decode * pairs_full),
        mixed_window=max(context_window, rows_of_decode * pairs_window),
        pairs_full=pairs_full,
        pairs_window=pairs_window,
        token=_elementwise_bytes(model, shards) * rates.byte + token_link,
        token_link=token_link,
        layers=fixed * 1e9 + layers_link,
        layers_link=layers_link,
        sequence=f["sequence_overhead_s"] * 1e9,
        step=(f["step_overhead_s"] + f["sampler_step_s"]) * 1e9,
        launch_piecewise=layers * f["piecewise_launch_s"] * 1e9,
        launch_eager=layers * f["eager_launch_s"] * 1e9,
        cpu_step=f["scheduler_step_s"] * 1e9,
        cpu_sequence=f["scheduler_sequence_s"] * 1e9,
        hides_cpu=execution.async_scheduling,
        decode_tokens=execution.decode_tokens,
        largest_graph=widest,
        padded=_padded(execution.capture_sizes),
        largest_decode_graph=len(padded_decode) - 1,
        padded_decode=padded_decode,
        factors=(*_datasheet(gpu), *(asdict(factor) for factor in factors.values())),
    )


def _dense_flops(model: ModelSpec) -> float:
    """Two for each weight that every token passes."""
    return 2.0 * (model.attention_params + model.mlp_params + model.extra_linear_params)


def _expert_flops(model: ModelSpec) -> float:
    experts = model.experts
    return 2.0 * experts.num_layers * experts.per_token * model.expert_params if experts else 0.0


def _kv_bytes(model: ModelSpec, execution: Execution, *, windowed: bool) -> float:
    """KV read for each token of context by one GPU; layers that share a cache read it too."""
    shards = execution.tensor_parallel_size
    elements = sum(
        group.num_layers * 2 * max(1, group.num_kv_heads // shards) * group.head_dim
        for group in model.attention
        if (group.window is not None) == windowed
    )
    return elements * execution.kv_element_bytes


def _pair_flops(model: ModelSpec, *, windowed: bool) -> float:
    """Four for each pair, head and head dimension: QK^T and PV."""
    return float(
        sum(
            4 * group.num_layers * model.num_heads * group.head_dim
            for group in model.attention
            if (group.window is not None) == windowed
        )
    )


def _elementwise_bytes(model: ModelSpec, shards: int) -> float:
    """Traffic of norms, activation and rotation of one token, 16-bit, in all layers.

    A norm with residual reads and writes two hidden vectors, the gated activation reads two
    widths and writes one, rotation and cache write read and write Q, K and V.
    """
    total = 0.0
    for group in model.attention:
        heads = model.num_heads + 2 * group.num_kv_heads
        total += group.num_layers * (
            4 * model.norms_per_layer * model.hidden + 2 * heads * group.head_dim / shards
        )
    if experts := model.experts:
        active = experts.per_token * experts.intermediate + experts.shared_intermediate
        # routed tokens are also gathered, scattered and summed
        total += experts.num_layers * (3 * active / shards + 4 * experts.per_token * model.hidden)
    else:
        total += model.num_layers * 3 * model.intermediate / shards
    return 2.0 * total


def _decode_sizes(execution: Execution) -> tuple[int, ...]:
    """Sizes of the graphs of uniform decode steps: rounded up to whole sequences.

    A size that rounds beyond the largest is left out (vLLM 0.32, v1/worker/gpu/cudagraph_utils.py).
    """
    tokens, sizes = execution.decode_tokens, execution.capture_sizes
    if tokens < 1 or not sizes:
        return ()
    rounded = {-(-size // tokens) * tokens for size in sizes}
    return tuple(sorted(size for size in rounded if size <= sizes[-1]))


def _padded(sizes: tuple[int, ...]) -> list[int]:
    """For 0 to the largest size: the smallest size that holds so many tokens."""
    return [sizes[bisect_left(sizes, n)] for n in range(sizes[-1] + 1)] if sizes else [0]


def _datasheet(gpu: GpuSpec) -> list[dict[str, Any]]:
    rows = (
        ("bandwidth", gpu.bandwidth_bytes_per_s, "bytes/s"),
        ("peak_16bit", gpu.flops_16bit_per_s, "FLOP/s"),
        ("peak_fp8", gpu.flops_fp8_per_s, "FLOP/s"),
        ("peak_int8", gpu.flops_int8_per_s, "operations/s"),
        ("link", gpu.link_bytes_per_s, "bytes/s"),
    )
    return [
        {"name": name, "value": value, "unit": unit, "kind": "datasheet", "source": gpu.source}
        for name, value, unit in rows
    ]
