"""What can be rented and how it can be set: the options of a plan.

Start at `Space`; `default_space` makes one from a configuration and the table of prices. A setting
that the user chose himself is no choice of the plan.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from agentsim.domain.config import ALIASES, Config, EngineConfig
from agentsim.domain.settings import flatten, read_toml
from agentsim.errors import ConfigError, UnknownName
from agentsim.machine.catalog import gpus, same_shape
from agentsim.machine.vllm_args import parse_vllm_args
from agentsim.report.gpu_prices import PriceRow, find_gpu_price
from agentsim.study.variants import Sources, combinations, flat_settings

#: GPUs rented at most, unless the user says otherwise: one machine as clouds rent them.
MAX_GPUS = 8
#: What is tried, the first value first; None is vLLM's default.
CHOICES: dict[str, tuple[Any, ...]] = {
    "engine.tensor_parallel_size": (1, 2, 4, 8),
    "cluster.replicas": (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64),
    "cluster.routing": ("prefix-hash", "least-load", "round-robin"),
    "engine.max_num_seqs": (None, 16, 64),
    "engine.max_num_batched_tokens": (None, 1024, 8192),
    "engine.kv_cache_dtype": ("auto", "fp8"),
}
#: Choices that say what is rented; the others are settings of the engine.
COARSE = ("gpu", "model", "engine.tensor_parallel_size", "cluster.replicas", "cluster.routing")


@dataclass(frozen=True, slots=True, order=True)
class Platform:
    """What a replica runs on: the coarse choice."""

    gpu: str
    model: str
    tensor_parallel_size: int


def platform_name(platform: Platform) -> str:
    """A platform in words: ``h100 qwen2.5-14b tp=2``."""
    return f"{platform.gpu} {platform.model} tp={platform.tensor_parallel_size}"


@dataclass(frozen=True, slots=True)
class Option:
    """One point of the space.

    Attributes
    ----------
    engine : tuple of (str, value)
        Settings by dotted name; None: vLLM's default.
    """

    platform: Platform
    replicas: int = 1
    routing: str = "round-robin"
    engine: tuple[tuple[str, Any], ...] = ()

    @property
    def num_gpus(self) -> int:
        """GPUs of all replicas."""
        return self.replicas * self.platform.tensor_parallel_size

    def settings(self) -> dict[str, Any]:
        """What sets it apart from the configuration it is laid over, by dotted name."""
        found: dict[str, Any] = {
            "gpu": self.platform.gpu,
            "model": self.platform.model,
            "engine.tensor_parallel_size": self.platform.tensor_parallel_size,
            "cluster.replicas": self.replicas,
        }
        if self.replicas > 1:
            found["cluster.routing"] = self.routing
        return found | {name: value for name, value in self.engine if value is not None}

    def config(self, base: Config) -> Config:
        """The configuration of this option."""
        changes: dict[str, dict[str, Any]] = {"engine": {}, "cluster": {}}
        for name, value in self.settings().items():
            section, dot, key = name.partition(".")
            if dot:
                changes[section][key] = value
        return msgspec.structs.replace(
            base,
            gpu=self.platform.gpu,
            model=self.platform.model,
            engine=msgspec.structs.replace(base.engine, **changes["engine"]),
            cluster=msgspec.structs.replace(base.cluster, **changes["cluster"]),
        )

    def changes_quality(self, base: Config) -> bool:
        """Whether weights or KV have another format than in `base`: answers may differ."""
        dtype = dict(self.engine).get("engine.kv_cache_dtype", base.engine.kv_cache_dtype)
        return self.platform.model != base.model or dtype != base.engine.kv_cache_dtype

    def name(self) -> str:
        """As people say it: ``2x l40s qwen2.5-14b-awq tp=2 max_num_seqs=64``."""
        place = self.platform
        words = [f"{self.num_gpus}x {place.gpu}", place.model]
        if place.tensor_parallel_size > 1:
            words.append(f"tp={place.tensor_parallel_size}")
        if self.replicas > 1:
            words += [f"replicas={self.replicas}", f"routing={self.routing}"]
        words += [f"{n.rpartition('.')[2]}={v}" for n, v in self.engine if v not in (None, "auto")]
        return " ".join(words)


@dataclass(frozen=True, slots=True)
class Space:
    """All options.

    Attributes
    ----------
    base : Config
        What the options are laid over.
    rents : dict of str to float
        $ for an hour of one GPU.
    choices : dict
        Dotted name of a setting -> its values; those of `COARSE` are always there.
    budget : float or None
        Most $ an hour of an option.
    spot : tuple of str
        GPUs whose rent is that of a spot instance.
    passed_over : dict of str to str
        GPU -> why it is not in the space.
    """

    base: Config
    rents: dict[str, float]
    choices: dict[str, tuple[Any, ...]]
    max_gpus: int
    budget: float | None = None
    passed_over: dict[str, str] = field(default_factory=dict)
    spot: tuple[str, ...] = ()

    def platforms(self) -> list[Platform]:
        """Cheapest first."""
        found = [
            Platform(gpu, model, parallel)
            for gpu in self.rents
            for model in self.choices["model"]
            for parallel in self.choices["engine.tensor_parallel_size"]
            if parallel <= self.max_gpus
        ]
        return sorted(found, key=lambda p: (self.rents[p.gpu] * p.tensor_parallel_size, p))

    def counts(self, platform: Platform) -> list[int]:
        """How many replicas of a platform may be rented."""
        gpus, usd = platform.tensor_parallel_size, self.rents[platform.gpu]
        return [
            number
            for number in self.choices["cluster.replicas"]
            if number * gpus <= self.max_gpus
            and (self.budget is None or number * gpus * usd <= self.budget)
        ]

    def why_none(self, platform: Platform) -> str:
        """Why not even the fewest replicas of a platform may be rented."""
        least = min(self.choices["cluster.replicas"]) * platform.tensor_parallel_size
        if least > self.max_gpus:
            return f"needs {least} GPUs: --max-gpus is {self.max_gpus}"
        return f"price: at least ${least * self.rents[platform.gpu]:.2f}/h"

    def fine(self) -> dict[str, tuple[Any, ...]]:
        """The choices that leave the machine as it is."""
        return {name: values for name, values in self.choices.items() if name not in COARSE}

    def option(self, platform: Platform, replicas: int = 1) -> Option:
        """An option with the first of all fine choices."""
        routing = self.choices["cluster.routing"][0]
        engine = tuple((name, values[0]) for name, values in self.fine().items())
        return Option(platform, replicas, routing, engine)

    def rent(self, option: Option) -> float:
        """$ an hour."""
        return option.num_gpus * self.rents[option.platform.gpu]

    def size(self) -> int:
        """Options in all."""
        fine = math.prod(len(values) for values in self.fine().values())
        routing = len(self.choices["cluster.routing"])
        return sum(
            fine * (1 if number == 1 else routing)
            for platform in self.platforms()
            for number in self.counts(platform)
        )


def default_space(
    sources: Sources,
    prices: Mapping[str, Sequence[PriceRow]],
    *,
    weights: str = "all",
    max_gpus: int = MAX_GPUS,
    budget: float | None = None,
    vary: Sequence[str] = (),
    gpu_price: float | None = None,
    spot: bool = False,
) -> Space:
    """The space around a configuration: what its sources leave open.

    Parameters
    ----------
    prices : mapping
        Of `report.gpu_prices.read_price_table`.
    weights : str
        ``same``: the model as it is; ``all``: every weight format of its shape in the catalogue.
    vary : sequence of str
        ``NAME=A,B,...``: values of a setting in place of the plan's own.
    gpu_price : float or None
        $ for an hour of every GPU.
    spot : bool
        Spot prices where there are some.

    Raises
    ------
    ConfigError, UnknownName
        For a setting that cannot be chosen, a GPU without a price that was asked for, or a budget
        that rents nothing.
    """
    config, _ = sources.read()
    known = gpus()
    choices: dict[str, tuple[Any, ...]] = {
        "gpu": tuple(name for name in known if name != "cpu"),
        "model": tuple(same_shape(config.model)) if weights == "all" else (config.model,),
        **CHOICES,
    }
    own, flat = given_names(sources), flat_settings(config)
    asked = _varied(vary, choices)
    choices |= {name: (flat[name],) for name in choices if name in own} | asked
    rents: dict[str, float] = {}
    without: dict[str, str] = {}
    taken_back: list[str] = []
    for gpu in choices["gpu"]:
        usd = gpu_price if gpu_price is not None else _price(prices, known[gpu].name, spot=spot)
        if usd is not None:
            rents[known[gpu].name] = usd
            if spot and usd != _price(prices, known[gpu].name, spot=False):
                taken_back.append(known[gpu].name)
        elif "gpu" in own or "gpu" in asked:
            raise ConfigError(f"no price for {gpu}: give --gpu-price or a --price-table")
        else:
            without[gpu] = "no price: a --price-table can state one"
    space = Space(config, rents, choices, max_gpus, budget, without, tuple(taken_back))
    if budget is not None and not any(space.counts(one) for one in space.platforms()):
        least = min(space.rents, key=lambda gpu: space.rents[gpu])
        raise ConfigError(
            f"--budget ${budget:g}/h: the cheapest GPU to rent is {least} at "
            f"${space.rents[least]:.2f}/h"
        )
    return space


def given_names(sources: Sources) -> set[str]:
    """The settings, by dotted name, that the sources state; but the model, whose shape alone is."""
    names = {text.partition("=")[0].strip() for text in sources.sets}
    names |= set(parse_vllm_args(sources.vllm_args or "").settings)
    if sources.path is not None:
        names |= set(flatten(read_toml(sources.path)))
    if sources.gpu is not None:
        names.add("gpu")
    return {ALIASES.get(name, name) for name in names} - {"model"}


def _price(prices: Mapping[str, Sequence[PriceRow]], gpu: str, *, spot: bool) -> float | None:
    found = find_gpu_price({name: list(rows) for name, rows in prices.items()}, gpu)
    if found is None:
        return None
    return found.spot.value if spot and found.spot else found.on_demand.value


def _varied(vary: Sequence[str], choices: Mapping[str, object]) -> dict[str, tuple[Any, ...]]:
    """The values of ``--vary``, each checked as a setting."""
    found: dict[str, tuple[Any, ...]] = {}
    engine = {f"engine.{name}" for name in EngineConfig.__struct_fields__} - {"engine.kind"}
    for sets in combinations(vary):
        for text in sets:
            name = text.partition("=")[0]
            if name not in choices and name not in engine:
                raise UnknownName("choice of --vary", name, [*choices, *engine])
            config, _ = Sources(sets=(text,)).read()
            value = flat_settings(config)[name]
            if value not in found.setdefault(name, ()):
                found[name] += (value,)
    return found
