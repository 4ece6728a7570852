"""`agentsim check`: metrics as a server would have written them of a simulated run."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agentsim import Config, simulate
from agentsim.domain.records import Run
from agentsim.report.metrics import METRICS
from agentsim.workload.formats import read_trace
from cli.program import agentsim, fails

TRACE = str(Path(__file__).parents[2] / "traces" / "itbench-sre.jsonl")
NAMES = {
    "ttft": "vllm:time_to_first_token_seconds",
    "itl": "vllm:inter_token_latency_seconds",
    "e2e": "vllm:e2e_request_latency_seconds",
}
BOUNDS = (0.02, 0.04, 0.1, 0.3, 1.0, 3.0, 10.0, math.inf)


@pytest.fixture(scope="module")
def run() -> Run:
    return simulate(read_trace(TRACE), Config())


def metrics_of(run: Run, times: int = 1) -> str:
    """What a server that did exactly this, so many times, would say."""
    lines = []
    for metric, name in NAMES.items():
        sample = METRICS[metric].sample(run)
        values, weights = np.asarray(sample.values), np.asarray(sample.weights) * times
        for bound in BOUNDS:
            lines.append(f'{name}_bucket{{le="{bound}"}} {weights[values <= bound].sum()}')
        lines.append(f"{name}_sum {float((values * weights).sum())!r}")
    columns = run.requests.columns()
    totals = {
        "request_success": len(columns["session"]),
        "prompt_tokens": columns["prompt_tokens"].sum(),
        "generation_tokens": columns["output_tokens"].sum(),
        "prefix_cache_queries": columns["prompt_tokens"].sum(),
        "prefix_cache_hits": columns["cached_tokens"].sum(),
        "num_preemptions": 0,
    }
    lines += [f"vllm:{name}_total {times * count}" for name, count in totals.items()]
    return "\n".join(lines) + "\n"


def check(tmp_path: Path, *texts: str) -> dict[str, Any]:
    sources = []
    for number, text in enumerate(texts):
        place = tmp_path / f"{number}.txt"
        place.write_text(text, encoding="utf-8")
        sources += ["--metrics", str(place)]
    result = agentsim("check", TRACE, *sources, "--json")
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def test_a_server_like_the_simulation_agrees(run: Run, tmp_path: Path) -> None:
    """Means are equal and every simulated quantile is within the server's bounds."""
    found = check(tmp_path, metrics_of(run))
    assert [row["metric"] for row in found["latencies"]] == ["TTFT", "ITL", "E2E"]
    for row in found["latencies"]:
        assert row["server"]["count"] == row["simulated"]["count"]
        assert row["server"]["mean"] == pytest.approx(row["simulated"]["mean"])
        if row["metric"] != "ITL":
            sure = row["intervals"]["mean"]
            assert sure["low"] < row["simulated"]["mean"] < sure["high"]
        for name in ("p50", "p90", "p99"):
            bounds = row["server"][name]
            high = math.inf if bounds["high"] is None else bounds["high"]
            assert bounds["low"] <= row["simulated"][name] <= high
    for row in found["totals"]:
        if row["server"] is not None:
            assert row["server"] == pytest.approx(row["simulated"]), row["name"]
    assert found["notes"] == []


def test_two_readings_are_what_was_between(run: Run, tmp_path: Path) -> None:
    """What the server did before does not count."""
    once = check(tmp_path, metrics_of(run))
    between = check(tmp_path, metrics_of(run, 2), metrics_of(run, 3))
    for name in ("totals", "notes"):
        assert between[name] == once[name]
    for one, other in zip(once["latencies"], between["latencies"], strict=True):
        assert one["server"]["mean"] == pytest.approx(other["server"].pop("mean"))
        assert {**other["server"], "mean": one["server"]["mean"]} == one["server"]


def test_another_load_is_noticed(run: Run, tmp_path: Path) -> None:
    found = check(tmp_path, metrics_of(run, 2))
    assert "the server counts 186 requests, the trace has 93" in found["notes"][0]


def test_the_text_is_a_screen_wide(run: Run, tmp_path: Path) -> None:
    """Bounds are shown where the server has no more, with whether the simulation is within."""
    place = tmp_path / "metrics.txt"
    place.write_text(metrics_of(run), encoding="utf-8")
    result = agentsim("check", TRACE, "--metrics", str(place))
    assert result.exit_code == 0, result.output
    assert all(len(line) <= 80 for line in result.stdout.splitlines())
    assert "100 ms to 300 ms" in result.stdout and "within" in result.stdout
    assert "90 % interval" in result.stdout


def test_metrics_of_a_running_server(serve: Callable[..., Any]) -> None:
    """A URL is asked for its /metrics; this server has no latencies."""
    url = serve().url
    message = fails("check", TRACE, "--metrics", url)
    assert message == f"{url}: no metrics of vLLM in it (vllm:...)"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "cannot be read: No such file or directory"),
        ("hello\n", ":1: expected a line of Prometheus metrics, got 'hello'"),
        ("up 1\n", "no metrics of vLLM in it"),
        ('vllm:e2e_request_latency_seconds_bucket{le="+Inf"} 0\n', "no request was served"),
    ],
)
def test_metrics_that_cannot_be_used(tmp_path: Path, text: str | None, message: str) -> None:
    place = tmp_path / "metrics.txt"
    if text is not None:
        place.write_text(text, encoding="utf-8")
    assert message in fails("check", TRACE, "--metrics", str(place))


def test_three_readings_are_too_many() -> None:
    message = fails("check", TRACE, *["--metrics", "x"] * 3)
    assert message == "--metrics: expected one, or before and after, got 3"


def test_a_setting_is_named_as_it_was_typed(tmp_path: Path) -> None:
    """The options of replay, with its messages."""
    assert fails("check", TRACE, "--metrics", "x", "--agents", "0").startswith("--agents: ")


def test_metrics_of_a_real_server(shared: Path) -> None:
    """Names and buckets as vLLM 0.32 writes them."""
    sample = shared / "measured" / "vllm-cpu" / "server-sample"
    files = [str(sample / f"metrics-{when}.txt") for when in ("before", "after")]
    result = agentsim("check", TRACE, "--metrics", files[0], "--metrics", files[1], "--json")
    found = json.loads(result.stdout)
    names = [row["metric"] for row in found["latencies"]]
    assert names == ["TTFT", "TPOT", "ITL", "E2E"]
    server = {row["name"]: row["server"] for row in found["totals"]}
    assert (server["requests"], server["KV blocks"], server["block size"]) == (218, 2730, 32)
