"""What a source says of the server, as settings of a run, and what is assumed beside."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from agentsim.validation.tables import Record

#: `engine.dtype` for each spelling; None: the model's own (its weight format is in its name).
_DTYPES = {
    "fp16": "float16",
    "float16": "float16",
    "half": "float16",
    "bf16": "bfloat16",
    "bfloat16": "bfloat16",
    "fp8": None,
    "auto": None,
}
#: Column -> setting, where the value is passed on as it is.
_COUNTS = {
    "tp": "engine.tensor_parallel_size",
    "max_model_len": "engine.max_model_len",
    "max_num_seqs": "engine.max_num_seqs",
    "max_num_batched_tokens": "engine.max_num_batched_tokens",
    "block_size": "engine.block_size",
}
#: vLLM's default before 0.32, whose defaults are ours.
_OLDER_UTILIZATION = 0.9
#: The first vLLM with asynchronous scheduling by default, and the first after `early-2025`.
_ASYNC_SINCE, _PRESET_UNTIL = (0, 14), (0, 9)
_OURS = (0, 32)
#: Words around the name of a GPU.
_FILLERS = ("a", "one", "single", "nvidia", "gpu")


@dataclass(frozen=True, slots=True)
class Server:
    """Settings of a measured server.

    Attributes
    ----------
    settings : tuple of str
        ``engine.max_num_seqs=128`` and the like.
    obstacle : str or None
        Why it cannot be simulated.
    """

    settings: tuple[str, ...]
    assumptions: tuple[dict[str, Any], ...] = ()
    preset: str | None = None
    obstacle: str | None = None


def assumed(name: str, value: Any, source: str) -> dict[str, Any]:
    """A row for the assumptions of a run."""
    return {"name": name, "value": value, "kind": "assumed", "source": source}


def read_server(row: Record, *, given: str = "") -> Server:
    """The server of a run, from the columns that its row has.

    Parameters
    ----------
    given : str
        Arguments of `vllm serve`, where the source prints them; they are not set again.

    Raises
    ------
    UserError
        If a column has a value that cannot be read.
    """
    settings = [
        f"{setting}={row.count(column, 1)}"
        for column, setting in _COUNTS.items()
        if row.has(column)
    ]
    made: list[dict[str, Any]] = []
    if row.has("dtype"):
        dtype = row.text("dtype").lower()
        if dtype not in _DTYPES:
            raise row.fault("dtype", f"one of {', '.join(_DTYPES)}")
        if _DTYPES[dtype] is not None:
            settings.append(f"engine.dtype={_DTYPES[dtype]}")
    if not row.is_on("prefix_caching", True):
        settings.append("engine.enable_prefix_caching=false")
    if not row.is_on("chunked_prefill", True):
        settings.append("engine.enable_chunked_prefill=false")
    version = _version(row)
    if row.has("gpu_memory_utilization"):
        settings.append(f"engine.gpu_memory_utilization={row.number('gpu_memory_utilization')}")
    elif version < _OURS and "--gpu-memory-utilization" not in given:
        settings.append(f"engine.gpu_memory_utilization={_OLDER_UTILIZATION}")
        source = "not stated; vLLM's default before 0.32"
        made.append(assumed("engine.gpu_memory_utilization", _OLDER_UTILIZATION, source))
    if version < _ASYNC_SINCE and "--async-scheduling" not in given:
        settings.append("engine.async_scheduling=false")
    if _offloads(row):
        source = "8 GiB or more of KV offload to the CPU are not modelled: what is evicted is lost"
        made.append(assumed("KV offload", "none", source))
    preset = "early-2025" if version < _PRESET_UNTIL else None
    return Server(tuple(settings), tuple(made), preset, _obstacle(row))


def gpu_name(row: Record) -> str:
    """The GPU as the tables may know it: ``A single NVIDIA H100 SXM GPU.`` is h100-sxm."""
    said = row.text("gpu" if row.has("gpu") else "hardware")
    words = re.sub(r"[.\s]+", " ", said.lower()).split()
    return "-".join(word for word in words if word not in _FILLERS)


def _version(row: Record) -> tuple[int, int]:
    """Major and minor version of vLLM; ours where the source has none."""
    if not row.has("engine_version"):
        return _OURS
    major, _, rest = row.text("engine_version").partition(".")
    minor = rest.partition(".")[0]
    if not (major.isdecimal() and minor.isdecimal()):
        raise row.fault("engine_version", "a version such as 0.15.1")
    return int(major), int(minor)


def _offloads(row: Record) -> bool:
    if row.has("kv_cpu_offload_gib"):
        return row.number("kv_cpu_offload_gib") > 0
    return row.is_on("kv_cpu_offload", False)


def _obstacle(row: Record) -> str | None:
    """Why this server cannot be simulated, if so."""
    engine = row.text_or("engine", "vllm").lower()
    if not engine.startswith("vllm"):
        return f"served by {engine}, not by vLLM"
    if row.has("replicas") and not row.text("replicas").isdecimal():
        return f"replicas {row.text('replicas')!r}: the source does not say how many"
    replicas = row.count_or("dp", 1, 1) * row.count_or("replicas", 1, 1)
    if replicas > 1:
        routing = f" behind {row.text('routing')} routing" if row.has("routing") else ""
        return f"{replicas} replicas{routing}: only one replica is simulated"
    if row.is_on("expert_parallel", False):
        return "expert parallelism is not modelled"
    return None
