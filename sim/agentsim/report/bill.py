"""What a run costs in money and energy: plain structs, as JSON carries them.

Start at `Bill`. Every section states the `kind` and `date` of the price its figures rest on, and
every number that goes in is a `Quoted` with its own kind, date and source.
"""

from __future__ import annotations

from typing import Literal

import msgspec

#: Measured or paid; asked by a provider; stated by one who knows; assumed; given by the user.
Kind = Literal["measured", "list price", "published", "datasheet", "assumed", "given"]

#: What no price can tell.
CAVEAT = "same tokens at an API: another model would have taken other turns"


class _Plain(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Plain data; JSON carries exactly these fields."""


class Quoted(_Plain, frozen=True):
    """A number that goes in, and where it comes from; one that the user gives has no date."""

    value: float
    unit: str
    kind: Kind
    date: str
    source: str


class Day(_Plain, frozen=True):
    """A day on which the GPUs are paid for 24 hours and idle for some of them.

    The other hours are like the run; `sessions` fit into them, and share the price of the day.
    """

    idle_hours: Quoted
    usd: float
    sessions: float | None
    usd_per_session: float | None


class SelfHosted(_Plain, frozen=True):
    """Renting the GPUs. `run_usd` is for the runtime, tools' waits included."""

    num_gpus: int
    gpu_hour: Quoted
    run_usd: float
    usd_per_session: float | None
    usd_per_million_tokens: float | None
    usd_per_million_output_tokens: float | None
    day: Day
    spot_gpu_hour: Quoted | None
    spot_run_usd: float | None
    kind: Kind
    date: str


class Energy(_Plain, frozen=True):
    """Energy of the GPUs alone: no processor, no cooling. `mean_w` is that of one of them."""

    kwh: float
    mean_w: float | None
    wh_per_session: float | None
    co2_g: float
    idle_w: Quoted
    tdp_w: Quoted
    compute_weight: Quoted
    memory_weight: Quoted
    grid_g_per_kwh: Quoted
    kind: Kind
    date: str


class ApiRates(_Plain, frozen=True):
    """$ per million tokens for prompts longer than `above_tokens`; reads and writes as billed."""

    above_tokens: int
    input: float
    output: float
    cache_read: float
    cache_write: float


class ApiCache(_Plain, frozen=True):
    """What an API's prompt cache was taken to keep; None as lifetime: it has none."""

    rule: str
    lifetime_s: float
    minimum_tokens: int
    step_tokens: int
    outputs: bool
    kind: Kind
    date: str
    source: str


class ApiCost(_Plain, frozen=True):
    """The run's tokens at the prices of an API.

    Each prompt token is billed once: read from the cache, written to it, or neither.
    """

    model: str
    usd: float
    usd_without_cache: float
    cache_read_tokens: int
    cache_write_tokens: int
    uncached_tokens: int
    output_tokens: int
    cached_share: float | None
    usd_per_session: float | None
    usd_per_million_tokens: float | None
    times_self_hosted: float | None
    even_sessions_a_day: float | None
    rates: tuple[ApiRates, ...]
    cache: ApiCache | None
    kind: Kind
    date: str
    source: str


class Bill(_Plain, frozen=True):
    """Money and energy of one run; None where no price or power is known."""

    self_hosted: SelfHosted | None
    energy: Energy | None
    apis: tuple[ApiCost, ...]
    caveat: str
