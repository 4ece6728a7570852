"""What a datasheet and a model's `config.json` say: `GpuSpec`, `ModelSpec`, `WeightFormat`.

Everything about a model's size follows from its shape: parameters, bytes of weights, bytes of KV
cache for each token. `agentsim.machine.catalog` has the tables; a local Hugging Face
`config.json` is read by `agentsim.machine.hf`.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal

import msgspec


class WeightFormat(msgspec.Struct, frozen=True):
    """How the quantised matrices of a model are stored and multiplied.

    Attributes
    ----------
    bits : float
        For each weight, without scales.
    group_size : int
        Weights that share a scale; 0: scales too few to count.
    scale_bits, zero_bits : int
        For each group.
    compute : str
        Type of the product: ``16bit`` (weights dequantised on the fly), ``fp8`` or ``int8``.
    """

    name: str
    bits: float
    group_size: int = 0
    scale_bits: int = 0
    zero_bits: int = 0
    compute: str = "16bit"
    source: str = ""

    @property
    def bits_per_weight(self) -> float:
        """Bits for each weight, scales and zero points included."""
        if not self.group_size:
            return self.bits
        return self.bits + (self.scale_bits + self.zero_bits) / self.group_size


class FactorValue(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A cost factor of one GPU, in the unit of its row in factors.toml.

    Attributes
    ----------
    kind : str
        ``datasheet``, ``measured``, ``fitted`` or ``assumed``.
    error : float or None
        Standard error of its natural logarithm; None: that of its kind.
    """

    value: Annotated[float, msgspec.Meta(gt=0)]
    kind: Literal["datasheet", "measured", "fitted", "assumed"]
    source: str
    error: Annotated[float, msgspec.Meta(ge=0)] | None = None


class Correlation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the logarithms of fitted factors go together; `rows` has a row for each of `names`."""

    names: tuple[str, ...] = ()
    rows: tuple[tuple[float, ...], ...] = ()


class Profile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What measurements say of one GPU.

    Attributes
    ----------
    name : str
        Of the file; empty: nothing was measured on this GPU.
    gpu : str
        The GPU it is of.
    standing : str
        ``fitted`` to measurements, or ``estimated`` from other GPUs.
    spread : float
        Standard deviation of log(measured / simulated) over whole runs that no factor explains.
    factors : dict of str to FactorValue
        Those that differ from the general ones.
    """

    name: str = ""
    gpu: str = ""
    standing: Literal["fitted", "estimated"] = "estimated"
    source: str = "datasheet, and factors of its architecture"
    spread: float = 0.1
    factors: dict[str, FactorValue] = {}
    correlation: Correlation = Correlation()


class GpuSpec(msgspec.Struct, frozen=True):
    """One GPU, as its datasheet says (dense rates, no sparsity).

    Attributes
    ----------
    memory_bytes : int
        Memory that CUDA shows, which is less than the number on the box.
    bandwidth_bytes_per_s : float
        Of the memory.
    flops_16bit_per_s, flops_fp8_per_s, flops_int8_per_s : float
        Peak rates of the matrix units with fp32 accumulation (int8: operations); 0 where there is
        no such unit.
    link_bytes_per_s : float
        To another GPU of the host, in one direction.
    link : str
        ``nvlink`` or ``pcie``.
    compute_capability : int
        89 for sm_89.
    profile : Profile
        What was fitted to measurements of this GPU.
    """

    name: str
    memory_bytes: int
    bandwidth_bytes_per_s: float
    flops_16bit_per_s: float
    flops_fp8_per_s: float
    flops_int8_per_s: float
    link: str
    link_bytes_per_s: float
    tdp_w: float
    compute_capability: int
    device_name: str
    source: str
    aliases: tuple[str, ...] = ()
    profile: Profile = Profile()

    def peak_flops_per_s(self, compute: str) -> float:
        """Peak rate for a product of type `compute`; the 16-bit rate where it has no unit."""
        special = {"fp8": self.flops_fp8_per_s, "int8": self.flops_int8_per_s}.get(compute, 0.0)
        return special or self.flops_16bit_per_s


class AttentionGroup(msgspec.Struct, frozen=True):
    """Layers of a model with the same attention.

    Attributes
    ----------
    window : int or None
        Sliding window in tokens; None: the whole context.
    owns_kv : bool
        False for layers that read the KV cache of an earlier layer and have no K and V of their
        own.
    shares_k_and_v : bool
        V is K: one projection, both cached.
    """

    num_layers: int
    num_kv_heads: int
    head_dim: int
    window: int | None = None
    owns_kv: bool = True
    shares_k_and_v: bool = False


class Experts(msgspec.Struct, frozen=True):
    """The mixture of experts of a model's layers.

    Attributes
    ----------
    num_layers : int
        Layers with experts; the others have a dense MLP.
    shared_intermediate : int
        Width of the part that every token passes; 0: none.
    has_bias : bool
        Router and experts have biases.
    """

    num_experts: int
    per_token: int
    intermediate: int
    num_layers: int
    shared_intermediate: int = 0
    has_bias: bool = False


class ModelSpec(msgspec.Struct, frozen=True):
    """The shape of a decoder-only transformer and the format of its weights.

    Attributes
    ----------
    intermediate : int
        Width of the (gated) MLP of layers without experts.
    qkv_bias, output_bias : bool
        Biases of the attention projections.
    qk_norm : bool
        RMS norm on each head of Q and K.
    norms_per_layer : int
        RMS norms of the hidden width in a layer.
    attention_sinks : bool
        One learned sink for each head of each layer.
    quantized : tuple of str
        Which matrices have `weight_format`: ``attention``, ``mlp`` (dense and shared), ``experts``;
        the rest, embedding and LM head always, has 16 bits.
    table_params : int
        Parameters beside the usual ones that a step does not stream (per-layer embeddings, vision
        tower).
    extra_linear_params : int
        The same for matrices that every token passes.
    """

    name: str
    hidden: int
    num_heads: int
    attention: tuple[AttentionGroup, ...]
    intermediate: int
    vocab: int
    max_position: int
    weight_format: WeightFormat
    source: str
    tied_embeddings: bool = False
    experts: Experts | None = None
    quantized: tuple[str, ...] = ("attention", "mlp", "experts")
    qkv_bias: bool = False
    output_bias: bool = False
    qk_norm: bool = False
    norms_per_layer: int = 2
    attention_sinks: bool = False
    table_params: int = 0
    extra_linear_params: int = 0
    aliases: tuple[str, ...] = ()

    @property
    def num_layers(self) -> int:
        """Decoder layers."""
        return sum(group.num_layers for group in self.attention)

    @property
    def window(self) -> int | None:
        """The model's sliding window in tokens, None without one."""
        windows = [group.window for group in self.attention if group.window is not None]
        return min(windows) if windows else None

    @property
    def attention_params(self) -> int:
        """Matrices of the attention projections of all layers."""
        total = 0
        for group in self.attention:
            query = self.num_heads * group.head_dim
            num_kv = (1 if group.shares_k_and_v else 2) * group.owns_kv
            key = num_kv * group.num_kv_heads * group.head_dim
            total += group.num_layers * self.hidden * (2 * query + key)
        return total

    @property
    def mlp_params(self) -> int:
        """Matrices that every token passes: dense MLPs and shared experts."""
        dense_layers = self.num_layers - (self.experts.num_layers if self.experts else 0)
        return 3 * self.hidden * (dense_layers * self.intermediate + self.shared_width)

    @property
    def shared_width(self) -> int:
        """Widths of the shared experts, summed over layers."""
        return self.experts.num_layers * self.experts.shared_intermediate if self.experts else 0

    @property
    def expert_params(self) -> int:
        """Matrices of one expert of one layer."""
        return 3 * self.hidden * self.experts.intermediate if self.experts else 0

    @property
    def all_expert_params(self) -> int:
        """Matrices of all experts of all layers."""
        e = self.experts
        return e.num_layers * e.num_experts * self.expert_params if e else 0

    @property
    def lm_head_params(self) -> int:
        """The matrix from hidden state to logits."""
        return self.vocab * self.hidden

    @property
    def small_params(self) -> int:
        """Norms, biases, sinks and routers: 16 bits, streamed each step."""
        total = self.hidden * (self.norms_per_layer * self.num_layers + 1)
        for group in self.attention:
            query, key = self.num_heads * group.head_dim, group.num_kv_heads * group.head_dim
            bias = (
                self.qkv_bias * (query + 2 * key * group.owns_kv) + self.output_bias * self.hidden
            )
            norm = self.qk_norm * (1 + group.owns_kv) * group.head_dim
            total += group.num_layers * (bias + norm + self.attention_sinks * self.num_heads)
        if e := self.experts:
            total += e.num_layers * e.num_experts * (self.hidden + e.has_bias)
            bias = e.has_bias * (2 * e.intermediate + self.hidden)
            total += e.num_layers * e.num_experts * bias
        return total

    @property
    def num_parameters(self) -> int:
        """All parameters."""
        return (
            self.attention_params
            + self.mlp_params
            + self.all_expert_params
            + self.small_params
            + self.extra_linear_params
            + self.table_params
            + self.lm_head_params * (1 if self.tied_embeddings else 2)
        )

    def bytes_per_param(self, matrix: str) -> float:
        """Bytes for each parameter of the matrices called `matrix`."""
        return self.weight_format.bits_per_weight / 8 if matrix in self.quantized else 2.0

    @property
    def dense_bytes(self) -> float:
        """Weights that every step streams, LM head and experts apart."""
        return (
            self.attention_params * self.bytes_per_param("attention")
            + (self.mlp_params + self.extra_linear_params) * self.bytes_per_param("mlp")
            + self.small_params * 2.0
        )

    @property
    def weight_bytes(self) -> int:
        """Bytes of all weights in memory."""
        embeddings = self.lm_head_params * (1 if self.tied_embeddings else 2)
        return math.ceil(
            self.dense_bytes
            + self.all_expert_params * self.bytes_per_param("experts")
            + (embeddings + self.table_params) * 2.0
        )

    def kv_bytes_per_token(self, element_bytes: float = 2.0, num_shards: int = 1) -> int:
        """Bytes of KV cache of one token on one of `num_shards` GPUs, all layers.

        KV heads for each GPU are max(1, heads / shards): vLLM 0.32 `ModelConfig.get_num_kv_heads`.
        """
        elements = sum(
            group.num_layers * 2 * max(1, group.num_kv_heads // num_shards) * group.head_dim
            for group in self.attention
            if group.owns_kv
        )
        return round(elements * element_bytes)
