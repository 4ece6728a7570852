"""List prices of LLM APIs, from the package genai-prices (which needs no network).

The package is imported here and nowhere else, when an API is asked for: that takes 0.2 s. A price
that depends on the day or the hour is that of noon (UTC) of a stated day, by default `AS_OF`, and
not of the clock: the same installation gives the same figures. (The package does not tell its own
date, and knows prices that will hold only in the future.)
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from importlib import metadata
from typing import TYPE_CHECKING, Any

from agentsim.errors import ConfigError, UnknownName
from agentsim.report.bill import ApiRates

if TYPE_CHECKING:
    from genai_prices.data_snapshot import DataSnapshot
    from genai_prices.types import ModelInfo, ModelPrice, Provider

#: Day whose prices are taken unless another is given. To be moved on with the package.
AS_OF = date(2026, 11, 21)

_PACKAGE = "genai-prices"
#: Names shown beside an unknown one.
_NEAREST = 5


@dataclass(frozen=True, slots=True)
class ApiPrice:
    """What a model costs at an API.

    Attributes
    ----------
    provider, model : str
        As genai-prices names them.
    rates : tuple of ApiRates
        By prompt length, ascending; the last whose `above_tokens` a prompt exceeds holds for all of
        its tokens. Without a price for cache reads or writes they cost what other input does.
    long_writes : tuple of float or None
        Price of writes that live long (1 h), for each of `rates`.
    has_reads, has_writes : bool
        Whether there is a price for cache reads, for cache writes.
    """

    provider: str
    model: str
    rates: tuple[ApiRates, ...]
    long_writes: tuple[float, ...] | None
    has_reads: bool
    has_writes: bool
    date: str
    source: str


def find_api_price(name: str, as_of: date = AS_OF) -> ApiPrice:
    """The prices of a model, such as ``gpt-4o`` or ``anthropic/claude-sonnet-5``, on a day.

    Raises
    ------
    UnknownName
        With the nearest names.
    ConfigError
        If the model has no price for text tokens.
    """
    from genai_prices.data_snapshot import get_snapshot

    snapshot = get_snapshot()
    provider, model = _find(snapshot, name)
    prices = model.get_prices(datetime.combine(as_of, time(12), tzinfo=UTC))
    found = {key: _tiers(prices, key) for key in ("input", "output", "cache_read", "cache_write")}
    if not found["input"] or not found["output"]:
        raise ConfigError(f"--api {name!r}: has no price for input and output tokens")
    urls = ", ".join(provider.pricing_urls or ())
    starts = sorted({start for tiers in found.values() for start in tiers})
    longer = _tiers(prices, "cache_write_1h")
    return ApiPrice(
        provider=provider.id,
        model=model.id,
        rates=tuple(
            ApiRates(
                start,
                input=_at(found["input"], start),
                output=_at(found["output"], start),
                cache_read=_at(found["cache_read"] or found["input"], start),
                cache_write=_at(found["cache_write"] or found["input"], start),
            )
            for start in starts
        ),
        long_writes=tuple(_at(longer, start) for start in starts) if longer else None,
        has_reads=bool(found["cache_read"]),
        has_writes=bool(found["cache_write"]),
        date=as_of.isoformat(),
        source=f"{_PACKAGE} {metadata.version(_PACKAGE)} of {urls or provider.name}",
    )


def _find(snapshot: DataSnapshot, name: str) -> tuple[Provider, ModelInfo]:
    """By ``provider/model``, or by a model's name alone where it tells the provider."""
    before, _, after = name.partition("/")
    provider = next((p for p in snapshot.providers if p.id == before.lower()), None)
    try:
        if provider is not None and after:
            return snapshot.find_provider_model(after, provider, None, None)
        return snapshot.find_provider_model(name, None, None, None)
    except LookupError:
        raise _unknown(snapshot, name) from None


def _unknown(snapshot: DataSnapshot, name: str) -> UnknownName:
    """The nearest of the names that would be found."""
    found = []
    for provider in snapshot.providers:
        told = provider.model_match
        for model in provider.models:
            bare = told is not None and told.is_match(model.id) and "/" not in name
            found.append(model.id if bare else f"{provider.id}/{model.id}")
    near = difflib.get_close_matches(name.lower(), found, n=_NEAREST, cutoff=0.4)
    rest = f"… {len(found):,} in {_PACKAGE} {metadata.version(_PACKAGE)}"
    return UnknownName("API model", name, [*near, rest])


def _tiers(prices: ModelPrice, key: str) -> dict[int, float]:
    """$ per million tokens by the prompt length above which it holds; empty without a price."""
    price: Any = getattr(prices, f"{key}_mtok", None)
    if price is None:
        return {}
    if not hasattr(price, "tiers"):
        return {0: float(price)}
    return {0: float(price.base), **{tier.start: float(tier.price) for tier in price.tiers}}


def _at(tiers: dict[int, float], start: int) -> float:
    return tiers[max(begin for begin in tiers if begin <= start)]
