"""How long proposing drafts takes: matching on the CPU, Medusa heads, passes of a drafter.

`agentsim.machine.speculative` chooses one of them for a method and adds it to each step.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from agentsim.domain.batch import BatchShape
from agentsim.machine.roofline import FloatArray, Roofline


class Proposal(Protocol):
    """What proposing the next drafts takes after a step."""

    def sides_ns(self, shape: BatchShape) -> tuple[float, float]:
        """Nanoseconds on the GPU and on the CPU."""

    def parts(self, columns: Mapping[str, npt.NDArray[Any]]) -> dict[str, FloatArray]:
        """Nanoseconds of each of many steps: ``gpu``, ``cpu``; ``compute``, ``memory`` busy."""


class Nothing:
    """Drafts that cost nothing to propose: those of Lookahead, or of a step looked at without."""

    def sides_ns(self, shape: BatchShape) -> tuple[float, float]:
        """None on either side."""
        return 0.0, 0.0

    def parts(self, columns: Mapping[str, npt.NDArray[Any]]) -> dict[str, FloatArray]:
        """None of anything."""
        none = np.zeros(len(columns["num_tokens"]))
        return {"gpu": none, "cpu": none, "compute": none, "memory": none}


@dataclass(frozen=True, slots=True)
class Matching:
    """A search of each context on the CPU, after the step's tokens are there; nanoseconds."""

    step: float
    sequence: float
    token: float

    def sides_ns(self, shape: BatchShape) -> tuple[float, float]:
        """All of it on the CPU."""
        context = shape.decode_context + shape.prefill_context
        return 0.0, self.step + shape.num_seqs * self.sequence + context * self.token

    def parts(self, columns: Mapping[str, npt.NDArray[Any]]) -> dict[str, FloatArray]:
        """The same for many steps."""
        context = (columns["decode_context"] + columns["prefill_context"]).astype(np.float64)
        cpu = self.step + columns["num_seqs"] * self.sequence + context * self.token
        none = np.zeros_like(cpu)
        return {"gpu": none, "cpu": cpu, "compute": none, "memory": none}


@dataclass(frozen=True, slots=True)
class MedusaHeads:
    """One residual layer and LM head for each draft token, on one row of each sequence.

    Attributes
    ----------
    memory, compute : float
        Streaming one head; its products for one row; nanoseconds.
    row, fixed : float
        The choice among one row's logits; what a proposal takes besides.
    """

    num_heads: int
    memory: float
    compute: float
    exposed: float
    row: float
    fixed: float

    def sides_ns(self, shape: BatchShape) -> tuple[float, float]:
        """All of it on the GPU."""
        memory, compute = self.memory, shape.num_seqs * self.compute
        longer, shorter = max(memory, compute), min(memory, compute)
        head = longer + shorter * self.exposed + shape.num_seqs * self.row
        return self.num_heads * head + self.fixed, 0.0

    def parts(self, columns: Mapping[str, npt.NDArray[Any]]) -> dict[str, FloatArray]:
        """The same for many steps."""
        rows = columns["num_seqs"].astype(np.float64)
        compute = rows * self.compute
        roof = np.maximum(self.memory, compute) + np.minimum(self.memory, compute) * self.exposed
        gpu = self.num_heads * (roof + rows * self.row) + self.fixed
        memory = np.full_like(rows, self.num_heads * self.memory)
        none = np.zeros_like(rows)
        return {"gpu": gpu, "cpu": none, "compute": self.num_heads * compute, "memory": memory}


@dataclass(frozen=True, slots=True)
class Passes:
    """Passes of a draft model or head: one over all tokens of the step, then one a further draft.

    The first also computes the prompt, whose KV the drafter needs, and what the target has just
    rejected (vLLM 0.32, v1/worker/gpu/spec_decode).

    Attributes
    ----------
    first, later : Roofline
        Of the drafter; without a CPU of their own.
    extra_tokens : int
        Tokens of each sequence in the first pass beside those of the step: a draft model also
        computes the token just sampled.
    """

    first: Roofline
    later: Roofline
    num_passes: int
    extra_tokens: int

    def sides_ns(self, shape: BatchShape) -> tuple[float, float]:
        """All of it on the GPU."""
        seqs = shape.num_seqs
        first = shape._replace(
            num_tokens=shape.num_tokens + seqs * self.extra_tokens, num_sampled=seqs
        )
        gpu, _ = self.first.sides_ns(first)
        if self.num_passes > 1:
            grown = seqs * (self.num_passes // 2)
            context = shape.decode_context + shape.prefill_context + grown
            window = shape.window_decode_context + shape.window_prefill_context + grown
            later = BatchShape(
                seqs, seqs, seqs, decode_context=context, window_decode_context=window
            )
            gpu += (self.num_passes - 1) * self.later.sides_ns(later)[0]
        return gpu, 0.0

    def parts(self, columns: Mapping[str, npt.NDArray[Any]]) -> dict[str, FloatArray]:
        """The same for many steps."""
        get = {name: columns[name] for name in BatchShape._fields}
        seqs, none = get["num_seqs"], np.zeros_like(get["num_seqs"])
        tokens = get["num_tokens"] + seqs * self.extra_tokens
        found = _busy(self.first, {**get, "num_tokens": tokens, "num_sampled": seqs})
        if self.num_passes > 1:
            grown = seqs * (self.num_passes // 2)
            later = dict.fromkeys(BatchShape._fields, none)
            later |= dict.fromkeys(("num_tokens", "num_seqs", "num_sampled"), seqs)
            for kind in ("", "window_"):
                context = get[f"{kind}decode_context"] + get[f"{kind}prefill_context"]
                later[f"{kind}decode_context"] = context + grown
            more = _busy(self.later, later)
            found = {name: found[name] + (self.num_passes - 1) * more[name] for name in found}
        return found


def _busy(roofline: Roofline, columns: dict[str, npt.NDArray[Any]]) -> dict[str, FloatArray]:
    """Nanoseconds of the passes of a drafter, and how long it computes and reads."""
    parts = roofline.parts(columns)
    whole = parts["prefill_s"] + parts["decode_s"] + parts["overhead_s"]
    return {
        "gpu": whole * 1e9,
        "cpu": np.zeros_like(whole),
        "compute": parts["compute_s"] * 1e9,
        "memory": parts["memory_s"] * 1e9,
    }
