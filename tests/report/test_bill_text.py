"""Money and energy on the screen, from bills made by hand."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from agentsim.report.api_cost import api_cost, find_api
from agentsim.report.bill import CAVEAT, Bill, Quoted
from agentsim.report.bill_text import bill_assumptions, bill_lines
from agentsim.report.cost import self_hosted
from agentsim.report.durations import dollars, energy
from agentsim.report.energy import PowerModel, energy_of
from agentsim.report.gpu_prices import GpuPrice, given_gpu_price
from agentsim.report.summary import summarize
from agentsim.report.text import to_text
from report.runs import two_turns


def quoted(value: float) -> Quoted:
    return Quoted(value, "", "given", "", "test")


def made_bill() -> Bill:
    made = two_turns()
    price = GpuPrice(given_gpu_price(3.60).on_demand, quoted(1.80))
    hosted = self_hosted(made, 2, price, quoted(16))
    model = PowerModel(quoted(100), quoted(300), quoted(1), quoted(0.5))
    parts = {name: np.zeros(7) for name in ("compute_s", "memory_s")}
    used = energy_of(made, lambda _: parts, 1, model, quoted(500))
    api = api_cost(made, find_api("gpt-4o"), np.zeros(2, np.int64), hosted)
    return Bill(hosted, used, (api,), CAVEAT)


def test_the_lines_say_what_the_bill_does() -> None:
    lines = [text for _, text in bill_lines(made_bill())]
    assert lines == [
        "$0.04: 2 GPUs at $3.60/h (given); spot $0.02",
        "$98.28 per million tokens, $5,714 per million of output",
        "$172.80 a day, 16 h of it idle (given): $0.12 a session",
        "0.556 Wh, 100 of 300 W (given); 0.278 g CO2 at 500 g/kWh",
    ]


def test_a_gpu_without_a_price_says_how_to_give_one() -> None:
    lines = dict(bill_lines(Bill(None, None, (), CAVEAT)))
    assert lines == {"Cost": "no price for this GPU: give --gpu-price"}


def test_the_screen_ends_with_the_apis_and_what_they_leave_out() -> None:
    made = two_turns()
    bill = made_bill()
    lines = to_text(made, summarize(made, None, bill)).splitlines()
    assert lines[-1].strip() == CAVEAT
    assert lines[-2].split() == ["openai/gpt-4o", "$0.00107", "$0.00107", "0", "%", "0.027"]
    assert max(map(len, lines)) <= 80


def test_a_long_name_does_not_widen_the_table() -> None:
    made, bill = two_turns(), made_bill()
    api = msgspec.structs.replace(bill.apis[0], model="x" * 200, usd=123_456.0, cache=None)
    bill = msgspec.structs.replace(bill, apis=(api,))
    lines = to_text(made, summarize(made, None, bill)).splitlines()
    assert max(map(len, lines)) <= 80
    assert "$123,456" in lines[-2]
    assert "no cache" in lines[-2]


def test_what_a_bill_rests_on_is_listed_with_its_source() -> None:
    rows = {row["name"]: row for row in bill_assumptions(made_bill())}
    assert rows["price.gpu_hour"]["source"] == "--gpu-price"
    assert rows["price.spot_gpu_hour"]["value"] == 1.80
    assert rows["api.openai/gpt-4o.cache_lifetime"]["value"] == 300


@pytest.mark.parametrize(
    ("amount", "read"),
    [(0, "$0"), (0.00123, "$0.00123"), (0.8, "$0.80"), (999.99, "$999.99"), (999.996, "$1,000")],
)
def test_money_reads_as_cents_and_small_sums_as_three_digits(amount: float, read: str) -> None:
    assert dollars(amount) == read


def test_energy_reads_in_its_natural_unit() -> None:
    assert [energy(kwh) for kwh in (0.0005, 0.9, 12.0)] == ["0.500 Wh", "900 Wh", "12.0 kWh"]
