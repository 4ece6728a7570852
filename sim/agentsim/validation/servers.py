"""What a source says of the server, as settings of a run, and what is assumed beside."""

from __future__ import annotations

import math
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
    "kv_cache_memory_bytes": "engine.kv_cache_memory_bytes",
}
#: vLLM's default before 0.32, whose defaults are ours.
_OLDER_UTILIZATION = 0.9
#: The first vLLM with asynchronous scheduling by default, the first that leaves room for CUDA
#: graphs, and the first after `early-2025`.
_ASYNC_SINCE, _GRAPHS_SINCE, _PRESET_UNTIL = (0, 14), (0, 21), (0, 9)
_OURS = (0, 32)
#: The version of early 2025, for sources that say when they measured or that it was "vllm (V1)",
#: a choice only then.
_EARLY, _EARLY_UNTIL = (0, 7), "2025-07"
#: Sequences at a time by default in early 2025, on large GPUs too.
_EARLY_SEQS = 256
#: The first vLLM that samples top-p without sorting all logits, what sorting takes (docs/model.md),
#: and families of models whose generation_config.json asks for top-p (from memory of these files).
_SORTS_UNTIL = (0, 16)
_SORTING = ("cost.sampler_step_s=0.52e-3", "cost.sampler_logit_s=1.39e-10")
_TOP_P = ("llama-2", "llama-3", "llama-4", "qwen")
#: Settings of a run whose times are the engine's own: nothing lies between client and engine.
ENGINES_CLOCK = (
    "cost.api_request_s=0",
    "cost.api_prompt_token_s=0",
    "cost.api_stream_s=0",
)
#: Words of a routing -> router; the first that is in it. The service of Kubernetes picks at random.
_ROUTERS = {
    "k8s": "random",
    "kubernetes": "random",
    "random": "random",
    "prefix": "prefix-hash",
    "least": "least-load",
    "round": "round-robin",
}
#: GPUs of the node that a deployment of an unknown number of replicas is on.
_NODE_GPUS = 8
#: KV offload to the CPU where a source says no more than that it is on.
_OFFLOAD_GIB = 8.0
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
    is_drawn : bool
        Whether the router draws the replica of a request.
    choices : tuple of tuple of str
        Further settings, one set for each repeat, where the source leaves them open.
    """

    settings: tuple[str, ...]
    assumptions: tuple[dict[str, Any], ...] = ()
    preset: str | None = None
    obstacle: str | None = None
    is_drawn: bool = False
    choices: tuple[tuple[str, ...], ...] = ()

    def repeats(self, drawn: int, *, is_drawn: bool) -> int:
        """How often to simulate: `drawn` times if the load or the router is drawn."""
        return len(self.choices) or (drawn if is_drawn or self.is_drawn else 1)


def assumed(name: str, value: Any, source: str) -> dict[str, Any]:
    """A row for the assumptions of a run."""
    return {"name": name, "value": value, "kind": "assumed", "source": source}


def read_server(row: Record, *, given: str = "", is_sampled: bool = False) -> Server:
    """The server of a run, from the columns that its row has.

    Parameters
    ----------
    given : str
        Arguments of `vllm serve`, where the source prints them; they are not set again.
    is_sampled : bool
        The client leaves it to the server how tokens are sampled: as the model's
        generation_config.json says. vLLM's own benchmark asked for the likeliest token until 2026.

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
    settings += _settings_in_name(row)
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
    of_version, why = _of_version(row, given, is_sampled=is_sampled)
    settings += of_version
    made += why
    if row.has("kv_cpu_offload_gib"):
        settings.append(f"engine.kv_offloading_size={row.number('kv_cpu_offload_gib')}")
    elif row.is_on("kv_cpu_offload", False):
        settings.append(f"engine.kv_offloading_size={_OFFLOAD_GIB}")
        source = "size not stated; that of request-level runs of the same source"
        made.append(assumed("engine.kv_offloading_size", _OFFLOAD_GIB, source))
    if row.is_on("expert_parallel", False):
        source = "experts are split like all other weights"
        made.append(assumed("expert parallelism", "as tensor parallel", source))
    fleet = _read_fleet(row)
    return Server(
        (*settings, *fleet.settings),
        (*made, *fleet.assumptions),
        "early-2025" if _version(row) < _PRESET_UNTIL else None,
        _obstacle(row),
        fleet.is_drawn,
        fleet.choices,
    )


def _of_version(
    row: Record, given: str, *, is_sampled: bool
) -> tuple[list[str], list[dict[str, Any]]]:
    """Settings that follow from how old the server is, and what is assumed of it."""
    settings: list[str] = []
    made: list[dict[str, Any]] = []
    version = _version(row)
    if row.has("gpu_memory_utilization"):
        settings.append(f"engine.gpu_memory_utilization={row.number('gpu_memory_utilization')}")
    elif version < _OURS and "--gpu-memory-utilization" not in given:
        settings.append(f"engine.gpu_memory_utilization={_OLDER_UTILIZATION}")
        source = "not stated; vLLM's default before 0.32"
        made.append(assumed("engine.gpu_memory_utilization", _OLDER_UTILIZATION, source))
    if version < _ASYNC_SINCE and "--async-scheduling" not in given:
        settings.append("engine.async_scheduling=false")
    if version < _GRAPHS_SINCE:
        settings.append("engine.estimate_cudagraph_memory=false")
    if is_sampled and version < _SORTS_UNTIL and _has_top_p(row.text("model")):
        settings += _SORTING
        source = "the client names no temperature and the model's own sampling has top-p: a sort"
        made.append(assumed("sampling", "top-p", source))
    if version < _PRESET_UNTIL and not row.has("max_num_seqs") and "--max-num-seqs" not in given:
        settings.append(f"engine.max_num_seqs={_EARLY_SEQS}")
        source = "not stated; vLLM's default on every GPU before 0.9"
        made.append(assumed("engine.max_num_seqs", _EARLY_SEQS, source))
    return settings, made


def _read_fleet(row: Record) -> Server:
    """How many replicas there are and who spreads the requests over them."""
    groups = row.count_or("dp", 1, 1)
    is_told = not row.has("replicas") or row.text("replicas").isdecimal()
    replicas = groups * (row.count_or("replicas", 1, 1) if is_told else 1)
    if is_told and replicas == 1:
        return Server(())
    router, source = _router(row)
    made = (assumed("cluster.routing", router, source),)
    routing = f"cluster.routing={router}"
    if is_told:
        settings = (f"cluster.replicas={replicas}", routing)
        return Server(settings, made, is_drawn=router == "random")
    in_name = _BESIDE_NAME.search(row.text_or("model", ""))
    tp = int(in_name[3]) if in_name and in_name[3] else row.count_or("tp", 1, 1)
    most = max(1, _NODE_GPUS // tp)
    counts = [2**power for power in range(int(math.log2(most)) + 1)]
    about = f"{row.text('replicas')}: not stated; each of these on a node of {_NODE_GPUS} GPUs"
    choices = tuple((f"cluster.replicas={count}",) for count in counts)
    hidden = assumed("cluster.replicas", counts, about)
    return Server((routing,), (hidden, *made), choices=choices)


def _router(row: Record) -> tuple[str, str]:
    """The router of a run, and why it is taken."""
    if not row.has("routing"):
        if row.count_or("dp", 1, 1) > 1:
            return "least-load", "how vLLM spreads requests over its data parallel engines"
        return "random", "not stated; what the service of Kubernetes does"
    said = row.text("routing")
    words = said.lower().replace("-", " ")
    found = next((router for word, router in _ROUTERS.items() if word in words), None)
    if found is None:
        raise row.fault("routing", f"one of {', '.join(dict.fromkeys(_ROUTERS.values()))}")
    return found, f"the source says {said}"


def gpu_name(row: Record) -> str:
    """The GPU as the tables may know it: ``A single NVIDIA H100 SXM GPU.`` is h100-sxm."""
    said = row.text("gpu" if row.has("gpu") else "hardware")
    words = re.sub(r"[.\s]+", " ", said.lower()).split()
    return "-".join(word for word in words if word not in _FILLERS)


def _version(row: Record) -> tuple[int, int]:
    """Major and minor version of vLLM; ours where the source has none."""
    if not row.has("engine_version"):
        measured = row.text_or("measured", "")
        is_early = measured[:4].isdecimal() and measured < _EARLY_UNTIL
        return _EARLY if is_early or "(v1)" in row.text_or("engine", "").lower() else _OURS
    major, _, rest = row.text("engine_version").partition(".")
    minor = rest.partition(".")[0]
    if not (major.isdecimal() and minor.isdecimal()):
        raise row.fault("engine_version", "a version such as 0.15.1")
    return int(major), int(minor)


def _has_top_p(model: str) -> bool:
    return any(family in model.lower() for family in _TOP_P)


def _obstacle(row: Record) -> str | None:
    """Why this server cannot be simulated, if so."""
    engine = row.text_or("engine", "vllm").lower()
    return None if engine.startswith("vllm") else f"served by {engine}, not by vLLM"


def model_name(row: Record) -> str:
    """The model alone, where the source writes settings of the server after its name."""
    return _BESIDE_NAME.sub("", row.text("model")).strip()


def _settings_in_name(row: Record) -> list[str]:
    """Settings that stand after a model's name: ``... (kv cache fp8)``, ``...-TP4``."""
    return [
        f"engine.kv_cache_dtype={cache}" if cache else f"engine.tensor_parallel_size={tp}"
        for _, cache, tp in _BESIDE_NAME.findall(row.text_or("model", ""))
    ]


_BESIDE_NAME = re.compile(r"(\s*\(kv cache (\w+)\)|-TP(\d+)$)")
