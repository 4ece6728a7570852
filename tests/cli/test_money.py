"""Money and energy in what ``replay`` prints, and what its options refuse."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cli.program import agentsim, fails

ROOT = Path(__file__).parents[2]
ITBENCH = str(ROOT / "traces" / "itbench-sre.jsonl")


def bill(*args: str) -> dict[str, Any]:
    result = agentsim("replay", *args, "--json")
    assert result.exit_code == 0, result.stderr
    return dict(json.loads(result.stdout)["summary"]["bill"])


def test_the_case_study_costs_what_it_states() -> None:
    """0.09 $ on the L4, 1.70 $ with GPT-4o, 18 times more; the study's price knows no cache."""
    found = bill(ITBENCH)
    hosted, (api,) = found["self_hosted"], found["apis"]
    assert api["model"] == "openai/gpt-4o"
    assert api["usd_without_cache"] == pytest.approx((648_971 * 2.5 + 8_301 * 10) / 1e6, rel=1e-12)
    assert round(hosted["run_usd"], 2) == 0.09
    assert api["usd_without_cache"] / hosted["run_usd"] == pytest.approx(18, rel=0.1)
    assert api["usd"] < api["usd_without_cache"]
    assert "another model" in found["caveat"]


def test_the_screen_of_the_case_study_has_it_all_on_forty_lines() -> None:
    lines = agentsim("replay", ITBENCH).stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert len(lines) <= 40
    text = " ".join(" ".join(lines).split())
    for part in ("at $0.80/h (list price 2025)", "a session", "CO2 at 473 g/kWh", "openai/gpt-4o"):
        assert part in text
    assert "another model would have taken other turns" in text


def test_options_reach_the_bill(trace: str) -> None:
    found = bill(
        trace,
        *("--gpu-price", "3.6", "--idle-hours", "12", "--grid", "100", "--api", "claude-sonnet-5"),
        *("--api", "gpt-4o", "--set", "engine.tensor_parallel_size=2"),
    )
    hosted, energy = found["self_hosted"], found["energy"]
    assert (hosted["num_gpus"], hosted["gpu_hour"]["kind"], hosted["kind"]) == (2, "given", "given")
    assert hosted["day"]["usd"] == pytest.approx(24 * 2 * 3.6)
    assert hosted["day"]["idle_hours"]["value"] == 12
    assert energy["co2_g"] == pytest.approx(100 * energy["kwh"])
    models = [api["model"] for api in found["apis"]]
    assert models == ["anthropic/claude-sonnet-5", "openai/gpt-4o"]


def test_the_day_of_the_api_prices_is_the_callers(trace: str) -> None:
    (api,) = bill(trace, "--api", "o3", "--api-date", "2025-06-09")["apis"]
    assert (api["date"], api["rates"][0]["input"]) == ("2025-06-09", 10.0)


def test_without_an_api_there_is_no_table(trace: str) -> None:
    assert bill(trace, "--api", "none")["apis"] == []
    text = agentsim("replay", trace, "--api", "none").stdout
    assert "Cost" in text
    assert "API" not in text


def test_every_number_that_goes_in_has_its_kind_and_source() -> None:
    def quoted(part: Any) -> list[dict[str, Any]]:
        if isinstance(part, dict):
            own = [part] if "value" in part else []
            return own + [found for below in part.values() for found in quoted(below)]
        return (
            [found for below in part for found in quoted(below)] if isinstance(part, list) else []
        )

    found = bill(ITBENCH, "--api", "claude-sonnet-5")
    rows = quoted(found)
    assert len(rows) >= 7
    assert all(row["kind"] and row["source"] and row["unit"] and row["date"] for row in rows)
    for section in (found["self_hosted"], found["energy"], *found["apis"]):
        assert section["kind"]
        assert section["date"]
    text = agentsim("replay", ITBENCH, "--assumptions", "--api", "claude-sonnet-5").stdout
    assert all(f"power.{name}" in text for name in ("idle", "tdp", "grid"))
    assert "cache_lifetime = 300.0 s" in text


def test_the_waits_of_the_trace_decide_what_an_api_still_holds(trace: str, tmp_path: Path) -> None:
    """The trace waits 2.5 s between two prompts of 500 and 600 tokens; made 10 times as long."""
    text = Path(trace).read_text(encoding="utf-8")
    for small, large in ((500, 5000), (520, 5020), (600, 6000)):
        text = text.replace(f": {small}", f": {large}")
    long = tmp_path / "long.jsonl"
    long.write_text(text, encoding="utf-8")
    read = [
        bill(str(long), "--tool-scale", scale, "--api", "gpt-4o")["apis"][0]["cache_read_tokens"]
        for scale in ("1", "100", "121")
    ]
    assert read == [4992, 4992, 0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--api", "gpt4o"], "unknown API model 'gpt4o'; did you mean 'gpt-4o'? Known: "),
        (["--api", "whisper-1"], "--api 'whisper-1': has no price for input and output tokens"),
        (["--gpu-price", "-1"], "--gpu-price: expected a number >= 0 of $ for an hour, got '-1'"),
        (["--gpu-price", "nan"], "--gpu-price: expected a number >= 0 of $ for an hour"),
        (["--idle-hours", "24"], "--idle-hours: expected a number >= 0 below 24, got '24'"),
        (["--grid", "green"], "--grid: expected a number >= 0 of g CO2 for a kWh, got 'green'"),
        (["--api-date", "tomorrow"], "--api-date: expected a day YYYY-MM-DD, got 'tomorrow'"),
        (["--price-table", "nowhere.toml"], "nowhere.toml: no such file"),
    ],
)
def test_wrong_options_are_refused_before_anything_runs(options: list[str], message: str) -> None:
    assert fails("replay", "no-such-trace", *options).startswith(message)


def test_the_bill_of_the_same_run_is_the_same_bytes(trace: str) -> None:
    args = ("replay", trace, "--json", "--api", "deepseek-v4-pro")
    assert agentsim(*args).stdout == agentsim(*args).stdout
