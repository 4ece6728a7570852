"""From a `Config` to everything a run needs: `build_system`.

`read_config` reads the user's settings from all their sources; `defaults` fills in what they leave
open.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from agentsim.domain.config import Config, EngineConfig, check_together, load_config
from agentsim.domain.specs import GpuSpec, ModelSpec
from agentsim.domain.speculation import check_speculation
from agentsim.errors import ConfigError, UnknownName
from agentsim.machine.api_server import NO_SERVER, ApiServer, api_server
from agentsim.machine.capacity import KVCapacity, kv_element_bytes, size_kv_cache
from agentsim.machine.catalog import find_gpu, find_model, formats
from agentsim.machine.coefficients import Execution, work_out
from agentsim.machine.defaults import fill_defaults
from agentsim.machine.drafting import plan_draft
from agentsim.machine.factors import resolve_factors
from agentsim.machine.presets import PRESETS
from agentsim.machine.profiles import find_profile
from agentsim.machine.roofline import Roofline
from agentsim.machine.speculative import SpeculativeCost, propose_with
from agentsim.machine.transformers import (
    ContiguousMemory,
    TransformersCost,
    contiguous_memory,
    transformers_factors,
)
from agentsim.machine.vllm_args import parse_vllm_args

#: Whatever says how long steps take.
StepTimes = Roofline | SpeculativeCost | TransformersCost

#: Kinds of engine without paging.
CONTIGUOUS = ("hf", "static")

#: Quantisation names of vLLM beside those of `formats`, and the format they stand for.
_QUANTIZATIONS = {
    "awq_marlin": "awq",
    "gptq_marlin": "gptq",
    "bitsandbytes": "bnb-nf4",
    "gpt_oss_mxfp4": "mxfp4",
}
#: Formats vLLM can make from 16-bit weights while loading.
_ONLINE = ("fp8", "bnb-nf4")


@dataclass(frozen=True, slots=True)
class System:
    """One replica, ready to run.

    Attributes
    ----------
    engine : EngineConfig
        With every default filled in but `quantization`.
    assumptions : tuple of dict
        Everything not given by the user: ``name``, ``value``, ``kind``, ``source``.
    contiguous : ContiguousMemory or None
        For an engine without paging: what it has instead of `capacity`.
    api : ApiServer
        What lies between the clients and the engine; nothing before an engine without paging.
    """

    gpu: GpuSpec
    model: ModelSpec
    engine: EngineConfig
    capacity: KVCapacity
    cost: StepTimes
    assumptions: tuple[dict[str, Any], ...]
    contiguous: ContiguousMemory | None = None
    api: ApiServer = NO_SERVER


def read_config(
    path: Path | None = None,
    *,
    sets: Sequence[str] = (),
    vllm_args: str | None = None,
    gpu: str | None = None,
    model: str | None = None,
    preset: str | None = None,
    profile: str | None = None,
) -> tuple[Config, list[dict[str, Any]]]:
    """The settings of a run from all their sources, and what was assumed or ignored on the way.

    See `domain.config.load_config` for the order and the errors.
    """
    args = parse_vllm_args(vllm_args or "")
    assumptions = []
    settings: dict[str, Any] = {}
    if preset is not None:
        found = PRESETS[preset]
        settings = found.settings
        assumptions.append(_row(f"preset {preset}", found.summary, found.remains))
    if args.without_effect:
        ignored = " ".join(args.without_effect)
        assumptions.append(
            _row("vllm_args without effect", ignored, "changes no time, no decision")
        )
    if profile is not None and (of := find_profile(profile).gpu):
        settings = {**settings, "gpu": of}
    config = load_config(
        path, sets=sets, engine_args=args.settings, gpu=gpu, model=model, preset=settings
    )
    if profile is not None:
        config = msgspec.structs.replace(config, profile=profile)
    return config, assumptions


def build_system(config: Config, assumptions: Sequence[dict[str, Any]] = ()) -> System:
    """Specs, settings, KV capacity and step times of one replica.

    Parameters
    ----------
    assumptions : sequence of dict
        From `read_config`; put before those made here.

    Raises
    ------
    UnknownName
        No such GPU or model.
    DoesNotFit
        Weights or one request of `max_model_len` do not fit.
    ConfigError
        Settings that vLLM would refuse together.
    """
    engine, given = config.engine, config.speculation
    check_together(engine)
    check_speculation(given, engine.speculative_method, engine.num_speculative_tokens)
    gpu = find_gpu(config.gpu, config.profile)
    model = _quantised(find_model(config.model), engine.quantization)
    _check_shards(model, engine.tensor_parallel_size)
    draft = plan_draft(given, engine, model, kv_element_bytes(engine))
    decode_tokens = 1 if draft is None else draft.verified_tokens
    engine = fill_defaults(_of_kind(engine, model), gpu, model, decode_tokens)
    capacity = size_kv_cache(gpu, model, engine, draft)
    engine = msgspec.structs.replace(
        engine, num_gpu_blocks=capacity.num_gpu_blocks, max_model_len=capacity.max_model_len
    )
    factors = resolve_factors(gpu, model, config.cost)
    execution = Execution(
        tensor_parallel_size=engine.tensor_parallel_size,
        capture_sizes=engine.cudagraph_capture_sizes or (),
        decode_tokens=decode_tokens,
        async_scheduling=bool(engine.async_scheduling),
        kv_element_bytes=kv_element_bytes(engine),
    )
    roofline = Roofline(work_out(gpu, model, factors, execution))
    cost: StepTimes = roofline
    if draft is not None:
        cost = propose_with(
            draft, given, roofline, gpu=gpu, target=model, execution=execution, cost=config.cost
        )
    contiguous = None
    if engine.kind in CONTIGUOUS:
        if config.agents.timeout_s is not None:
            raise ConfigError(
                f"agents.timeout_s: engine.kind {engine.kind} drops no request, a batch runs to "
                "its end"
            )
        own = transformers_factors(config.cost)
        contiguous = contiguous_memory(gpu, model, kv_element_bytes(engine), own["hf_waste"].value)
        if engine.kind == "hf":
            cost = TransformersCost(roofline, own)
    passed_over = [*_left_out(model), *(draft.notes if draft is not None else ())]
    made = [*assumptions, *passed_over, *capacity.assumptions(), *cost.factors()]
    api = NO_SERVER if contiguous is not None else api_server(factors)
    return System(gpu, model, engine, capacity, cost, tuple(made), contiguous, api)


def _of_kind(engine: EngineConfig, model: ModelSpec) -> EngineConfig:
    """The settings that make vLLM's engine another kind of server.

    Raises
    ------
    ConfigError
        Settings that this kind does not have.
    """
    if engine.kind == "vllm":
        return engine
    if engine.kind in CONTIGUOUS:
        if engine.speculative_method != "none":
            raise ConfigError(f"engine.kind {engine.kind}: has no speculative decoding")
        if engine.async_scheduling:
            raise ConfigError(f"engine.kind {engine.kind}: has no asynchronous scheduling")
    if engine.kind == "hf" and engine.tensor_parallel_size > 1:
        raise ConfigError("engine.kind hf: runs on one GPU, tensor_parallel_size must be 1")
    changes: dict[str, Any] = {"enable_prefix_caching": False}
    if engine.kind in CONTIGUOUS:
        changes["async_scheduling"] = False
    if engine.kind == "hf":
        if (engine.max_num_seqs or 1) > 1:
            raise ConfigError(
                f"engine.kind hf: serves one request at a time, got max_num_seqs "
                f"{engine.max_num_seqs}; use --engine static for batches"
            )
        changes |= {"max_num_seqs": 1, "enforce_eager": True}
    if engine.kind == "continuous":
        changes["enable_chunked_prefill"] = False
        longest = engine.max_model_len or model.max_position
        changes["max_num_batched_tokens"] = engine.max_num_batched_tokens or longest
    return msgspec.structs.replace(engine, **changes)


def _quantised(model: ModelSpec, quantization: str | None) -> ModelSpec:
    """`model` in the weight format that the setting asks for, where vLLM can make it."""
    if quantization is None or quantization == "compressed-tensors":
        return model
    name = _QUANTIZATIONS.get(quantization, quantization)
    if name not in formats():
        raise UnknownName("quantization", quantization, [*formats(), *_QUANTIZATIONS])
    own = model.weight_format.name
    if own == name or own.startswith(f"{name}-") or (own == "w4a16" and name in ("awq", "gptq")):
        return model
    if own != "bf16" or name not in _ONLINE:
        raise ConfigError(
            f"engine.quantization: {model.name} has weights in {own}, not in {quantization}; take "
            "a model in that format, see 'agentsim list models'"
        )
    return msgspec.structs.replace(model, weight_format=formats()[name])


def _check_shards(model: ModelSpec, shards: int) -> None:
    if model.num_heads % shards:
        raise ConfigError(
            f"engine.tensor_parallel_size: expected a divisor of the {model.num_heads} attention "
            f"heads of {model.name}, got {shards}"
        )


def _left_out(model: ModelSpec) -> list[dict[str, Any]]:
    """What the run passes over."""
    rows = []
    if model.window is not None:
        source = "vLLM frees blocks that left a sliding window; here every layer keeps them all"
        rows.append(_row("kv.sliding_window", model.window, source))
    return rows


def _row(name: str, value: Any, source: str) -> dict[str, Any]:
    return {"name": name, "value": value, "kind": "assumed", "source": source}
