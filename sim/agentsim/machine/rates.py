"""How fast a GPU moves bytes and multiplies, from its datasheet and the named factors: `Rates`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from agentsim.domain.specs import GpuSpec, ModelSpec
from agentsim.machine.factors import Factor, format_class


@dataclass(frozen=True, slots=True)
class Rates:
    """Nanoseconds for each unit of work of one GPU.

    Attributes
    ----------
    byte, weight_byte, context_byte : float
        A byte of 16-bit data, of weights in their format, of KV cache.
    flop, weight_flop, attention_flop : float
        A FLOP of 16-bit matrices, of weights in their format, of attention.
    exposed : float
        Share of the shorter of memory and compute time of a product that is not hidden.
    mixed_decode_rows : float
        Rows of queries that attention computes for a decode in a step that also prefills.
    """

    byte: float
    weight_byte: float
    context_byte: float
    flop: float
    weight_flop: float
    attention_flop: float
    exposed: float
    mixed_decode_rows: float


def work_out_rates(gpu: GpuSpec, model: ModelSpec, factors: Mapping[str, Factor]) -> Rates:
    """The rates of `gpu` with weights in the format of `model`."""
    f = {name: factor.value for name, factor in factors.items()}
    byte = 1e9 / (gpu.bandwidth_bytes_per_s * f["bandwidth_efficiency"])
    clock = f["compute_efficiency"] * f["power_efficiency"]
    peak = gpu.peak_flops_per_s(model.weight_format.compute)
    if format_class(gpu, model) == "weight_only":
        peak = gpu.flops_16bit_per_s
    attention = f["attention_compute_efficiency"] * f["power_efficiency"]
    return Rates(
        byte=byte,
        weight_byte=byte / f["format_bandwidth_ratio"],
        context_byte=1e9 / (gpu.bandwidth_bytes_per_s * f["attention_bandwidth_efficiency"]),
        flop=1e9 / (gpu.flops_16bit_per_s * clock),
        weight_flop=1e9 / (peak * clock * f["format_compute_ratio"]),
        attention_flop=1e9 / (gpu.flops_16bit_per_s * attention),
        exposed=f["overlap_loss"],
        mixed_decode_rows=f["mixed_decode_rows"],
    )
