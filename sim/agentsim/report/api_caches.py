"""What the prompt cache of an API is taken to keep, and how many of a prompt's tokens it serves."""

from __future__ import annotations

import functools
import tomllib
from importlib import resources

import msgspec
import numpy as np

from agentsim.report.bill import ApiCache, Kind
from agentsim.report.metrics import IntArray


class CacheRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A row of `api_caches.toml`, which says what each field means."""

    name: str
    lifetime_s: float
    minimum_tokens: int
    step_tokens: int
    outputs: bool
    kind: Kind
    date: str
    source: str
    models: tuple[str, ...] = ()
    providers: tuple[str, ...] = ()
    writes: bool = False
    long_lifetime_s: float | None = None
    minimums: tuple[tuple[str, int], ...] = ()

    def fits(self, provider: str, model: str, *, has_writes: bool) -> bool:
        """Whether the rule is that of a model."""
        named = provider in self.providers or any(part in model for part in self.models)
        return named and (has_writes or not self.writes)


def find_cache(
    provider: str, model: str, *, has_writes: bool, lifetime_s: float | None = None
) -> ApiCache:
    """The cache of a model that has a price for cache reads.

    Parameters
    ----------
    has_writes : bool
        Whether there is a price for cache writes too.
    lifetime_s : float or None
        Replaces the rule's.
    """
    model = model.lower()
    rule = next(rule for rule in _rules() if rule.fits(provider, model, has_writes=has_writes))
    least = next((tokens for part, tokens in rule.minimums if part in model), rule.minimum_tokens)
    given = lifetime_s is not None and lifetime_s not in (rule.lifetime_s, rule.long_lifetime_s)
    return ApiCache(
        rule=rule.name,
        lifetime_s=rule.lifetime_s if lifetime_s is None else lifetime_s,
        minimum_tokens=least,
        step_tokens=rule.step_tokens,
        outputs=rule.outputs,
        kind="given" if given else rule.kind,
        date=rule.date,
        source=rule.source,
    )


def read_tokens(cache: ApiCache, held: IntArray, prompt: IntArray) -> IntArray:
    """Tokens of each prompt that the cache serves, of those that it holds."""
    whole = np.minimum(held, prompt) // cache.step_tokens * cache.step_tokens
    return np.where(whole >= cache.minimum_tokens, whole, 0)


def written_tokens(cache: ApiCache, read: IntArray, prompt: IntArray) -> IntArray:
    """Tokens of each prompt that go into the cache: all not read, of a prompt long enough."""
    return np.where(prompt >= cache.minimum_tokens, prompt - read, 0)


@functools.cache
def _rules() -> tuple[CacheRule, ...]:
    text = resources.files("agentsim.report").joinpath("api_caches.toml").read_text("utf-8")
    return msgspec.convert(tomllib.loads(text)["rules"], tuple[CacheRule, ...])
