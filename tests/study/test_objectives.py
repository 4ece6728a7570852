"""Objectives and budgets as people type them."""

from __future__ import annotations

import math

import pytest

from agentsim.errors import ConfigError
from agentsim.study.objectives import check_together, read_budget, read_objective, worst


@pytest.mark.parametrize(
    ("text", "name", "limit"),
    [
        ("p95 ttft < 2s", "ttft_p95_s", 2.0),
        ("p95 ttft<500ms", "ttft_p95_s", 0.5),
        ("p90 session <= 10 min", "session_p90_s", 600.0),
        ("mean e2e < .5 h", "e2e_mean_s", 1800.0),
        ("reuse >= 90%", "prefix_reuse", 0.9),
        ("cost/session < $0.10", "session_usd", 0.1),
        ("rent < 2", "rent_usd_per_hour", 2.0),
        ("rent < $2/h", "rent_usd_per_hour", 2.0),
        ("energy < 500Wh", "energy_kwh", 0.5),
        ("output_rate > 100", "output_rate_token_per_s", 100.0),
    ],
)
def test_a_figure_an_operator_and_a_quantity(text: str, name: str, limit: float) -> None:
    found = read_objective(text)
    assert (found.figure.name, found.limit, found.text) == (name, pytest.approx(limit), text)


@pytest.mark.parametrize(
    ("text", "column", "message"),
    [
        ("p95 tfft < 2s", 5, "did you mean 'ttft'"),
        ("p95 ttft > 2s", 10, "p95 ttft is better lower: expected <"),
        ("ttft < 2s", 1, "say which, such as 'p95 ttft'"),
        ("p95 ttft < 2 parsecs", 14, "expected a unit of us, ms, s, min, h, d, got 'parsecs'"),
        ("p95 ttft < 2", 13, "got none"),
        ("p95 ttft", 9, "expected <, <=, > or >="),
        ("p95 ttft = 2s", 10, "expected <, <=, > or >="),
        ("p95 ttft <  s", 13, "expected a number with a unit"),
        ("p95 ttft < -2s", 12, "expected a number with a unit"),
        ("p95 ttft < $2", 12, "is in s"),
        ("", 1, "expected <, <=, > or >="),
        ("< 2s", 1, "unknown figure"),
    ],
)
def test_an_error_of_grammar_names_its_column(text: str, column: int, message: str) -> None:
    with pytest.raises(ConfigError) as told:
        read_objective(text)
    assert f"--slo {text!r}: column {column}: " in str(told.value)
    assert message in str(told.value)
    assert "\n" not in str(told.value)


def test_a_strict_bound_is_not_kept_by_its_limit() -> None:
    assert not read_objective("p95 ttft < 2s").is_met(2.0)
    assert read_objective("p95 ttft <= 2s").is_met(2.0)
    assert not read_objective("p95 ttft < 2s").is_met(None)
    assert read_objective("reuse > 50%").is_met(0.6)


def test_the_objective_that_binds_is_the_one_used_up_most() -> None:
    objectives = [read_objective("p95 ttft < 2s"), read_objective("reuse > 50%")]
    ratio, binding = worst(objectives, {"ttft_p95_s": 1.0, "prefix_reuse": 0.4})
    assert (ratio, binding) == (pytest.approx(1.25), objectives[1])
    assert worst(objectives, {"ttft_p95_s": None, "prefix_reuse": 0.4})[0] == math.inf


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (("p95 ttft < 2s", "p95 ttft < 3s"), "two bounds on p95 ttft"),
        (("p50 ttft < 2s", "p95 ttft < 1s"), "p50 ttft is never above p95 ttft"),
        (("p95 ttft < 1s", "p50 ttft < 2s"), "p50 ttft is never above p95 ttft"),
        (("p95 ttft < 0s",), "nothing is below 0"),
        (("reuse > 100%",), "no share is above 100 %"),
    ],
)
def test_what_contradicts_itself_is_refused(texts: tuple[str, ...], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_together([read_objective(text) for text in texts])


def test_what_does_not_is_not() -> None:
    texts = ("p50 ttft < 1s", "p95 ttft < 2s", "p90 e2e < 1s", "p90 session < 9min")
    check_together([read_objective(text) for text in texts])


@pytest.mark.parametrize(
    ("text", "usd"),
    [("$2/h", 2), ("2/hour", 2), ("$48/day", 2), ("$336/week", 2), ("$1460 / month", 2)],
)
def test_a_budget_is_a_rent(text: str, usd: float) -> None:
    assert read_budget(text) == pytest.approx(usd)


@pytest.mark.parametrize("text", ["$2", "2 euros/h", "", "$-1/h", "$/h", "$1/year"])
def test_what_is_no_budget_is_one_line(text: str) -> None:
    with pytest.raises(ConfigError, match=r"expected such as \$2/h"):
        read_budget(text)


def test_a_budget_of_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match="nothing can be rented"):
        read_budget("$0/h")
