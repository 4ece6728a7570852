"""The named factors of the step-time model: which value, of which kind, from which source."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from agentsim.domain.config import CostConfig
from agentsim.domain.specs import GpuSpec, ModelSpec
from agentsim.machine.catalog import factor_table


@dataclass(frozen=True, slots=True)
class Factor:
    """One number of the model.

    Attributes
    ----------
    kind : str
        ``datasheet``, ``measured``, ``fitted`` or ``assumed`` (also: given by the user).
    error : float
        Standard error of its natural logarithm: 0.1 is about 10 %.
    """

    name: str
    value: float
    unit: str
    kind: str
    source: str
    error: float = 0.0


#: Standard error of the logarithm of a factor whose row states none, by its kind.
_ERRORS = {"datasheet": 0.0, "measured": 0.04, "fitted": 0.08, "assumed": 0.3}


def architecture(gpu: GpuSpec) -> str:
    """Name of the GPU's generation, as the sections of factors.toml have it."""
    if gpu.compute_capability >= 100:
        return "blackwell"
    if gpu.compute_capability >= 90:
        return "hopper"
    return "ampere" if gpu.compute_capability == 80 else "ada"


def format_class(gpu: GpuSpec, model: ModelSpec) -> str:
    """How the weights are multiplied on this GPU: the section of factors.toml for their format."""
    found = model.weight_format
    if found.bits >= 16:
        return "16bit"
    has_unit = {"fp8": gpu.flops_fp8_per_s > 0, "int8": gpu.flops_int8_per_s > 0}
    return found.compute if has_unit.get(found.compute, False) else "weight_only"


def resolve_factors(gpu: GpuSpec, model: ModelSpec, cost: CostConfig) -> dict[str, Factor]:
    """Every factor by name.

    Parameters
    ----------
    cost : CostConfig
        Values that replace the defaults.
    """
    table = factor_table()
    sections = (architecture(gpu), gpu.link, format_class(gpu, model))
    found: dict[str, Factor] = {}
    for name, row in table["general"].items():
        merged = dict(row)
        for section in sections:
            merged |= table.get(section, {}).get(name, {})
        if name in gpu.profile.factors:
            merged |= msgspec.structs.asdict(gpu.profile.factors[name])
        found[name] = _factor(name, merged)
    for name, value in msgspec.structs.asdict(cost).items():
        if value is not None and name in found:
            found[name] = Factor(name, value, found[name].unit, "assumed", f"given as cost.{name}")
    return found


def _factor(name: str, row: Mapping[str, Any]) -> Factor:
    error = row.get("error")
    if error is None:
        error = _ERRORS[row["kind"]]
    return Factor(name, float(row["value"]), row["unit"], row["kind"], row["source"], float(error))
