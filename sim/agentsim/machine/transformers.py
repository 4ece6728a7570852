"""An engine without paging: contiguous KV memory, and the step times of Hugging Face generate."""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from agentsim.domain.batch import BatchShape
from agentsim.domain.config import CostConfig
from agentsim.domain.specs import GpuSpec, ModelSpec
from agentsim.errors import DoesNotFit
from agentsim.machine.capacity import NON_TORCH_BYTES
from agentsim.machine.coefficients import Coefficients
from agentsim.machine.factors import Factor
from agentsim.machine.roofline import Roofline

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]

#: Bytes of a logit while a prompt is prefilled: generate keeps those of every position, in 16 bits
#: and upcast to 32 (transformers `Qwen2ForCausalLM.forward`: ``logits.float()``).
LOGIT_BYTES = 2 + 4


def transformers_factors(cost: CostConfig) -> dict[str, Factor]:
    """The factors of an engine without paging, by name; `cost` replaces the defaults."""
    text = resources.files("agentsim.machine").joinpath("transformers.toml").read_text("utf-8")
    given = msgspec.structs.asdict(cost)
    factors = {}
    for name, row in tomllib.loads(text).items():
        factors[name] = Factor(name, float(row["value"]), row["unit"], row["kind"], row["source"])
        if given[name] is not None:
            factors[name] = Factor(
                name, given[name], row["unit"], "assumed", f"given as cost.{name}"
            )
    return factors


@dataclass(frozen=True, slots=True)
class ContiguousMemory:
    """GPU memory of an engine that gives each sequence one stretch of KV, larger than it needs.

    Attributes
    ----------
    kv_bytes_per_token : int
        Of a token that is there; what is reserved for it is ``/ (1 - waste)``.
    logit_bytes_per_token : int
        Of a prompt token while it is prefilled.
    waste : float
        Share of the reserved KV memory that holds no token.
    """

    visible_bytes: int
    weight_bytes: int
    other_bytes: int
    kv_bytes_per_token: int
    logit_bytes_per_token: int
    waste: float

    @property
    def free_bytes(self) -> int:
        """What is left beside the weights."""
        return self.visible_bytes - self.weight_bytes - self.other_bytes

    @property
    def bytes_per_token(self) -> float:
        """Reserved KV and logits of a prompt token."""
        return self.kv_bytes_per_token / (1 - self.waste) + self.logit_bytes_per_token

    @property
    def max_tokens(self) -> int:
        """Context tokens that fit, of all sequences of a batch together."""
        return max(0, int(self.free_bytes / self.bytes_per_token))

    def log_lines(self) -> list[str]:
        """What fits, in words."""
        return [
            f"Contiguous KV memory: {self.free_bytes / (1 << 30):.2f} GiB beside the weights",
            f"Largest context reserved: {self.max_tokens:,} tokens ({self.waste:.0%} of it wasted)",
        ]

    def check_fits(self, name: str, num_tokens: int) -> None:
        """Refuse a request that runs out of memory, with the arithmetic.

        Raises
        ------
        DoesNotFit
        """
        if num_tokens > self.max_tokens:
            raise DoesNotFit(
                f"{name}: out of memory: a context of {num_tokens} tokens needs "
                f"{num_tokens * self.bytes_per_token / 1e9:.2f} GB ({self.kv_bytes_per_token} KV "
                f"bytes a token, {self.waste:.0%} of the reservation wasted, and "
                f"{self.logit_bytes_per_token} of logits) and {self.free_bytes / 1e9:.2f} GB are "
                f"free beside the weights: at most {self.max_tokens} tokens; use --engine vllm, or "
                "--too-long with a smaller engine.max_model_len"
            )


def contiguous_memory(
    gpu: GpuSpec, model: ModelSpec, kv_element_bytes: float, waste: float
) -> ContiguousMemory:
    """How much context fits on one GPU without paging."""
    return ContiguousMemory(
        visible_bytes=gpu.memory_bytes,
        weight_bytes=round(model.weight_bytes),
        other_bytes=NON_TORCH_BYTES,
        kv_bytes_per_token=round(model.kv_bytes_per_token(kv_element_bytes, 1)),
        logit_bytes_per_token=model.vocab * LOGIT_BYTES,
        waste=waste,
    )


class TransformersCost:
    """Step times of Hugging Face generate: the roofline without graphs, and what it adds.

    Parameters
    ----------
    base : Roofline
        Without CUDA graphs and with synchronous steps.
    factors : mapping of str to Factor
        `transformers_factors`.
    """

    def __init__(self, base: Roofline, factors: Mapping[str, Factor]) -> None:
        self._base = base
        self._factors = factors
        self._prefill_ns = factors["hf_prefill_token_s"].value * 1e9
        self._decode_ns = factors["hf_decode_step_s"].value * 1e9
        self._context_ns = factors["hf_kv_passes"].value * base.coefficients.decode_full

    def changed(self, change: Callable[[Coefficients], Coefficients]) -> TransformersCost:
        """The same with other coefficients of the roofline."""
        return TransformersCost(self._base.changed(change), self._factors)

    def without_overhead(self) -> Roofline:
        """The roofline alone."""
        return self._base

    def step_ns(self, shape: BatchShape) -> int:
        """Duration of a step in nanoseconds, at least 1."""
        base = self._base.step_ns(shape)
        if shape.prefill_tokens:
            return base + round(shape.prefill_tokens * self._prefill_ns)
        return base + round(self._decode_ns + shape.decode_context * self._context_ns)

    def decode_steps_ns(self, shape: BatchShape, num_steps: int, window_growth: int) -> IntArray:
        """Durations of the next steps of a batch that decodes; see `Roofline.decode_steps_ns`."""
        context = shape.decode_context + shape.num_seqs * np.arange(num_steps)
        added = np.rint(self._decode_ns + context * self._context_ns).astype(np.int64)
        durations: IntArray = self._base.decode_steps_ns(shape, num_steps, window_growth) + added
        return durations

    def parts(self, columns: dict[str, npt.NDArray[Any]]) -> dict[str, FloatArray]:
        """Seconds of each step by cause and purpose; what generate adds to the roofline stands
        under prefill and decode."""
        parts = self._base.parts(columns)
        prefills = columns["prefill_tokens"] > 0
        prefill = columns["prefill_tokens"] * self._prefill_ns * 1e-9
        decode = (self._decode_ns + columns["decode_context"] * self._context_ns) * 1e-9
        parts["prefill_s"] = parts["prefill_s"] + np.where(prefills, prefill, 0.0)
        parts["decode_s"] = parts["decode_s"] + np.where(prefills, 0.0, decode)
        parts["generate"] = np.where(prefills, prefill, decode)
        return parts

    def factors(self) -> list[dict[str, Any]]:
        """Every factor of the model: name, value, unit, kind, source."""
        return [
            *self._base.factors(),
            *(dataclasses.asdict(factor) for factor in self._factors.values()),
        ]
