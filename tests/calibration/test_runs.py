"""Whole runs, points and benchmark results: fitted through the simulator, refused where wrong."""

from __future__ import annotations

import csv
import json
import math
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from agentsim.calibration.files import read_observations
from agentsim.calibration.fit import fit
from agentsim.calibration.parameters import prior_values
from agentsim.domain.config import Config
from agentsim.domain.records import Run
from agentsim.domain.trace import Trace
from agentsim.machine.profiles import find_profile
from agentsim.machine.system import read_config
from agentsim.simulator import simulate
from agentsim.validation.draws import one_call
from cli.program import agentsim, fails

TRUE = {"bandwidth_efficiency": 0.66, "api_request_s": 0.012}
LOAD = [(0.4 * n, 60 + 7 * (n % 11), 20 + n % 7) for n in range(30)]


def run_of(model: str, factors: Mapping[str, float]) -> Run:
    """The load on an L4 whose factors are these."""
    sets = [f"cost.{name}={value}" for name, value in factors.items()]
    config, _ = read_config(
        gpu="l4", model=model, sets=["agents.arrival=recorded", "engine.max_model_len=4096", *sets]
    )
    calls = [
        one_call(f"0/{n:07d}", round(at * 1e9), (("~own", prompt),), output)
        for n, (at, prompt, output) in enumerate(LOAD)
    ]
    return simulate(Trace(calls), config)


def requests_of(model: str, factors: Mapping[str, float]) -> list[dict[str, float]]:
    """Its requests as a client saw them."""
    columns = run_of(model, factors).requests.columns()
    return [
        {
            "arrival_s": float(columns["submitted_ns"][n]) * 1e-9,
            "prompt_tokens": int(columns["prompt_tokens"][n]),
            "output_tokens": int(columns["output_tokens"][n]),
            "ok": 1,
            "ttft_s": float(columns["first_token_ns"][n] - columns["submitted_ns"][n]) * 1e-9,
            "e2e_s": float(columns["finished_ns"][n] - columns["submitted_ns"][n]) * 1e-9,
        }
        for n in range(len(columns["submitted_ns"]))
    ]


def write_csv(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def write_runs(folder: Path, runs: Mapping[str, tuple[str, str]]) -> Path:
    """Runs by id, of (gpu, model), each made by the factors of `TRUE`."""
    for name, (_, model) in runs.items():
        known = model if model in ("qwen2.5-3b", "llama-3.1-8b") else "qwen2.5-3b"
        write_csv(folder / f"requests/{name}.csv", requests_of(known, TRUE))
    write_csv(
        folder / "runs.csv",
        [
            {"run_id": name, "gpu": gpu, "model": model, "max_model_len": 4096}
            for name, (gpu, model) in runs.items()
        ],
    )
    return folder


def bench_result(factors: Mapping[str, float]) -> dict[str, Any]:
    """The load as vLLM's benchmark would save it."""
    rows = requests_of("qwen2.5-3b", factors)
    gaps = [(row["e2e_s"] - row["ttft_s"]) / (row["output_tokens"] - 1) for row in rows]
    return {
        "model_id": "qwen2.5-3b",
        "input_lens": [row["prompt_tokens"] for row in rows],
        "output_lens": [row["output_tokens"] for row in rows],
        "ttfts": [row["ttft_s"] for row in rows],
        "itls": [
            [gap] * int(row["output_tokens"] - 1) for gap, row in zip(gaps, rows, strict=True)
        ],
        "start_times": [1000.0 + row["arrival_s"] for row in rows],
        "mean_ttft_ms": 1e3 * sum(row["ttft_s"] for row in rows) / len(rows),
    }


def test_factors_that_made_two_models_runs_are_found_again(tmp_path: Path) -> None:
    """Through the simulator, from prior values that are far off."""
    runs = {"a": ("l4", "qwen2.5-3b"), "b": ("L4", "llama-3.1-8b")}
    config = Config(gpu="l4")
    observed = read_observations([write_runs(tmp_path, runs)], config)
    assert [len(item) for item in observed] == [6]
    assert sorted(observed[0].regimes) == ["decode"] * 4 + ["prefill"] * 2
    found = fit(observed, list(TRUE), prior_values(config, observed))
    assert found.values["bandwidth_efficiency"] == pytest.approx(0.66, rel=0.02)
    for factor in found.factors:
        assert abs(math.log(factor.value / TRUE[factor.name])) < 2 * factor.error


def test_a_profile_is_made_from_runs_that_name_their_gpu(tmp_path: Path) -> None:
    folder = write_runs(
        tmp_path / "mine", {"a": ("l4", "qwen2.5-3b"), "odd": ("l4", "no-such-model")}
    )
    out = tmp_path / "p.toml"
    result = agentsim("calibrate", str(folder), "-o", str(out), "--fit", "bandwidth_efficiency")
    assert result.exit_code == 0, result.stderr
    written = tomllib.loads(out.read_text("utf-8"))
    assert written["profile"]["gpu"] == "l4"
    assert "mine" in written["profile"]["source"]
    assert written["factors"]["bandwidth_efficiency"]["value"] == pytest.approx(0.66, rel=0.03)
    shipped = find_profile("l4").factors["sequence_overhead_s"]  # in place during the fit
    assert written["factors"]["sequence_overhead_s"]["value"] == shipped.value
    assert written["factors"]["sequence_overhead_s"]["source"].startswith("profile l4: ")
    assert "# not used: 1 of the runs of" in out.read_text("utf-8")
    assert "unknown model 'no-such-model'" in " ".join(result.stdout.split())


def test_a_benchmark_result_is_read_as_a_run(tmp_path: Path) -> None:
    place = tmp_path / "bench.json"
    place.write_text(json.dumps(bench_result(TRUE)), encoding="utf-8")
    config = Config(gpu="l4")
    observed = read_observations([place], config, sets=["engine.max_model_len=4096"])
    found = fit(observed, list(TRUE), prior_values(config, observed))
    assert found.values["bandwidth_efficiency"] == pytest.approx(0.66, rel=0.03)


def test_points_are_batches_that_start_together(tmp_path: Path) -> None:
    """The time of a token is the simulator's own for such a batch; a context is the mean one."""
    rows = [
        {"batch": 4, "input_tokens": 500, "output_tokens": 64, "tpot_ms": 20, "ttft_ms": 90},
        {"batch": 1, "input_tokens": 468, "output_tokens": 64, "tpot_ms": 20, "ttft_ms": ""},
    ]
    config = Config(gpu="l4", model="qwen2.5-3b")
    (given,) = read_observations([write_csv(tmp_path / "points.csv", rows)], config)
    assert given.regimes.tolist() == ["prefill", "decode", "decode"]
    assert given.seconds.tolist() == pytest.approx([0.09, 0.02, 0.02])
    by_context = [{"batch": 1, "context": 500, "output_tokens": 64, "step_ms": 20}]
    (other,) = read_observations([write_csv(tmp_path / "contexts.csv", by_context)], config)
    assert other.predict({})[0] == pytest.approx(given.predict({})[2], rel=1e-9)


def test_runs_of_the_same_load_and_factors_weigh_the_same(tmp_path: Path) -> None:
    """An overloaded run, whose requests wait for longer than they are served, is a regime."""
    rows = [
        {"arrival_s": 0.0, "prompt_tokens": 2000, "output_tokens": 4, "ok": 1,
         "ttft_s": 5.0 * (n + 1), "e2e_s": 5.0 * (n + 1) + 0.1}
        for n in range(20)
    ]  # fmt: skip
    write_csv(tmp_path / "requests/a.csv", rows)
    write_csv(tmp_path / "runs.csv", [{"run_id": "a", "gpu": "l4", "model": "qwen2.5-3b"}])
    (observed,) = read_observations([tmp_path], Config(gpu="l4"))
    assert set(observed.regimes.tolist()) == {"saturated"}


def test_wrong_inputs_are_one_line_each(tmp_path: Path) -> None:
    out = ("-o", str(tmp_path / "p.toml"))
    runs = write_runs(tmp_path / "two", {"a": ("l4", "qwen2.5-3b"), "b": ("h100", "qwen2.5-3b")})
    assert "runs of several GPUs: l4, h100" in fails("calibrate", str(runs), *out)
    unknown = write_runs(tmp_path / "gpu", {"a": ("l5", "qwen2.5-3b")})
    assert "unknown gpu 'l5'" in fails("calibrate", str(unknown), *out)
    unknown = write_runs(tmp_path / "model", {"a": ("l4", "qwem")})
    assert "unknown model 'qwem'" in fails("calibrate", str(unknown), *out)

    point = {"batch": 1, "input_tokens": 100, "output_tokens": 64, "tpot_ms": 20.0}
    on = ("--gpu", "l4", "--model", "qwen2.5-3b", *out)
    cases = {
        "expected tpot_s in milliseconds (20000)": [{**point, "tpot_s": 20.0}],
        "expected a number >= 0, got '-3'": [{**point, "tpot_ms": -3}],
        "missing column 'input_tokens' or 'context'": [{"batch": 1, "tpot_ms": 20.0}],
        "in another unit": [{**point, "tpot_ms": 2e4}],
    }
    for number, (message, rows) in enumerate(cases.items()):
        place = write_csv(tmp_path / f"{number}.csv", rows)
        assert message in fails("calibrate", str(place), *on)
    place = write_csv(tmp_path / "few.csv", [point])
    two = ("--fit", "bandwidth_efficiency,compute_efficiency")
    message = "1 observations cannot identify 2 factors"
    assert message in fails("calibrate", str(place), *on, *two)

    result = bench_result(TRUE)
    del result["itls"]
    broken = {
        "missing field 'itls'": result,
        "mixed units": bench_result(TRUE) | {"mean_ttft_ms": 0.05},
        "expected a number >= 0, got -1": bench_result(TRUE) | {"ttfts": [-1] * len(LOAD)},
    }
    for message, fields in broken.items():
        place = tmp_path / "bench.json"
        place.write_text(json.dumps(fields), encoding="utf-8")
        assert message in fails("calibrate", str(place), *on)
    assert not Path(out[1]).exists()
