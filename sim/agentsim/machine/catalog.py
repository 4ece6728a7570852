"""The tables of GPUs, models and cost factors, read from the TOML files beside this module.

A model is a name of `models.toml`, a Hugging Face name listed there, or the path of a local
`config.json` (or of the folder that holds it).
"""

from __future__ import annotations

import functools
import tomllib
from importlib import resources
from pathlib import Path
from typing import Any

import msgspec

from agentsim.domain.specs import AttentionGroup, Experts, GpuSpec, ModelSpec, WeightFormat
from agentsim.domain.units import GIB
from agentsim.errors import ConfigError, UnknownName
from agentsim.machine.hf import model_from_hf
from agentsim.machine.profiles import find_profile, profile_names
from agentsim.registry import Registry

GPU_GROUP = "agentsim.gpus"
MODEL_GROUP = "agentsim.models"

#: Keys of a row of models.toml that are read by `_model`, not passed on to `ModelSpec`.
_SHORTHAND = (
    "hf",
    "variants",
    "format",
    "layers",
    "kv_heads",
    "head_dim",
    "heads",
    "groups",
    "tied",
)


def _table(name: str) -> dict[str, Any]:
    text = resources.files("agentsim.machine").joinpath(name).read_text(encoding="utf-8")
    return tomllib.loads(text)


@functools.cache
def formats() -> dict[str, WeightFormat]:
    """Weight formats by name."""
    rows = _table("models.toml")["formats"]
    return {
        name: msgspec.convert({"name": name, **row}, WeightFormat) for name, row in rows.items()
    }


@functools.cache
def gpus() -> Registry[GpuSpec]:
    """The GPUs a user can name."""
    specs = {name: _gpu(name, row) for name, row in _table("gpus.toml").items()}
    aliases = {alias: spec.name for spec in specs.values() for alias in spec.aliases}
    return Registry("gpu", specs, GPU_GROUP, aliases)


def _gpu(name: str, row: dict[str, Any]) -> GpuSpec:
    return GpuSpec(
        name=name,
        memory_bytes=round(row["memory_gib"] * GIB),
        bandwidth_bytes_per_s=row["bandwidth_gb_s"] * 1e9,
        flops_16bit_per_s=row["tf_16bit"] * 1e12,
        flops_fp8_per_s=row["tf_fp8"] * 1e12,
        flops_int8_per_s=row["tf_int8"] * 1e12,
        link=row["link"],
        link_bytes_per_s=row["link_gb_s"] * 1e9,
        tdp_w=row["tdp_w"],
        compute_capability=row["sm"],
        device_name=row["device_name"],
        source=row["source"],
        aliases=tuple(row["aliases"]),
    )


@functools.cache
def models() -> Registry[ModelSpec]:
    """The models a user can name; `find_model` also takes paths."""
    specs: dict[str, ModelSpec] = {}
    for name, row in _table("models.toml").items():
        if name == "formats":
            continue
        specs[name] = _model(name, row)
        for suffix, change in row.get("variants", {}).items():
            variant = {**row, "hf": [], "format": suffix, **change}
            specs[f"{name}-{suffix}"] = _model(f"{name}-{suffix}", variant)
    aliases = {alias: spec.name for spec in specs.values() for alias in spec.aliases}
    return Registry("model", specs, MODEL_GROUP, aliases)


def _model(name: str, row: dict[str, Any]) -> ModelSpec:
    groups = row.get("groups") or [
        {
            "num_layers": row["layers"],
            "num_kv_heads": row["kv_heads"],
            "head_dim": row["head_dim"],
        }
    ]
    fields = {key: value for key, value in row.items() if key not in _SHORTHAND}
    if experts := fields.pop("experts", None):
        fields["experts"] = msgspec.convert({"num_layers": row["layers"], **experts}, Experts)
    if quantized := fields.pop("quantized", None):
        fields["quantized"] = tuple(quantized)
    source = f"config.json of {row['hf'][0]}" if row["hf"] else f"shape of {name}"
    return ModelSpec(
        name=name,
        num_heads=row["heads"],
        attention=msgspec.convert(groups, tuple[AttentionGroup, ...]),
        weight_format=formats()[row.get("format", "bf16")],
        tied_embeddings=row.get("tied", False),
        aliases=tuple(row["hf"]),
        **{"source": source, **fields},
    )


def find_gpu(name: str, profile: str | None = None) -> GpuSpec:
    """The GPU called `name`, with what was fitted to measurements of it.

    Parameters
    ----------
    profile : str or None
        See `machine.profiles.find_profile`; None: the one of the GPU's name, where there is one.

    Raises
    ------
    UnknownName
        With the nearest name.
    ConfigError
        If the profile cannot be read, or is of another GPU.
    """
    gpu = gpus()[name]
    if profile is None and gpu.name not in profile_names():
        return gpu
    found = find_profile(profile or gpu.name)
    if found.gpu not in ("", gpu.name):
        raise ConfigError(f"profile {profile}: is of {found.gpu}, not of {gpu.name}")
    return msgspec.structs.replace(gpu, profile=found)


def find_model(name: str) -> ModelSpec:
    """The model called `name`, or the one whose local `config.json` is at that path.

    Raises
    ------
    UnknownName, ConfigError
        If there is no such model, or the file cannot be read.
    """
    path = Path(name).expanduser()
    if path.suffix == ".json" or path.is_dir():
        file = path / "config.json" if path.is_dir() else path
        if not file.is_file():
            raise ConfigError(f"model {name!r}: no such file: {file}")
        return model_from_hf(file, formats())
    try:
        return models()[name]
    except UnknownName as error:
        raise UnknownName("model", name, list(models())) from error


@functools.cache
def factor_table() -> dict[str, dict[str, dict[str, Any]]]:
    """The rows of `factors.toml`: section, factor, then value, unit, kind, source."""
    return _table("factors.toml")


def same_shape(name: str) -> list[str]:
    """The models of the catalogue that are `name` in any weight format, itself among them.

    A model from a file is alone.
    """
    known = models()
    if name not in known:
        return [name]
    own = known[name].name
    for base, row in _table("models.toml").items():
        family = [base, *(f"{base}-{suffix}" for suffix in row.get("variants", {}))]
        if base != "formats" and own in family:
            return family
    return [own]
