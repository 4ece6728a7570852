"""Renting GPUs: a price by hand for a run of 20 seconds, and the table of prices."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentsim.errors import ConfigError, UnknownName
from agentsim.machine.catalog import gpus
from agentsim.report.bill import Quoted
from agentsim.report.cost import gpus_of, self_hosted
from agentsim.report.gpu_prices import find_gpu_price, given_gpu_price, read_price_table
from report.runs import request, run, session, step, two_turns

NO_IDLE = Quoted(0.0, "hours/day", "given", "", "test")


def idle(hours: float) -> Quoted:
    return Quoted(hours, "hours/day", "given", "", "test")


def test_twenty_seconds_of_a_gpu_cost_what_they_cost_on_paper() -> None:
    """20 s at 3.60 $/h are 2 cents; 400 prompt and 7 output tokens in one session."""
    cost = self_hosted(two_turns(), 1, given_gpu_price(3.60), idle(12))
    assert cost.run_usd == pytest.approx(0.02)
    assert cost.usd_per_session == pytest.approx(0.02)
    assert cost.usd_per_million_tokens == pytest.approx(0.02 / 407 * 1e6)
    assert cost.usd_per_million_output_tokens == pytest.approx(0.02 / 7 * 1e6)
    assert cost.day.usd == pytest.approx(86.4)
    assert cost.day.sessions == pytest.approx(12 * 3600 / 20)
    assert cost.day.usd_per_session == pytest.approx(0.04)
    assert (cost.kind, cost.date) == ("given", "")


def test_a_gpu_without_idle_hours_costs_a_session_what_the_run_does() -> None:
    cost = self_hosted(two_turns(), 1, given_gpu_price(3.60), NO_IDLE)
    assert cost.day.usd_per_session == pytest.approx(cost.usd_per_session)


@given(st.floats(0, 23.9), st.floats(0, 23.9))
def test_more_idle_hours_never_make_a_session_cheaper(one: float, other: float) -> None:
    less, more = sorted((one, other))
    costs = [
        self_hosted(two_turns(), 1, given_gpu_price(1.0), idle(hours)).day.usd_per_session or 0
        for hours in (less, more)
    ]
    assert costs[0] <= costs[1]


@given(st.integers(1, 16), st.floats(0, 100))
def test_gpus_and_their_price_multiply(num_gpus: int, price: float) -> None:
    one = self_hosted(two_turns(), 1, given_gpu_price(price), NO_IDLE)
    many = self_hosted(two_turns(), num_gpus, given_gpu_price(price), NO_IDLE)
    assert many.run_usd == pytest.approx(num_gpus * one.run_usd)
    assert many.day.usd == pytest.approx(num_gpus * one.day.usd)


def test_the_gpus_of_a_run_are_those_of_each_replica() -> None:
    made = replace(two_turns(), config={"engine": {"tensor_parallel_size": 4}})
    assert gpus_of(made, 2) == 8
    assert gpus_of(two_turns(), 3) == 3


def test_sessions_share_the_price_of_the_run() -> None:
    calls = [request(name, "a", (0, 0, 1, 10)) for name in "st"]
    made = run(calls, [step(0, 10)], [session("s", 0, 10), session("t", 0, 10, slot=1)])
    cost = self_hosted(made, 1, given_gpu_price(3.60), NO_IDLE)
    assert cost.usd_per_session == pytest.approx(cost.run_usd / 2)


def test_calls_that_were_never_served_have_no_tokens_to_pay_for() -> None:
    calls = [request("s", "a", (0, 0, 1, 2)), request("s", "b", (2, 2, 2, 2), status="too-long")]
    made = run(calls, [step(0, 2)], [session("s", 0, 2)])
    cost = self_hosted(made, 1, given_gpu_price(1.8), NO_IDLE)
    assert cost.usd_per_million_tokens == pytest.approx(0.001 / 102 * 1e6)


def test_a_run_of_nothing_costs_nothing_and_has_no_price_a_session() -> None:
    cost = self_hosted(run([], [], []), 1, given_gpu_price(1.0), NO_IDLE)
    assert (cost.run_usd, cost.usd_per_session, cost.usd_per_million_tokens) == (0.0, None, None)
    assert (cost.day.sessions, cost.day.usd_per_session) == (None, None)


def test_every_gpu_has_a_dated_price_with_its_source() -> None:
    table = read_price_table(None, gpus())
    assert sorted(table) == sorted(gpus())
    for name, rows in table.items():
        found = find_gpu_price(table, name)
        assert found is not None
        assert all(
            row.usd_per_hour > 0 and row.date.startswith("20") and row.source for row in rows
        )
        if found.spot is not None:
            assert found.spot.value < found.on_demand.value


def test_the_l4_costs_what_the_case_study_paid() -> None:
    table = read_price_table(None, gpus())
    price = find_gpu_price(table, "l4")
    assert price is not None
    assert (price.on_demand.value, price.on_demand.kind) == (0.80, "list price")
    assert [row.usd_per_hour for row in table["l4"] if row.kind == "measured"] == [0.87]


ROW = 'usd_per_hour = {}\ndate = "2026-01-01"\nsource = "mine"\n'


def test_a_table_of_the_user_replaces_the_gpus_it_names(tmp_path: Path) -> None:
    file = tmp_path / "prices.toml"
    spot = '[[l4]]\nterms = "spot"\n' + ROW.format(0.1)
    file.write_text("[[l4]]\n" + ROW.format(0.5) + spot, encoding="utf-8")
    table = read_price_table(file, gpus())
    price = find_gpu_price(table, "l4")
    assert price is not None
    assert price.spot is not None
    assert (price.on_demand.value, price.spot.value) == (0.5, 0.1)
    assert table["h100"] == read_price_table(None, gpus())["h100"]
    cost = self_hosted(two_turns(), 2, price, NO_IDLE)
    assert cost.spot_run_usd == pytest.approx(2 * 0.1 * 20 / 3600)
    assert find_gpu_price(table, "unheard-of") is None


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("[[l5]]\n" + ROW.format(1), UnknownName, "prices.toml: 'l5'; did you mean 'l4'"),
        ("[[l4]]\n" + ROW.format(-1), ConfigError, r"prices.toml: l4\[0\]: usd_per_hour: expected"),
        ("[[l4]]\n" + ROW.format('"x"'), ConfigError, "usd_per_hour: expected a number"),
        ("[[l4]]\n" + ROW.format(1) + "colour = 1", ConfigError, "unknown field `colour`"),
        ("[l4]\n" + ROW.format(1), ConfigError, r"expected rows, each headed \[\[l4\]\]"),
        ("[[l4", ConfigError, "prices.toml: not TOML"),
    ],
)
def test_a_wrong_table_is_refused_with_its_row(
    text: str, error: type[Exception], message: str, tmp_path: Path
) -> None:
    file = tmp_path / "prices.toml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(error, match=message):
        read_price_table(file, gpus())
