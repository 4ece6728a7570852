"""`Config`: every setting of a run, frozen, checked when made, read strictly.

Start with `load_config`. Settings of the engine have vLLM's own names; ``None`` there means vLLM
0.32's server default for the GPU and model, which `agentsim.machine.system` fills in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from agentsim.domain.settings import check_known, merge, nested, read_set, read_toml, structured
from agentsim.domain.speculation import SpeculationConfig
from agentsim.errors import ConfigError

Count = Annotated[int, msgspec.Meta(ge=1)]
Natural = Annotated[int, msgspec.Meta(ge=0)]
Positive = Annotated[float, msgspec.Meta(gt=0)]
NonNegative = Annotated[float, msgspec.Meta(ge=0)]
Share = Annotated[float, msgspec.Meta(gt=0, le=1)]

SpeculativeMethod = Literal[
    "none", "ngram", "draft_model", "eagle", "eagle3", "mtp", "medusa", "suffix", "lookahead"
]


class EngineConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Settings of vLLM, under its names (config/scheduler.py, cache.py, parallel.py of 0.32).

    Attributes
    ----------
    kind : str
        The server: ``vllm``; ``hf``: Hugging Face generate, one request at a time, contiguous KV,
        every prompt computed whole; ``static``: static batching with contiguous KV;
        ``continuous``: paged continuous batching with whole prefills and no prefix cache;
        ``hybrid``: that with chunked prefill.
    block_size : int or None
        Tokens of a KV block.
    num_gpu_blocks : int or None
        Overrides the KV capacity worked out from memory (`num_gpu_blocks_override`).
    gpu_memory_utilization : float or None
        Share of the GPU's memory that the server may use.
    kv_cache_memory_bytes : int or None
        Bytes of the KV cache of a GPU, instead of what `gpu_memory_utilization` leaves.
    max_num_seqs : int or None
        Sequences in a step, at most.
    max_num_active_seqs : int or None
        Running sequences from which on nobody is admitted; None: `max_num_seqs`.
    max_num_batched_tokens : int or None
        Token budget of a step.
    max_model_len : int or None
        Longest prompt plus output in tokens; None: the model's; -1: the longest that fits.
    enable_prefix_caching : bool
        Blocks whose content is cached are not computed again.
    enable_chunked_prefill : bool
        A prompt that does not fit into a step's budget is computed in chunks.
    long_prefill_token_threshold : int
        Most tokens of one prefill in a step; 0: no such cap.
    long_prefill_token_threshold_adaptive : bool
        That cap rises to the budget over the number of requests.
    policy : str
        Order of the waiting queue (`--scheduling-policy`), see ``agentsim list schedulers``.
    watermark : float
        Share of the KV blocks that stay free when a request is admitted beside running ones.
    scheduler_reserve_full_isl : bool
        A request is admitted only if the free blocks hold its whole prompt.
    lone_prefill_exempt : bool
        The long-prefill cap does not bind a request that is alone (0.32; not in early 2025).
    free_queue : str
        ``two-ended``: freed blocks without content are reused first (0.32); ``one-ended``: all go
        to the tail (early 2025).
    eviction : str
        Which cached content gives way, see ``agentsim list evictions``; vLLM has ``lru`` alone.
    async_scheduling : bool or None
        The next step is scheduled while one runs.
    tensor_parallel_size : int
        GPUs that share each layer.
    dtype, quantization : str, str or None
        Type of weights and activations; format of packed weights. The model's own by default.
    kv_cache_dtype : str
        Type of keys and values.
    kv_offloading_size : float or None
        GiB of CPU memory that KV blocks are offloaded to, of all GPUs of a replica together
        (`--kv-offloading-size`, backend ``native``); None or 0: none.
    enforce_eager : bool
        No CUDA graphs.
    cudagraph_capture_sizes, max_cudagraph_capture_size : tuple of int or None, int or None
        Numbers of tokens for which CUDA graphs are captured; the largest of them.
    estimate_cudagraph_memory : bool
        The KV cache leaves room for CUDA graphs (VLLM_MEMORY_PROFILER_ESTIMATE_CUDAGRAPHS: on
        since 0.21, off before).
    performance_mode : str
        ``throughput`` doubles the default batch limits, ``interactivity`` captures more graphs.
    speculative_method, num_speculative_tokens : str, int
        `--speculative-config`; ``lookahead`` is none of vLLM's. More in `SpeculationConfig`.
    """

    kind: Literal["vllm", "hf", "static", "continuous", "hybrid"] = "vllm"
    block_size: Count | None = None
    num_gpu_blocks: Annotated[int, msgspec.Meta(ge=2)] | None = None
    gpu_memory_utilization: Share | None = None
    kv_cache_memory_bytes: Count | None = None
    max_num_seqs: Count | None = None
    max_num_active_seqs: Count | None = None
    max_num_batched_tokens: Count | None = None
    max_model_len: Annotated[int, msgspec.Meta(ge=-1)] | None = None
    enable_prefix_caching: bool = True
    enable_chunked_prefill: bool = True
    long_prefill_token_threshold: Natural = 0
    long_prefill_token_threshold_adaptive: bool = False
    policy: str = "fcfs"
    watermark: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.0
    scheduler_reserve_full_isl: bool = True
    lone_prefill_exempt: bool = True
    free_queue: Literal["two-ended", "one-ended"] = "two-ended"
    eviction: str = "lru"
    async_scheduling: bool | None = None
    tensor_parallel_size: Count = 1
    dtype: Literal["auto", "bfloat16", "float16", "half"] = "auto"
    quantization: str | None = None
    kv_cache_dtype: Literal["auto", "bfloat16", "float16", "fp8", "fp8_e4m3", "fp8_e5m2"] = "auto"
    kv_offloading_size: NonNegative | None = None
    enforce_eager: bool = False
    cudagraph_capture_sizes: tuple[Count, ...] | None = None
    max_cudagraph_capture_size: Natural | None = None
    estimate_cudagraph_memory: bool = True
    performance_mode: Literal["balanced", "interactivity", "throughput"] = "balanced"
    speculative_method: SpeculativeMethod = "none"
    num_speculative_tokens: Natural = 0


class AgentsConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the sessions of a trace are run.

    Attributes
    ----------
    num_agents : int or None
        Sessions at work at a time; None: as the trace says, all of them. With more agents than
        sessions, sessions are run again, with private content of their own.
    ramp_s : float
        Agent i starts at i * ramp_s seconds.
    arrival : str
        ``closed-loop``, ``recorded`` (the trace's start times) or ``poisson:RATE`` sessions/s.
    tool_time_scale : float
        Multiplies every wait between calls; when a session starts stays.
    tool_time : str
        ``trace``; ``exponential`` or ``lognormal:SIGMA`` are drawn around the trace's value.
    too_long : str
        What happens to a prompt beyond `max_model_len`.
    compact_tokens : int
        What ``compact`` shortens a prompt to; 0: half of `max_model_len`.
    shared_prefix_tokens : int
        First tokens of every prompt taken as common to all sessions, for traces that do not say.
    timeout_s : float or None
        A client gives up on a call after so many seconds; the server then drops it.
    """

    num_agents: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] | None = None
    ramp_s: Annotated[float, msgspec.Meta(ge=0, le=1e6)] = 0.0
    arrival: Annotated[
        str,
        msgspec.Meta(
            pattern=r"^(closed-loop|recorded|poisson:[0-9]*\.?[0-9]*[1-9][0-9]*(\.[0-9]*)?)$",
            description="closed-loop, recorded or poisson:RATE (sessions a second, above 0)",
        ),
    ] = "closed-loop"
    tool_time_scale: Annotated[float, msgspec.Meta(ge=0, le=1e6)] = 1.0
    tool_time: Annotated[
        str,
        msgspec.Meta(
            pattern=r"^(trace|exponential|lognormal:[0-9]*\.?[0-9]+)$",
            description="trace, exponential or lognormal:SIGMA",
        ),
    ] = "trace"
    too_long: Literal["refuse", "skip", "truncate", "compact"] = "refuse"
    compact_tokens: Natural = 0
    shared_prefix_tokens: Natural = 0
    timeout_s: Annotated[float, msgspec.Meta(gt=0, le=1e9)] | None = None


class CostConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Named factors of the step-time model that replace the defaults; docs/model.md explains them.

    None: the default for the GPU and the weight format.
    """

    bandwidth_efficiency: Share | None = None
    compute_efficiency: Share | None = None
    power_efficiency: Share | None = None
    attention_bandwidth_efficiency: Share | None = None
    attention_compute_efficiency: Share | None = None
    mixed_decode_rows: NonNegative | None = None
    overlap_loss: Annotated[float, msgspec.Meta(ge=0, le=1)] | None = None
    format_bandwidth_ratio: Positive | None = None
    format_compute_ratio: Positive | None = None
    format_overhead_s: NonNegative | None = None
    layer_overhead_s: NonNegative | None = None
    step_overhead_s: NonNegative | None = None
    sequence_overhead_s: NonNegative | None = None
    piecewise_launch_s: NonNegative | None = None
    eager_launch_s: NonNegative | None = None
    scheduler_step_s: NonNegative | None = None
    scheduler_sequence_s: NonNegative | None = None
    allreduce_latency_s: NonNegative | None = None
    api_request_s: NonNegative | None = None
    api_prompt_token_s: NonNegative | None = None
    api_stream_s: NonNegative | None = None
    link_efficiency: Share | None = None
    host_link_bytes_per_s: Positive | None = None
    expert_skew: NonNegative | None = None
    expert_overhead_s: NonNegative | None = None
    sampler_step_s: NonNegative | None = None
    sampler_logit_s: NonNegative | None = None
    hf_prefill_token_s: NonNegative | None = None
    hf_decode_step_s: NonNegative | None = None
    hf_kv_passes: NonNegative | None = None
    hf_waste: Annotated[float, msgspec.Meta(ge=0, lt=1)] | None = None


class ClusterConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many engines there are.

    Attributes
    ----------
    replicas : int
        Engines, each with the GPUs of its tensor parallel group.
    routing : str
        How requests are spread over them, see ``agentsim list routers``.
    """

    replicas: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 1
    routing: str = "round-robin"


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All settings of one run.

    Attributes
    ----------
    gpu : str
        A GPU of ``agentsim list gpus``.
    model : str
        A model of ``agentsim list models``, or a Hugging Face config.json.
    profile : str or None
        What is known of the GPU beside its datasheet: a name of ``agentsim list profiles``, a file
        of ``agentsim calibrate``, or ``datasheet``; None: the profile of that GPU, if there is one.
    seed : int
        Another seed, other draws: arrivals, tool times, accepted drafts, routing.
    """

    gpu: str = "l4"
    model: str = "qwen2.5-14b-awq"
    profile: str | None = None
    seed: int = 0
    engine: EngineConfig = EngineConfig()
    agents: AgentsConfig = AgentsConfig()
    cluster: ClusterConfig = ClusterConfig()
    cost: CostConfig = CostConfig()
    speculation: SpeculationConfig = SpeculationConfig()


#: Settings of the case study's launch: one L4, Qwen2.5-14B-AWQ. Used when no model is named.
CASE_STUDY = {"gpu_memory_utilization": 0.90, "max_model_len": 32768}

#: Other spellings of settings, as vLLM's arguments have them.
ALIASES = {
    "engine.num_gpu_blocks_override": "engine.num_gpu_blocks",
    "engine.scheduling_policy": "engine.policy",
    "engine.cache_dtype": "engine.kv_cache_dtype",
}


def load_config(
    path: Path | None = None,
    *,
    sets: Sequence[str] = (),
    engine_args: Mapping[str, Any] | None = None,
    gpu: str | None = None,
    model: str | None = None,
    preset: Mapping[str, Any] | None = None,
) -> Config:
    """The settings of a run; a later source replaces an earlier one.

    The order: defaults, preset, file, the arguments of `vllm serve`, `gpu` and `model`, `sets`.

    Parameters
    ----------
    path : Path or None
        A TOML file with the fields of `Config`.
    sets : sequence of str
        ``"engine.max_num_seqs=1"``: a dotted name and a TOML value (bare words are text).
    engine_args : mapping or None
        What `machine.vllm_args.parse_vllm_args` found: settings by dotted name.
    gpu, model : str or None
        Their options of the command line.
    preset : mapping or None
        Settings by dotted name, of `machine.presets`.

    Raises
    ------
    ConfigError
        Naming source and setting: unknown (with the nearest known one), or of a wrong value.
    """
    return make_config(
        load_settings(path, sets=sets, engine_args=engine_args, gpu=gpu, model=model, preset=preset)
    )


def load_settings(
    path: Path | None = None,
    *,
    sets: Sequence[str] = (),
    engine_args: Mapping[str, Any] | None = None,
    gpu: str | None = None,
    model: str | None = None,
    preset: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """What `load_config` is given, as tables: each layer right by itself, not yet together."""
    layers: list[tuple[str, dict[str, Any]]] = [("preset", nested(preset or {}))]
    if path is not None:
        layers.append((str(path), read_toml(path)))
    layers.append(("--vllm-args", nested(engine_args or {})))
    options = {name: value for name, value in (("gpu", gpu), ("model", model)) if value is not None}
    layers.append(("options", options))
    layers.extend((f"--set {text.partition('=')[0]}", read_set(text)) for text in sets)
    settings: dict[str, Any] = {}
    for place, layer in layers:
        settings = merge(settings, check_layer(place, layer))
    return settings


def check_layer(place: str, layer: Mapping[str, Any]) -> dict[str, Any]:
    """Settings from one place, under the names of `Config`, if each is known and of a right value.

    Raises
    ------
    ConfigError
        Naming place and setting.
    """
    known = check_known(place, layer, Config, ALIASES)
    structured(place, known, Config)
    return known


def make_config(settings: Mapping[str, Any]) -> Config:
    """The settings of a run from tables of them.

    Raises
    ------
    ConfigError
        If settings contradict one another.
    """
    if "model" not in settings:
        settings = merge({"engine": CASE_STUDY}, settings)
    config = structured("configuration", settings, Config)
    check_together(config.engine)
    check_agents(config.agents)
    return config


def check_together(engine: EngineConfig) -> None:
    """Refuse settings that contradict one another, as vLLM 0.32 does at start-up."""
    seqs, active, budget = (
        engine.max_num_seqs,
        engine.max_num_active_seqs,
        engine.max_num_batched_tokens,
    )
    if seqs is not None and active is not None and active > seqs:
        raise ConfigError(
            f"engine.max_num_active_seqs: expected at most max_num_seqs ({seqs}), got {active}"
        )
    if seqs is not None and budget is not None and budget < seqs:
        raise ConfigError(
            f"engine.max_num_batched_tokens: expected at least max_num_seqs ({seqs}), got {budget}"
        )
    if (engine.speculative_method == "none") != (engine.num_speculative_tokens == 0):
        raise ConfigError(
            "engine.speculative_method and engine.num_speculative_tokens belong together: got "
            f"{engine.speculative_method!r} and {engine.num_speculative_tokens}"
        )
    if engine.kv_offloading_size:
        _check_offloading(engine)
    if engine.eviction != "lru":
        _check_eviction(engine)
    if engine.max_model_len == 0:
        raise ConfigError("engine.max_model_len: expected an integer >= 1 or -1, got 0")


def _check_offloading(engine: EngineConfig) -> None:
    """Refuse KV offloading where it has no meaning, or is not modelled."""
    for setting, is_so, why in (
        (f"kind {engine.kind!r}", engine.kind != "vllm", "only kind 'vllm' offloads"),
        ("enable_prefix_caching false", not engine.enable_prefix_caching, "not modelled without"),
        ("speculation", engine.speculative_method != "none", "not modelled together"),
    ):
        if is_so:
            raise ConfigError(f"engine.kv_offloading_size with engine.{setting}: {why}")


def _check_eviction(engine: EngineConfig) -> None:
    """Refuse another order of eviction where it would decide nothing."""
    for setting, is_so, why in (
        (f"kind {engine.kind!r}", engine.kind != "vllm", "only kind 'vllm' keeps a prefix cache"),
        ("enable_prefix_caching false", not engine.enable_prefix_caching, "nothing is cached"),
        (
            "free_queue 'one-ended'",
            engine.free_queue != "two-ended",
            "with another order than lru blocks without content always go first",
        ),
    ):
        if is_so:
            raise ConfigError(f"engine.eviction {engine.eviction!r} with engine.{setting}: {why}")


def check_agents(agents: AgentsConfig) -> None:
    """Refuse ways of starting sessions that exclude one another."""
    if agents.num_agents is not None and agents.arrival != "closed-loop":
        raise ConfigError(
            f"agents.arrival {agents.arrival}: sessions start at times of their own, which "
            f"agents.num_agents {agents.num_agents} does not allow: choose one"
        )
    if agents.ramp_s and agents.num_agents is None:
        raise ConfigError("agents.ramp_s: needs agents.num_agents, whose starts it spreads")


def to_plain(config: Config) -> dict[str, Any]:
    """The settings as plain data, for the echo in a result."""
    plain: dict[str, Any] = msgspec.to_builtins(config)
    return plain
