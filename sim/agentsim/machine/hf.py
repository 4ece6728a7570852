"""Read a model's shape from a local Hugging Face `config.json`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from agentsim.domain.specs import AttentionGroup, Experts, ModelSpec, WeightFormat
from agentsim.errors import ConfigError

#: model types whose attention projections have biases although `attention_bias` is not written
_QKV_BIAS = ("qwen2", "qwen2_moe")
_QK_NORM = ("qwen3", "qwen3_moe", "gemma3_text", "gemma4_text", "gemma4_unified_text")
_FOUR_NORMS = ("gemma2", "gemma3_text", "gemma4_text", "gemma4_unified_text")
_TIED = ("gemma", *_FOUR_NORMS)


def model_from_hf(path: Path, formats: Mapping[str, WeightFormat]) -> ModelSpec:
    """The model that `path`, a Hugging Face `config.json`, describes.

    Parameters
    ----------
    formats : mapping of str to WeightFormat
        Weight formats that a `quantization_config` may name.

    Raises
    ------
    ConfigError
        If it is not JSON, lacks a field, or is of a kind that is not modelled.
    """
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: cannot be read as JSON: {error}") from error
    if not isinstance(raw, dict):
        raise ConfigError(f"{path}: expected a JSON object, the config.json of a model")
    text = raw.get("text_config", raw)
    return _Reader(path, raw, text, formats).model()


class _Reader:
    """One `config.json` being read; every error names the file and the field."""

    def __init__(
        self,
        path: Path,
        raw: dict[str, Any],
        text: dict[str, Any],
        formats: Mapping[str, WeightFormat],
    ) -> None:
        self.path, self.raw, self.text, self.formats = path, raw, text, formats
        self.type = str(text.get("model_type", raw.get("model_type", "")))

    def model(self) -> ModelSpec:
        if "kv_lora_rank" in self.text:
            raise ConfigError(f"{self.path}: multi-head latent attention is not modelled")
        weight_format, quantized = self.weights()
        name = self.path.parent.name if self.path.name == "config.json" else self.path.stem
        intermediate = self.count("intermediate_size", self.text.get("moe_intermediate_size"))
        return ModelSpec(
            name=name.lower() or "model",
            hidden=self.count("hidden_size"),
            num_heads=self.count("num_attention_heads"),
            attention=self.attention(),
            intermediate=intermediate,
            vocab=self.count("vocab_size"),
            max_position=self.count("max_position_embeddings", 2048),
            weight_format=weight_format,
            quantized=quantized,
            source=str(self.path),
            tied_embeddings=self.flag("tie_word_embeddings", self.type in _TIED),
            experts=self.experts(),
            qkv_bias=self.flag("attention_bias", self.type in _QKV_BIAS),
            output_bias=self.type not in _QKV_BIAS and self.flag("attention_bias", False),
            qk_norm=self.type in _QK_NORM,
            norms_per_layer=4 if self.type in _FOUR_NORMS else 2,
            attention_sinks=self.type == "gpt_oss",
        )

    def count(self, field: str, default: Any = None) -> int:
        """A positive integer field."""
        value = self.text.get(field)
        value = default if value is None else value
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise ConfigError(
                f"{self.path}: field {field!r}: expected an integer >= 1, got {value!r}"
            )
        return value

    def flag(self, field: str, default: bool) -> bool:
        value = self.text.get(field, self.raw.get(field))
        return default if value is None else bool(value)

    def attention(self) -> tuple[AttentionGroup, ...]:
        """Groups of layers, in the order in which their kind first occurs."""
        layers, heads = self.count("num_hidden_layers"), self.count("num_attention_heads")
        head_dim = self.count("head_dim", self.count("hidden_size") // heads)
        kv_heads = self.count("num_key_value_heads", heads)
        window = self.window()
        kinds = self.layer_kinds(layers, window)
        shared = int(self.text.get("num_kv_shared_layers") or 0)
        groups: dict[tuple[bool, bool], int] = {}
        for index, slides in enumerate(kinds):
            key = (slides, index < layers - shared)
            groups[key] = groups.get(key, 0) + 1
        found = []
        for (slides, owns_kv), num_layers in groups.items():
            wide = self.text.get("global_head_dim") if not slides else None
            few = self.text.get("num_global_key_value_heads") if not slides else None
            found.append(
                AttentionGroup(
                    num_layers=num_layers,
                    num_kv_heads=int(few or kv_heads),
                    head_dim=int(wide or head_dim),
                    window=window if slides else None,
                    owns_kv=owns_kv,
                    shares_k_and_v=bool(wide) and self.flag("attention_k_eq_v", False),
                )
            )
        return tuple(found)

    def window(self) -> int | None:
        """Sliding window in tokens; Qwen2 writes one that `use_sliding_window` switches off."""
        if self.text.get("use_sliding_window") is False:
            return None
        value = self.text.get("sliding_window") or self.text.get("attention_chunk_size")
        return int(value) if value else None

    def layer_kinds(self, layers: int, window: int | None) -> list[bool]:
        """For each layer, whether it has the sliding window."""
        if window is None:
            return [False] * layers
        if kinds := self.text.get("layer_types"):
            return [str(kind) in ("sliding_attention", "chunked_attention") for kind in kinds]
        if self.type == "gemma2":
            return [index % 2 == 0 for index in range(layers)]
        if pattern := self.text.get("sliding_window_pattern"):
            return [(index + 1) % int(pattern) != 0 for index in range(layers)]
        return [True] * layers

    def experts(self) -> Experts | None:
        names = ("num_local_experts", "num_experts", "n_routed_experts")
        num = next((self.text[name] for name in names if self.text.get(name)), None)
        if num is None:
            return None
        layers = self.count("num_hidden_layers")
        step = int(self.text.get("decoder_sparse_step") or 1)
        width = self.text.get("moe_intermediate_size") or self.text.get("intermediate_size")
        per_token = self.text.get("num_experts_per_tok") or self.text.get("top_k_experts")
        if not isinstance(width, int) or not isinstance(per_token, int):
            raise ConfigError(f"{self.path}: field 'num_experts_per_tok': expected an integer >= 1")
        shared = self.text.get("shared_expert_intermediate_size")
        if shared is None:
            shared = width * int(self.text.get("n_shared_experts") or 0)
        if self.type == "llama4_text":
            shared = width
        return Experts(
            num_experts=int(num),
            per_token=per_token,
            intermediate=width,
            num_layers=layers // step,
            shared_intermediate=int(shared),
            has_bias=self.type == "gpt_oss",
        )

    def weights(self) -> tuple[WeightFormat, tuple[str, ...]]:
        """Weight format and the matrices that have it."""
        all_matrices = ("attention", "mlp", "experts")
        config = self.raw.get("quantization_config") or self.text.get("quantization_config")
        if not config:
            return self.formats["bf16"], all_matrices
        skipped = " ".join(
            str(part)
            for field in ("modules_to_not_convert", "ignored_layers", "ignore")
            for part in config.get(field) or ()
        )
        quantized = tuple(
            matrix
            for matrix, hint in zip(
                all_matrices, ("self_attn", ".mlp.gate_proj", ".experts"), strict=True
            )
            if hint not in skipped
        )
        return self.format_of(config), quantized

    def format_of(self, config: dict[str, Any]) -> WeightFormat:
        method = str(config.get("quant_method", "")).lower()
        bits = config.get("bits") or config.get("w_bit")
        group = config.get("group_size") or config.get("q_group_size")
        if method == "compressed-tensors":
            groups: dict[str, Any] = config.get("config_groups") or {}
            scheme: dict[str, Any] = next(
                (group["weights"] for group in groups.values() if "weights" in group), {}
            )
            bits, group = scheme.get("num_bits"), scheme.get("group_size")
            if config.get("format") == "pack-quantized":
                method = "w4a16" if bits == 4 else "gptq-int8"
            else:
                method = "fp8" if scheme.get("type") == "float" else "int8"
        if method == "fp8" and config.get("weight_block_size"):
            method = "fp8-block"
        if method == "gptq" and bits == 8:
            method = "gptq-int8"
        if method == "bitsandbytes":
            method = "bnb-nf4" if config.get("load_in_4bit") else "int8"
        if method not in self.formats:
            raise ConfigError(
                f"{self.path}: field 'quantization_config.quant_method': {method!r} is not "
                f"modelled; known: {', '.join(sorted(self.formats))}"
            )
        found = self.formats[method]
        if isinstance(group, int) and group > 0 and found.group_size and method != "fp8-block":
            found = replace(found, group_size=group)
        return found
