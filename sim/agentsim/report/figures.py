"""The figures of a run as plain structs: what text shows and JSON carries.

Start at `Summary`. Seconds are floats as computed; only text rounds them. A figure that does not
exist (the TPOT of one-token answers, speculation that was off) is None, never 0.
"""

from __future__ import annotations

import msgspec

from agentsim.report.bill import Bill


class _Plain(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Plain data; JSON carries exactly these fields."""


class Quantiles(_Plain, frozen=True):
    """A latency in seconds over `count` values; None where there are none."""

    count: int
    mean: float | None
    p50: float | None
    p90: float | None
    p99: float | None


class GpuTime(_Plain, frozen=True):
    """Seconds of all replicas by cause; they add up to `total_s`, the runtime times the replicas.

    `idle_s` is the sum of its three kinds: every agent waits for its tool; no agent is there; a
    call is at the server but no step runs.
    """

    total_s: float
    prefill_s: float
    decode_s: float
    recomputation_s: float
    overhead_s: float
    idle_s: float
    idle_tools_s: float
    idle_nobody_s: float
    idle_between_steps_s: float
    idle_tools_share: float | None


class AgentTime(_Plain, frozen=True):
    """Seconds of the mean session by what it waits for; they add up to `total_s`."""

    total_s: float
    api_s: float
    queue_s: float
    prefill_s: float
    decode_s: float
    recomputation_s: float
    tools_s: float


class Latency(_Plain, frozen=True):
    """Distributions of the latencies, each defined in `agentsim.report.metrics`."""

    ttft: Quantiles
    tpot: Quantiles
    itl: Quantiles
    e2e: Quantiles
    queue: Quantiles
    session: Quantiles


class Interval(_Plain, frozen=True):
    """Where a figure lies with the probability of its `Intervals`."""

    low: float
    high: float


class Bands(_Plain, frozen=True):
    """Intervals of a latency in seconds; None where the figure does not exist or is 0."""

    mean: Interval | None
    p50: Interval | None
    p90: Interval | None
    p99: Interval | None


class Intervals(_Plain, frozen=True):
    """Prediction intervals, from `samples` runs under other parameter sets.

    `level` is the probability; `run_usd` follows the runtime, prices are taken as certain.
    """

    level: float
    samples: int
    runtime_s: Interval | None
    output_tokens_per_s: Interval | None
    run_usd: Interval | None
    ttft: Bands
    tpot: Bands
    e2e: Bands
    session: Bands


class Tokens(_Plain, frozen=True):
    """Tokens of the calls served. `computed` prompt tokens are those not cached."""

    prompt: int
    cached: int
    computed: int
    recomputed: int
    output: int
    cached_share: float | None


class Rates(_Plain, frozen=True):
    """Per second of the whole run; None for a run that takes no time."""

    output_tokens_per_s: float | None
    prompt_tokens_per_s: float | None
    calls_per_s: float | None


class KvUse(_Plain, frozen=True):
    """Blocks in use, of those that can hold tokens (one is never usable in vLLM)."""

    usable_blocks: int
    block_tokens: int
    peak_blocks: int
    peak_share: float
    mean_share: float
    evicted_blocks: int


class Batching(_Plain, frozen=True):
    """What the steps were like."""

    steps: int
    mean_seqs: float | None
    peak_running: int
    peak_waiting: int


class WithoutSpeculation(_Plain, frozen=True):
    """Seconds the same sessions take without speculation, and why it differs.

    `gained_s` is negative where speculation loses. What takes time is positive in its parts, which
    add up to `-gained_s`.
    """

    runtime_s: float
    gained_s: float
    synchronous_s: float
    memory_s: float
    accepted_s: float
    verification_s: float
    proposal_s: float


class Speculation(_Plain, frozen=True):
    """Draft tokens verified, kept and wasted.

    `accepted_length` is the tokens a verification brings to its sequence, the target's own
    included; `proposal_s` the time the GPU or the CPU spent on proposing.
    """

    drafted: int
    accepted: int
    wasted: int
    acceptance: float
    verifications: int
    accepted_length: float | None
    proposal_s: float | None
    without: WithoutSpeculation | None


class Preemptions(_Plain, frozen=True):
    """How often, and how many requests, lost their blocks."""

    count: int
    requests: int


class Summary(_Plain, frozen=True):
    """The figures of one run."""

    runtime_s: float
    agents: int
    sessions: int
    replicas: int
    calls: dict[str, int]
    gpu: GpuTime
    agent: AgentTime
    latency: Latency
    tokens: Tokens
    rates: Rates
    kv: KvUse | None
    batching: Batching
    preemptions: Preemptions
    speculation: Speculation | None
    assumed: dict[str, int]
    bill: Bill | None
    intervals: Intervals | None = None
