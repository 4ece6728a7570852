"""API prices: those of the package, applied to a run's tokens with and without a cache."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from typing import Any

import numpy as np
import pytest
from genai_prices import Usage, calc_price, data_snapshot
from hypothesis import given
from hypothesis import strategies as st

from agentsim.errors import ConfigError, UnknownName
from agentsim.report.api_caches import find_cache, read_tokens, written_tokens
from agentsim.report.api_cost import Api, api_cost, find_api
from agentsim.report.api_prices import AS_OF, find_api_price
from agentsim.report.bill import ApiRates, Quoted
from agentsim.report.cost import self_hosted
from agentsim.report.gpu_prices import given_gpu_price
from report.runs import request, run, session, step

MODELS = [
    "gpt-4o",
    "gpt-6-sol",
    "claude-sonnet-4-5",
    "claude-haiku-5-5",
    "gemini-2.5-pro",
    "grok-4.3",
]
TOKENS = st.integers(0, 400_000)


def of_calls(*calls: tuple[int, int], sessions: str = "s") -> Any:
    """A run of calls with these prompt and output tokens, spread over sessions in turn."""
    rows = [
        request(
            sessions[i % len(sessions)], str(i), (i, i, i, i + 1), prompt_tokens=p, output_tokens=o
        )
        for i, (p, o) in enumerate(calls)
    ]
    ends = [session(name, 0, len(calls)) for name in sessions]
    return run(rows, [step(0, len(calls))], ends)


def held(*tokens: int) -> Any:
    return np.array(tokens, np.int64)


def test_gpt_4o_costs_what_the_case_study_states() -> None:
    """2.50 $ and 10 $ for a million tokens: 648 971 and 8 301 of them are about 1.70 $."""
    price = find_api_price("gpt-4o")
    assert price.rates == (ApiRates(0, input=2.5, output=10.0, cache_read=1.25, cache_write=2.5),)
    assert (price.provider, price.has_reads, price.has_writes) == ("openai", True, False)
    cost = api_cost(of_calls((648_971, 8_301)), find_api("gpt-4o"), held(0))
    assert cost.usd_without_cache == pytest.approx(648_971 * 2.5e-6 + 8_301 * 10e-6, rel=1e-12)
    assert round(cost.usd_without_cache, 1) == 1.7


def test_reads_writes_and_the_rest_are_each_paid_once() -> None:
    """Sonnet 4.5: 3 $ input, 0.30 $ read, 3.75 $ write (6 $ for an hour), 15 $ output a million."""
    made = of_calls((10_000, 0), (12_000, 100))
    cost = api_cost(made, find_api("claude-sonnet-4-5"), held(0, 10_000))
    assert (cost.cache_read_tokens, cost.cache_write_tokens) == (10_000, 12_000)
    assert cost.uncached_tokens == 0
    paid = 10_000 * 0.3 + 12_000 * 3.75 + 100 * 15
    assert cost.usd == pytest.approx(paid / 1e6, rel=1e-12)
    assert cost.usd_without_cache == pytest.approx((22_000 * 3 + 100 * 15) / 1e6, rel=1e-12)
    assert cost.cached_share == pytest.approx(10 / 22)
    hour = api_cost(made, find_api("claude-sonnet-4-5@1h"), held(0, 10_000))
    assert hour.usd == pytest.approx((paid + 12_000 * (6 - 3.75)) / 1e6, rel=1e-12)
    assert hour.model == "anthropic/claude-sonnet-4-5@1h"


def test_a_long_prompt_pays_the_long_rate_for_all_its_tokens() -> None:
    """Sonnet 4.5 beyond 200 000 tokens: 6 $ and 22.50 $ a million."""
    cost = api_cost(
        of_calls((200_000, 10), (200_001, 10)), find_api("claude-sonnet-4-5"), held(0, 0)
    )
    short, long = 200_000 * 3 + 10 * 15, 200_001 * 6 + 10 * 22.5
    assert cost.usd_without_cache == pytest.approx((short + long) / 1e6, rel=1e-12)


@given(st.sampled_from(MODELS), TOKENS, st.floats(0, 1), TOKENS)
def test_a_call_costs_what_the_package_says(
    name: str, prompt: int, share: float, output: int
) -> None:
    api = find_api(name)
    cost = api_cost(of_calls((prompt, output)), api, held(int(share * prompt)))
    usage = Usage(
        input_tokens=prompt,
        cache_read_tokens=cost.cache_read_tokens,
        cache_write_tokens=cost.cache_write_tokens,
        output_tokens=output,
    )
    when = datetime.combine(AS_OF, time(12), tzinfo=UTC)
    said = calc_price(
        usage, api.price.model, genai_request_timestamp=when, provider_id=api.price.provider
    )
    assert cost.usd == pytest.approx(float(said.total_price), rel=1e-9, abs=1e-15)


@given(st.lists(st.tuples(TOKENS, st.integers(0, 400_000)), min_size=1, max_size=6))
def test_a_cache_that_is_free_to_write_never_costs_more(calls: list[tuple[int, int]]) -> None:
    made = of_calls(*((prompt, 5) for prompt, _ in calls))
    for name in ("gpt-4o", "gemini-2.5-pro", "deepseek-chat"):
        cost = api_cost(made, find_api(name), held(*(min(p, h) for p, h in calls)))
        assert cost.usd <= cost.usd_without_cache * (1 + 1e-12)


@given(st.lists(st.tuples(TOKENS, TOKENS, st.floats(0, 1)), min_size=2, max_size=6))
def test_what_calls_cost_adds_up_over_sessions(calls: list[tuple[int, int, float]]) -> None:
    api = find_api("claude-sonnet-5")
    kept = [int(p * share) for p, _, share in calls]
    tokens = [(p, o) for p, o, _ in calls]
    whole = api_cost(of_calls(*tokens, sessions="st"), api, held(*kept))
    halves = [api_cost(of_calls(*tokens[start::2]), api, held(*kept[start::2])) for start in (0, 1)]
    assert whole.usd == pytest.approx(sum(half.usd for half in halves), rel=1e-9, abs=1e-15)
    assert whole.usd_per_session == pytest.approx(whole.usd / 2)


def test_hits_are_rounded_down_and_short_ones_do_not_count() -> None:
    cache = find_cache("openai", "gpt-4o", has_writes=False)
    assert (cache.lifetime_s, cache.minimum_tokens, cache.step_tokens) == (300, 1024, 128)
    prompt = held(5000, 5000, 5000, 1024, 1000)
    assert read_tokens(cache, held(1023, 1151, 1152, 2000, 1000), prompt).tolist() == [
        0,
        1024,
        1152,
        1024,
        0,
    ]


def test_a_prompt_below_the_minimum_is_not_written() -> None:
    cache = find_cache("anthropic", "claude-haiku-4-5", has_writes=True)
    assert cache.minimum_tokens == 4096
    assert written_tokens(cache, held(0, 0), held(4095, 4096)).tolist() == [0, 4096]


@pytest.mark.parametrize(
    ("name", "rule", "lifetime_s", "outputs"),
    [
        ("gpt-4o", "openai, automatic", 300, False),
        ("azure/gpt-4o", "openai, automatic", 300, False),
        ("gpt-6-sol", "openai, paid writes", 1800, False),
        ("claude-sonnet-5", "anthropic", 300, False),
        ("claude-sonnet-5@1h", "anthropic", 3600, False),
        ("gemini-2.5-flash", "google, implicit", 300, False),
        ("deepseek-chat", "deepseek, on disk", 7200, True),
        ("grok-4.3", "any other", 300, False),
        ("gpt-4o@0s", "openai, automatic", 0, False),
    ],
)
def test_each_provider_keeps_by_its_own_rule(
    name: str, rule: str, lifetime_s: float, outputs: bool
) -> None:
    cache = find_api(name).cache
    assert cache is not None
    assert (cache.rule, cache.lifetime_s, cache.outputs) == (rule, lifetime_s, outputs)
    assert cache.kind == ("given" if lifetime_s == 0 else cache.kind)


def test_a_model_without_a_price_for_reads_has_no_cache() -> None:
    api = find_api("o1-pro")
    assert api.cache is None
    cost = api_cost(of_calls((100_000, 10)), api, None)
    assert cost.usd == cost.usd_without_cache
    with pytest.raises(ConfigError, match="has no price for cached input"):
        find_api("o1-pro@1h")


def test_prices_do_not_hang_on_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    before = find_api_price("deepseek-v4-pro")

    class Later(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return datetime(2050, 1, 1, 2, tzinfo=UTC)

    monkeypatch.setattr(data_snapshot, "datetime", Later)
    assert find_api_price("deepseek-v4-pro") == before
    assert before.date == AS_OF.isoformat()
    assert before.source.startswith("genai-prices ")


def test_a_price_is_that_of_its_day() -> None:
    """o3 fell from 10 $ to 2 $ on 2025-06-10; DeepSeek's V4 is cheaper at noon than at two."""
    days = (date(2025, 6, 9), date(2025, 6, 10))
    assert [find_api_price("o3", day).rates[0].input for day in days] == [10.0, 2.0]
    assert find_api("o3", days[0]).price.date == "2025-06-09"
    night = Usage(input_tokens=1_000_000)
    dear, cheap = (
        calc_price(
            night,
            "deepseek-v4-pro",
            provider_id="deepseek",
            genai_request_timestamp=datetime.combine(AS_OF, time(hour), tzinfo=UTC),
        ).total_price
        for hour in (2, 12)
    )
    assert find_api_price("deepseek-v4-pro").rates[0].input == float(cheap) < float(dear)


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("gpt4o", "'gpt-4o'"),
        ("claude-sonet-5", "'claude-sonnet-5'"),
        ("anthropic/claude-sonet-5", "'anthropic/claude-sonnet-5'"),
    ],
)
def test_an_unknown_model_is_answered_by_the_nearest_that_exists(name: str, near: str) -> None:
    with pytest.raises(UnknownName, match=f"unknown API model '{name}'; did you mean {near}") as no:
        find_api(name)
    assert len(str(no.value)) < 300
    find_api(near.strip("'"))


def test_a_model_that_makes_no_text_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"whisper-1.*no price for input and output tokens"):
        find_api("whisper-1")


def test_the_comparison_with_self_hosting_is_that_of_the_totals() -> None:
    """10 s at 3.60 $/h are 1 cent; 4000 tokens of gpt-4o prompt are 1 cent too."""
    made = of_calls(*[(400, 0)] * 10)
    idle = Quoted(12.0, "hours/day", "given", "", "test")
    hosted = self_hosted(made, 1, given_gpu_price(3.60), idle)
    api = find_api("gpt-4o")
    cost = api_cost(made, Api(api.name, api.price, None), None, hosted)
    assert cost.times_self_hosted == pytest.approx(1.0)
    assert cost.even_sessions_a_day == pytest.approx(86.4 / 0.01)
