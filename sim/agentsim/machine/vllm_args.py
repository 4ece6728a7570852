"""Read the arguments of a user's own `vllm serve` command, as vLLM 0.32 understands them.

`SETTINGS` names the arguments that matter here and what they become; `vllm_args.toml` those that a
server has but that change no time and no decision, or that are not modelled; any other is an error.
"""

from __future__ import annotations

import difflib
import functools
import itertools
import json
import re
import shlex
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import resources
from typing import Any

from agentsim.errors import ConfigError

_SUFFIXES = {"k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
_BINARY = {"K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


def _integer(text: str) -> int:
    """``8k`` is 8000, ``8K`` 8192 (vLLM 0.32 utils/argparse_utils.py `human_readable_int`)."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([kKmMgGtT])", text)
    if found is None:
        return int(text)
    number, suffix = found.groups()
    return (
        int(float(number) * _SUFFIXES[suffix])
        if suffix in _SUFFIXES
        else int(number) * _BINARY[suffix]
    )


def _length(text: str) -> int:
    return -1 if text.lower() in ("auto", "-1") else _integer(text)


def _sizes(text: str) -> list[int]:
    return [_integer(part) for part in re.split(r"[\s,]+", text.strip("[] ")) if part]


_KINDS: dict[Callable[[str], Any], str] = {
    _integer: "an integer such as 8192 or 8k",
    _length: "an integer such as 8192 or 8k, or auto",
    _sizes: "integers",
    float: "a number",
    str: "text",
}

#: argument -> (setting, how its value is read); None as the reader marks a switch.
SETTINGS: dict[str, tuple[str, Callable[[str], Any] | None]] = {
    "model": ("model", str),
    "block-size": ("engine.block_size", _integer),
    "num-gpu-blocks-override": ("engine.num_gpu_blocks", _integer),
    "gpu-memory-utilization": ("engine.gpu_memory_utilization", float),
    "device-memory-utilization": ("engine.gpu_memory_utilization", float),
    "kv-cache-memory-bytes": ("engine.kv_cache_memory_bytes", _integer),
    "max-num-seqs": ("engine.max_num_seqs", _integer),
    "max-num-active-seqs": ("engine.max_num_active_seqs", _integer),
    "max-num-batched-tokens": ("engine.max_num_batched_tokens", _integer),
    "max-model-len": ("engine.max_model_len", _length),
    "enable-prefix-caching": ("engine.enable_prefix_caching", None),
    "enable-chunked-prefill": ("engine.enable_chunked_prefill", None),
    "long-prefill-token-threshold": ("engine.long_prefill_token_threshold", _integer),
    "long-prefill-token-threshold-adaptive": ("engine.long_prefill_token_threshold_adaptive", None),
    "scheduling-policy": ("engine.policy", str),
    "watermark": ("engine.watermark", float),
    "scheduler-reserve-full-isl": ("engine.scheduler_reserve_full_isl", None),
    "async-scheduling": ("engine.async_scheduling", None),
    "tensor-parallel-size": ("engine.tensor_parallel_size", _integer),
    "dtype": ("engine.dtype", str),
    "quantization": ("engine.quantization", str),
    "kv-offloading-size": ("engine.kv_offloading_size", float),
    "kv-cache-dtype": ("engine.kv_cache_dtype", str),
    "enforce-eager": ("engine.enforce_eager", None),
    "cudagraph-capture-sizes": ("engine.cudagraph_capture_sizes", _sizes),
    "max-cudagraph-capture-size": ("engine.max_cudagraph_capture_size", _integer),
    "performance-mode": ("engine.performance_mode", str),
    "spec-method": ("engine.speculative_method", str),
    "spec-tokens": ("engine.num_speculative_tokens", _integer),
}

_SHORT = {
    "-tp": "tensor-parallel-size",
    "-q": "quantization",
    "-sc": "speculative-config",
    "-cc": "compilation-config",
    "-pp": "pipeline-parallel-size",
    "-dp": "data-parallel-size",
}

_METHOD, _DRAFT_MODEL = "engine.speculative_method", "speculation.draft_model"

#: Keys of `--speculative-config` without effect.
_SPECULATIVE_IGNORED = ("prompt_lookup_min", "prompt_lookup_max", "draft_tensor_parallel_size")


@functools.cache
def other_arguments() -> dict[str, frozenset[str]]:
    """Arguments that are no settings: ``without_effect``, ``switches_...``, ``not_modelled``."""
    text = resources.files("agentsim.machine").joinpath("vllm_args.toml").read_text("utf-8")
    return {name: frozenset(arguments) for name, arguments in tomllib.loads(text).items()}


@dataclass(frozen=True, slots=True)
class VllmArgs:
    """What a command line said.

    Attributes
    ----------
    settings : dict
        Settings by dotted name, for `domain.config.load_config`.
    without_effect : tuple of str
        Arguments that were accepted and change nothing here.
    """

    settings: dict[str, Any] = field(default_factory=dict)
    without_effect: tuple[str, ...] = ()


def parse_vllm_args(text: str) -> VllmArgs:
    """The settings that the arguments of a `vllm serve` command stand for.

    Parameters
    ----------
    text : str
        Arguments as in a shell, with or without the leading ``vllm serve MODEL``.

    Raises
    ------
    ConfigError
        Naming the argument that is unknown or whose value is wrong.
    """
    try:
        words = shlex.split(text.replace("\\\n", " "))
    except ValueError as error:
        raise ConfigError(f"--vllm-args: {str(error).lower()}") from error
    other = other_arguments()
    settings: dict[str, Any] = {}
    ignored: list[str] = []
    if words[:2] == ["vllm", "serve"]:
        words = words[2:]
    if words and not words[0].startswith("-"):
        settings["model"] = words.pop(0)
    while words:
        name, value = _next_argument(words)
        if name in _READERS:
            settings.update(_READERS[name](value or _take(name, words)))
        elif name in SETTINGS or _positive(name) in SETTINGS:
            settings.update(_setting(name, value, words))
        elif name in other["without_effect"]:
            ignored.append(f"--{name}")
            if value is None:
                _skip_values(words)
        elif _positive(name) in other["switches_without_effect"]:
            ignored.append(f"--{name}")
        else:
            raise _unknown(name)
    _settle_speculation(settings)
    return VllmArgs(settings, tuple(ignored))


def _next_argument(words: list[str]) -> tuple[str, str | None]:
    """The next argument's name without dashes, and its value if it is joined by ``=``."""
    word = words.pop(0)
    name, equals, value = word.partition("=")
    if name in _SHORT:
        return _SHORT[name], value if equals else None
    if not name.startswith("--"):
        raise ConfigError(f"--vllm-args: expected an argument that begins with --, got {word!r}")
    return name[2:].replace("_", "-"), value if equals else None


def _positive(name: str) -> str:
    return name.removeprefix("no-")


def _take(name: str, words: list[str]) -> str:
    if not words:
        raise ConfigError(f"--vllm-args: --{name}: expected a value")
    return words.pop(0)


def _backend(name: str) -> dict[str, Any]:
    """The native backend of KV offloading is the only one that is modelled."""
    if name != "native":
        raise ConfigError(
            f"--vllm-args: --kv-offloading-backend: expected native, got {name!r}, which is "
            "not modelled; leave it out to take native"
        )
    return {}


def _skip_values(words: list[str]) -> None:
    while words and not words[0].startswith("--") and words[0] not in _SHORT:
        words.pop(0)


def _setting(name: str, value: str | None, words: list[str]) -> dict[str, Any]:
    setting, read = SETTINGS[_positive(name)]
    if read is None:
        text = value.lower() if value is not None else "true"
        if text not in ("true", "false"):
            raise ConfigError(f"--vllm-args: --{name}: expected no value, got {value!r}")
        return {setting: (text == "true") != name.startswith("no-")}
    text = value if value is not None else _take(name, words)
    if read is _sizes:
        while words and re.fullmatch(r"\d+", words[0]):
            text += f" {words.pop(0)}"
    try:
        return {setting: read(text)}
    except ValueError as error:
        raise ConfigError(
            f"--vllm-args: --{name}: expected {_KINDS[read]}, got {text!r}"
        ) from error


def _json_object(name: str, text: str) -> dict[str, Any]:
    try:
        given = json.loads(text)
    except ValueError:
        given = None
    if not isinstance(given, dict):
        raise ConfigError(f"--vllm-args: --{name}: expected a JSON object, got {text!r}")
    return given


def _speculation(text: str) -> dict[str, Any]:
    """Settings of `--speculative-config`."""
    given = _json_object("speculative-config", text)
    model = given.pop("model", None)
    method = given.pop("method", None if model is None else _method_of(str(model)))
    tokens = given.pop("num_speculative_tokens", None)
    mapped = given.pop("use_heterogeneous_vocab", False)
    place = "--vllm-args: --speculative-config"
    unknown = [key for key in given if key not in _SPECULATIVE_IGNORED]
    if unknown:
        raise ConfigError(f"{place}: key {unknown[0]!r} is not modelled; leave it out to ignore it")
    if not isinstance(method, str) or not isinstance(tokens, int):
        raise ConfigError(f"{place}: expected 'method' and 'num_speculative_tokens', got {text!r}")
    settings = {"engine.speculative_method": method, "engine.num_speculative_tokens": tokens}
    if model is not None:
        settings[_DRAFT_MODEL] = str(model)
    if mapped:
        settings["speculation.heterogeneous_vocab"] = mapped
    return settings


def _settle_speculation(settings: dict[str, Any]) -> None:
    """Method and model as one: a head or heads have the target's shape, whatever their name."""
    method, model = settings.get(_METHOD), settings.get(_DRAFT_MODEL)
    if method is None and model is not None:
        method = settings[_METHOD] = _method_of(model)
    if isinstance(method, str) and method.endswith("_mtp"):
        settings[_METHOD] = "mtp"  # older names of it (config/speculative.py)
    if method != "draft_model":
        settings.pop(_DRAFT_MODEL, None)


def _method_of(model: str) -> str:
    """The method that vLLM 0.32 takes from the name of a model (config/speculative.py)."""
    name = model.lower()
    if name.strip("[]") == "ngram":
        return "ngram"
    return next((m for m in ("eagle3", "eagle", "medusa", "mtp") if m in name), "draft_model")


def _compilation(text: str) -> dict[str, Any]:
    """Settings of `--compilation-config`: the captured sizes, and graphs on or off."""
    given = _json_object("compilation-config", text)
    settings: dict[str, Any] = {}
    for key, value in given.items():
        if key in ("cudagraph_capture_sizes", "max_cudagraph_capture_size"):
            settings[f"engine.{key}"] = value
        elif key == "cudagraph_mode" and value in ("NONE", "FULL_AND_PIECEWISE"):
            settings["engine.enforce_eager"] = value == "NONE"
        elif key not in ("mode", "level"):
            raise ConfigError(
                f"--vllm-args: --compilation-config: {key!r}: {value!r} is not modelled; "
                "leave it out to ignore it"
            )
    return settings


def _unknown(name: str) -> ConfigError:
    if _positive(name) in other_arguments()["not_modelled"]:
        return ConfigError(f"--vllm-args: --{name}: not modelled; leave it out to ignore it")
    known = [
        *SETTINGS,
        "speculative-config",
        "spec-model",
        *itertools.chain(*other_arguments().values()),
    ]
    near = difflib.get_close_matches(_positive(name), sorted(known), n=1, cutoff=0.7)
    hint = f"; did you mean --{near[0]}?" if near else "; leave it out to ignore it"
    return ConfigError(f"--vllm-args: --{name}: unknown argument{hint}")


#: Arguments whose value stands for several settings, or for one in words of its own.
_READERS: dict[str, Callable[[str], dict[str, Any]]] = {
    "speculative-config": _speculation,
    "spec-model": lambda name: {_DRAFT_MODEL: name},
    "kv-offloading-backend": _backend,
    "compilation-config": _compilation,
}
