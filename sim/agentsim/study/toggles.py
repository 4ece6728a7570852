"""Two configurations as a list of mechanisms, each of which can be switched by itself.

Start at `toggles_between`. A toggle holds the settings of one mechanism that differ; a coalition of
toggles (see `attribution`) is the first configuration with the settings of some toggles taken from
the second, and `plan_of` says what a server with just these does.

``engine.kind`` bundles several mechanisms. It is taken apart: whose code computes the steps
(`RUNTIME`), how KV memory is given out (`LAYOUT`), whether an API server stands before the engine
(`API`), and the settings that the kind implies. So there are servers between two kinds that nobody
can buy, such as the slow model code of generate with a prefix cache; what their steps take follows
from the same cost model.

A mechanism that cannot act in a combination changes nothing: without paging there is no prefix
cache, no chunked prefill, no asynchronous scheduling, no speculation, no offloading and no API
server; generate's model code has no CUDA graphs, no speculation and no asynchronous scheduling, and
copies its cache only while that is contiguous; offloading needs the prefix cache and no
speculation; and methods of speculation that cannot be scheduled ahead are not.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import msgspec

from agentsim.domain.config import Config
from agentsim.domain.settings import nested
from agentsim.machine.catalog import find_model
from agentsim.machine.defaults import ASYNC_METHODS
from agentsim.machine.roofline import Roofline
from agentsim.machine.system import CONTIGUOUS, System, build_system
from agentsim.machine.transformers import TransformersCost, transformers_factors
from agentsim.study.mechanisms import API, LAYOUT, MECHANISMS, RUNTIME, SOFTWARE, mechanism_of

Settings = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Toggle:
    """A mechanism in which two configurations differ.

    Attributes
    ----------
    label : str
    settings : dict
        Name -> (value in the first, value in the second).
    """

    label: str
    settings: dict[str, tuple[Any, Any]]


@dataclass(frozen=True, slots=True)
class Plan:
    """A server to simulate; equal plans give equal runs.

    Attributes
    ----------
    config : Config
    has_generate : bool
        Its steps take what those of Hugging Face generate take.
    """

    config: Config
    has_generate: bool = False


def toggles_between(first: Config, second: Config) -> list[Toggle]:
    """The mechanisms in which two configurations differ, in the order of `MECHANISMS`.

    Settings of no mechanism make one toggle of their own, named after them.
    """
    ours, theirs = settings_of(first), settings_of(second)
    found: dict[str, dict[str, tuple[Any, Any]]] = {}
    for name, value in ours.items():
        if value != theirs[name]:
            found.setdefault(mechanism_of(name), {})[name] = (value, theirs[name])
    if "paging" in found:  # a limit on contexts goes with the memory that sets it
        found["paging"] |= found.pop("context limit", {})
    if "quantisation" in found and not _same_architecture(first.model, second.model):
        found["model"] = found.pop("quantisation")
    places = {label: place for place, label in enumerate([*MECHANISMS, "model", ""])}
    toggles = []
    for label in sorted(found, key=places.__getitem__):
        toggles.append(Toggle(label or ", ".join(found[label]), found[label]))
    return toggles


def plan_of(first: Config, toggles: list[Toggle], coalition: int) -> Plan:
    """The server that has the mechanisms of a coalition as the second configuration has them, and
    all others as the first."""
    settings = settings_of(first)
    for place, toggle in enumerate(toggles):
        if coalition >> place & 1:
            settings |= {name: value for name, (_, value) in toggle.settings.items()}
    return _plan(settings)


def changed_plan(plan: Plan, changes: Settings) -> Plan:
    """A plan with other settings, by the names of `settings_of`."""
    settings = settings_of(plan.config)
    if plan.has_generate:
        settings[RUNTIME] = "generate"
    return _plan(settings | changes)


def with_defaults(config: Config) -> Config:
    """The same hardware, model, memory and load, every mechanism as vLLM has it by default."""
    settings = _flat("", msgspec.to_builtins(config))
    defaults = _flat("", msgspec.to_builtins(Config()))
    names = ["engine.kind", *(name for name in settings if mechanism_of(name) in SOFTWARE)]
    changed = settings | {name: defaults[name] for name in names}
    return msgspec.convert(nested(changed), Config)


def build(plan: Plan) -> System:
    """The system of a plan.

    Raises
    ------
    UserError
        If it cannot be run; see `build_system`.
    """
    system = build_system(plan.config)
    if not plan.has_generate:
        return system
    assert isinstance(system.cost, Roofline)
    cost = TransformersCost(system.cost, transformers_factors(plan.config.cost))
    return dataclasses.replace(system, cost=cost)


def settings_of(config: Config) -> Settings:
    """All settings by dotted name, ``engine.kind`` taken apart."""
    settings = _flat("", msgspec.to_builtins(config))
    kind = settings.pop("engine.kind")
    settings[RUNTIME] = "generate" if kind == "hf" else "vllm"
    settings[LAYOUT] = "contiguous" if kind in CONTIGUOUS else "paged"
    settings[API] = kind not in CONTIGUOUS
    if kind != "vllm":
        settings["engine.enable_prefix_caching"] = False
    if kind in CONTIGUOUS:
        settings |= {"engine.enable_chunked_prefill": False, "engine.async_scheduling": False}
    if kind == "hf":
        settings |= {"engine.max_num_seqs": 1, "engine.enforce_eager": True}
    if kind == "continuous":
        longest = config.engine.max_model_len or find_model(config.model).max_position
        budget = config.engine.max_num_batched_tokens or longest
        settings |= {
            "engine.enable_chunked_prefill": False,
            "engine.max_num_batched_tokens": budget,
        }
    return settings


def _plan(settings: Settings) -> Plan:
    """The server that these settings describe, without those that cannot act in it."""
    settings = dict(settings)
    has_generate = settings.pop(RUNTIME) == "generate"
    is_paged = settings.pop(LAYOUT) == "paged"
    has_api = settings.pop(API)
    cannot: Settings = {}
    if not is_paged:
        cannot |= {
            "engine.enable_prefix_caching": False,
            "engine.enable_chunked_prefill": True,
            "engine.max_num_batched_tokens": None,
            "engine.async_scheduling": None,
            "engine.kv_offloading_size": None,
        }
    elif not has_api:
        names = ("api_request_s", "api_prompt_token_s", "api_stream_s")
        cannot |= {f"cost.{name}": 0.0 for name in names}
    if has_generate:
        cannot |= {
            "engine.enforce_eager": True,
            "engine.cudagraph_capture_sizes": None,
            "engine.max_cudagraph_capture_size": None,
            "engine.async_scheduling": False if is_paged else None,
        }
        if is_paged:
            cannot["cost.hf_kv_passes"] = 0.0
    if has_generate or not is_paged:
        cannot |= {"engine.speculative_method": "none", "engine.num_speculative_tokens": 0}
        cannot |= {name: default for name, default in _NO_SPECULATION.items()}
    settings |= cannot
    method = settings["engine.speculative_method"]
    if method not in ASYNC_METHODS and settings["engine.async_scheduling"]:
        settings["engine.async_scheduling"] = None
    if method != "none" or not settings["engine.enable_prefix_caching"]:
        settings["engine.kv_offloading_size"] = None
    if not settings["engine.enable_prefix_caching"] or settings["engine.free_queue"] != "two-ended":
        settings["engine.eviction"] = "lru"
    settings["engine.kind"] = "vllm" if is_paged else "static"
    return Plan(msgspec.convert(nested(settings), Config), has_generate)


def _same_architecture(first: str, second: str) -> bool:
    """Whether two models differ in nothing but names and the format of their weights."""
    ours, theirs = (
        msgspec.structs.replace(
            find_model(name), name="", aliases=(), source="", weight_format=None, quantized=()
        )
        for name in (first, second)
    )
    return ours == theirs


def _flat(prefix: str, table: dict[str, Any]) -> Settings:
    """Tables within tables as dotted names."""
    found: Settings = {}
    for name, value in table.items():
        if isinstance(value, dict):
            found |= _flat(f"{prefix}{name}.", value)
        else:
            found[prefix + name] = value
    return found


_NO_SPECULATION = {
    name: value
    for name, value in _flat("", msgspec.to_builtins(Config())).items()
    if name.startswith("speculation.")
}
