"""The run's tokens at the prices of an API, with its prompt cache and without."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date

import numpy as np

from agentsim.domain.records import Run
from agentsim.errors import ConfigError
from agentsim.report.api_caches import find_cache, read_tokens, written_tokens
from agentsim.report.api_prices import AS_OF, ApiPrice, find_api_price
from agentsim.report.bill import ApiCache, ApiCost, ApiRates, SelfHosted
from agentsim.report.cost import share
from agentsim.report.metrics import FloatArray, IntArray, served

_MILLION = 1e6
#: From this lifetime on a cache write costs what long ones cost (Claude's 1 h).
_LONG_S = 3600
_LIFETIME = re.compile(r"(?P<name>.+)@(?P<number>\d+(\.\d+)?)(?P<unit>[smh])")
_SECONDS = {"s": 1, "m": 60, "h": 3600}


@dataclass(frozen=True, slots=True)
class Api:
    """A model at an API: what it costs and what its cache keeps (None: it has none).

    `name` is ``provider/model``, with the lifetime the user gave.
    """

    name: str
    price: ApiPrice
    cache: ApiCache | None


def find_api(text: str, as_of: date = AS_OF) -> Api:
    """The model that ``--api`` names: ``MODEL``, ``PROVIDER/MODEL``, or either with ``@LIFETIME``.

    Parameters
    ----------
    text : str
    as_of : date
        Day whose prices are taken.

    Raises
    ------
    UnknownName, ConfigError
        If there is no such model, or it has no price for text.
    """
    split = _LIFETIME.fullmatch(text)
    asked, lifetime_s = text, None
    if split is not None:
        asked, lifetime_s = split["name"], float(split["number"]) * _SECONDS[split["unit"]]
    price = find_api_price(asked, as_of)
    name = f"{price.provider}/{price.model}{text.removeprefix(asked)}"
    if not price.has_reads:
        if lifetime_s is not None:
            raise ConfigError(f"--api {text!r}: {price.model} has no price for cached input")
        return Api(name, price, None)
    cache = find_cache(
        price.provider, price.model, has_writes=price.has_writes, lifetime_s=lifetime_s
    )
    return Api(name, price, cache)


def api_cost(
    run: Run, api: Api, held: IntArray | None, self_hosted: SelfHosted | None = None
) -> ApiCost:
    """What the calls that were served would cost at an API.

    Parameters
    ----------
    held : ndarray of int64 or None
        For each served request, in their order, the tokens of its prompt that the cache holds when
        it is sent; None where the API has no cache.
    self_hosted : SelfHosted or None
        For comparison.
    """
    mask = served(run)
    prompt = run.requests["prompt_tokens"][mask].astype(np.int64)
    output = run.requests["output_tokens"][mask].astype(np.int64)
    read = written = np.zeros_like(prompt)
    if api.cache is not None and held is not None:
        read = read_tokens(api.cache, held, prompt)
        if api.price.has_writes:
            written = written_tokens(api.cache, read, prompt)
    rates = _rates(api)
    none = np.zeros_like(prompt)
    usd = float(_usd(rates, prompt, read, written, output).sum())
    plain = float(_usd(rates, prompt, none, none, output).sum())
    sessions = len(run.sessions["session"])
    a_session = share(usd, sessions)
    total_prompt, total_output = int(prompt.sum()), int(output.sum())
    return ApiCost(
        model=api.name,
        usd=usd,
        usd_without_cache=plain,
        cache_read_tokens=int(read.sum()),
        cache_write_tokens=int(written.sum()),
        uncached_tokens=total_prompt - int(read.sum()) - int(written.sum()),
        output_tokens=total_output,
        cached_share=share(int(read.sum()), total_prompt),
        usd_per_session=a_session,
        usd_per_million_tokens=share(usd, (total_prompt + total_output) / _MILLION),
        times_self_hosted=share(usd, self_hosted.run_usd) if self_hosted else None,
        even_sessions_a_day=share(self_hosted.day.usd, a_session or 0) if self_hosted else None,
        rates=rates,
        cache=api.cache,
        kind="list price",
        date=api.price.date,
        source=api.price.source,
    )


def _rates(api: Api) -> tuple[ApiRates, ...]:
    """The rates in force, with the price of long writes where the cache lives long."""
    longer = api.price.long_writes
    if api.cache is None or longer is None or api.cache.lifetime_s < _LONG_S:
        return api.price.rates
    return tuple(
        ApiRates(r.above_tokens, r.input, r.output, r.cache_read, write)
        for r, write in zip(api.price.rates, longer, strict=True)
    )


def _usd(
    rates: tuple[ApiRates, ...],
    prompt: IntArray,
    read: IntArray,
    written: IntArray,
    output: IntArray,
) -> FloatArray:
    """Dollars of each call; a prompt's length chooses the rates of all its tokens."""
    starts = np.array([rate.above_tokens for rate in rates], np.int64)
    tier = np.maximum(np.searchsorted(starts, prompt, side="left") - 1, 0)

    def of(name: str) -> FloatArray:
        return np.array([getattr(rate, name) for rate in rates], np.float64)[tier]

    total: FloatArray = (
        (prompt - read - written) * of("input")
        + read * of("cache_read")
        + written * of("cache_write")
        + output * of("output")
    ) / _MILLION
    return total
