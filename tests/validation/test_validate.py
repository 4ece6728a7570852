"""Measured beside simulated: errors worked out by hand, bad input, the command line."""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agentsim.uncertainty import interval
from agentsim.validation import (
    Case,
    Comparison,
    NotSimulated,
    Row,
    Validation,
    compare,
    figure,
    read_cases,
    simulate_case,
    validate,
)
from cli.program import agentsim, fails
from validation.folders import (
    REQUESTS,
    engine_folder,
    request_folder,
    stage_folder,
    step_folder,
    write_table,
)


def row(
    run_id: str, metric: str, measured: float, simulated: float, statistic: str = "mean"
) -> Row:
    return Row(run_id, "h100", "m", metric, statistic, measured, simulated, simulated, simulated)


def comparison(run_id: str, *rows: Row, source: str = "a") -> Comparison:
    return Comparison(run_id, source, "h100", "m", rows, (), (), ())


def test_the_summary_is_of_the_errors_of_means() -> None:
    """By hand: errors of 10, 20 and 60 % in the mean; other statistics do not count."""
    found = Validation(
        (
            comparison("1", row("1", "e2e", 1, 1.1), row("1", "e2e", 1, 9, "p99")),
            comparison("2", row("2", "e2e", 2, 1.6), row("2", "ttft", 0, 1), source="b"),
            comparison("3", row("3", "e2e", 5, 8)),
        ),
        (),
    )
    whole = found.summary()
    assert whole["e2e"].mape_of_means == pytest.approx(30)
    assert whole["e2e"].median_ape_of_means == pytest.approx(20)
    assert whole["e2e"].runs == 3
    assert (whole["ttft"].runs, whole["itl"].mape_of_means) == (0, None)
    assert found.sources() == ["a", "b"]
    assert found.summary("b")["e2e"].mape_of_means == pytest.approx(20)


def test_a_run_compared_is_the_run_simulated(tmp_path: Path) -> None:
    """Without parameter sets `low` and `high` are the extremes of the repeats."""
    (case,) = read_cases(request_folder(tmp_path))
    assert isinstance(case, Case)
    found = compare(case, samples=0)
    assert isinstance(found, Comparison)
    values = [figure(simulate_case(case, k), "ttft", "mean") for k in range(case.num_repeats)]
    known = [value for value in values if value is not None]
    (mine,) = [r for r in found.rows if (r.metric, r.statistic) == ("ttft", "mean")]
    assert (mine.low, mine.high) == (min(known), max(known))
    assert mine.simulated == pytest.approx(sum(known) / len(known))
    assert mine.measured == pytest.approx(0.3)
    assert [r.stage for r in found.stages if r.statistic == "mean"] == [0, 0, 0, 1, 1, 1]


def test_an_interval_is_that_of_the_sampled_runs(tmp_path: Path) -> None:
    """Each parameter set is simulated with the draws of one repeat, in turn."""
    (case,) = read_cases(request_folder(tmp_path))
    assert isinstance(case, Case)
    found = compare(case, samples=4)
    assert isinstance(found, Comparison)
    values = [
        figure(simulate_case(case, n % case.num_repeats, sample=(n, 4)), "e2e", "mean")
        for n in range(4)
    ]
    (mine,) = [r for r in found.rows if (r.metric, r.statistic) == ("e2e", "mean")]
    expected = interval(values, mine.simulated)
    assert expected is not None
    assert (mine.low, mine.high) == (expected.low, expected.high)
    assert mine.low < mine.simulated < mine.high
    (blocks,) = [r for r in found.rows if r.metric == "kv_blocks"]
    assert blocks.low == pytest.approx(blocks.high)


def test_the_summary_counts_what_lies_within_its_interval() -> None:
    """9 of 10 within: Wilson's interval of that share is 0.596 to 0.982."""
    rows = [
        Row(f"{n}", "h100", "m", "e2e", "mean", 1.0 if n else 2.0, 1.0, 0.9, 1.1) for n in range(10)
    ]
    score = Validation(tuple(comparison(r.run_id, r) for r in rows), ()).summary()["e2e"]
    assert (score.inside, score.runs, score.inside_share) == (9, 10, 0.9)
    assert score.inside_low == pytest.approx(0.596, abs=0.001)
    assert score.inside_high == pytest.approx(0.982, abs=0.001)


def test_the_frame_has_each_figure_with_its_interval() -> None:
    rows = [Row("r", "l4", "m", "e2e", "mean", 2.0, 1.5, 1.0, high) for high in (1.9, 2.5)]
    table = Validation((comparison("r", *rows),), ()).frame()
    assert list(table.error) == [-0.25, -0.25]
    assert list(table.is_inside) == [False, True]
    assert list(table.simulated_high) == [1.9, 2.5]
    assert "stage" not in table


def test_blocks_are_predicted_unless_the_logged_are_asked_for(tmp_path: Path) -> None:
    (case,) = read_cases(request_folder(tmp_path))
    assert isinstance(case, Case)
    for logged, expected in ((False, False), (True, True)):
        found = compare(case, logged_blocks=logged)
        assert isinstance(found, Comparison)
        (blocks,) = [r for r in found.rows if r.metric == "kv_blocks"]
        assert blocks.measured == 5000
        assert (blocks.simulated == 5000) is expected


def test_settings_of_a_fit_reach_the_simulation(tmp_path: Path) -> None:
    (case,) = read_cases(request_folder(tmp_path))
    assert isinstance(case, Case)
    plain, slow = (
        figure(simulate_case(case, 0, sets=sets), "itl", "mean")
        for sets in ((), ("cost.step_overhead_s=0.01",))
    )
    assert plain is not None
    assert slow is not None
    assert slow > plain + 0.005


def test_requests_beyond_the_timeout_of_the_client_fail(tmp_path: Path) -> None:
    """One at a time, and each takes longer than 0.05 s: what waits too long is dropped."""
    changes: dict[str, Any] = {"client_timeout_s": 0.05, "max_num_seqs": 1}
    (case,) = read_cases(request_folder(tmp_path, **changes))
    assert isinstance(case, Case)
    failed = figure(simulate_case(case, 0), "failed", "value")
    assert failed is not None
    assert failed > 1


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"gpu": "H999"}, "unknown gpu 'H999'"),
        ({"model": "nobody/nothing"}, "unknown model 'nobody/nothing'"),
        ({"model": "meta-llama/Llama-3.1-70B"}, "does not fit"),
        ({"engine": "sglang"}, "served by sglang, not by vLLM"),
    ],
)
def test_what_cannot_be_simulated_is_listed(
    tmp_path: Path, changes: dict[str, Any], reason: str
) -> None:
    found = validate(request_folder(tmp_path, **changes))
    assert not found.comparisons
    (left,) = found.not_simulated
    assert isinstance(left, NotSimulated)
    assert reason in left.reason
    assert "Known" not in left.reason


def test_a_closed_loop_is_simulated_with_its_cache(tmp_path: Path) -> None:
    """The second turn finds the 160 tokens of the first; it comes 2 s after the answer."""
    found = validate(step_folder(tmp_path / "run"))
    (run,) = found.comparisons
    rows = {r.metric: r for r in run.rows if r.statistic == "value"}
    assert rows["cached_tokens"].simulated == rows["cached_tokens"].measured == 160
    assert rows["makespan"].simulated > 3


def bad(folder: Path, **changes: Any) -> list[tuple[Any, ...]]:
    """The requests with one field of the third changed."""
    names = ("arrival_s", "prompt_tokens", "ok", "ttft_s", "e2e_s")
    rows = [list(row) for row in REQUESTS]
    for name, value in changes.items():
        rows[2][names.index(name)] = value
    return [tuple(row) for row in rows]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"ttft_s": -1}, "r1.csv.gz:4: field 'ttft_s': expected a number >= 0, got '-1'"),
        ({"ttft_s": "nan"}, "r1.csv.gz:4: field 'ttft_s': expected a number >= 0, got 'nan'"),
        ({"ttft_s": 9}, "r1.csv.gz:4: field 'ttft_s': expected no more than e2e_s, got '9'"),
        ({"e2e_s": ""}, "r1.csv.gz:4: field 'e2e_s': expected a number >= 0, got ''"),
        ({"ok": "maybe"}, "r1.csv.gz:4: field 'ok': expected on or off, got 'maybe'"),
        ({"prompt_tokens": 1.5}, "r1.csv.gz:4: field 'prompt_tokens': expected an integer >= 1"),
    ],
)
def test_a_bad_field_is_one_line(tmp_path: Path, changes: dict[str, Any], expected: str) -> None:
    folder = request_folder(tmp_path, bad(tmp_path, **changes))
    assert expected in fails("validate", str(folder))


def test_bad_files_are_one_line(tmp_path: Path) -> None:
    folder = request_folder(tmp_path / "a")
    (folder / "requests" / "r1.csv.gz").write_bytes(b"no gzip at all")
    assert "r1.csv.gz: cannot be read: " in fails("validate", str(folder))
    (folder / "requests" / "r1.csv.gz").unlink()
    assert "no file requests/r1.csv[.gz]" in fails("validate", str(folder))
    write_table(folder / "requests" / "r1.csv", [{"arrival_s": 0, "prompt_tokens": 5}])
    assert "r1.csv:1: missing columns: output_tokens, queued_s" in fails("validate", str(folder))
    (folder / "runs.csv").write_text("run_id,gpu\nr1,h100,3\n")
    assert "runs.csv:1: missing columns: model" in fails("validate", str(folder))
    (folder / "runs.csv").write_text("run_id,gpu,model\nr1,h100\n")
    assert "runs.csv:2: expected 3 fields, got 2" in fails("validate", str(folder))


def test_a_time_in_two_units_must_be_one_time(tmp_path: Path) -> None:
    """0.25 s is 250 ms, also when seconds are rounded; 0.25 ms is something else."""
    row = {
        "gpu": "L4", "model": "qwen2.5-0.5b", "prompt_tokens": 64, "output_tokens": 5,
        "concurrency": 2, "loop": "closed", "ttft_s": 0.25, "ttft_ms": 252,
    }  # fmt: skip
    write_table(tmp_path / "points.csv", [row])
    assert agentsim("validate", str(tmp_path)).exit_code == 0
    write_table(tmp_path / "points.csv", [row, {**row, "ttft_ms": 0.25}])
    expected = "points.csv:3: field 'ttft_ms': expected ttft_s in milliseconds (250), got '0.25'"
    assert expected in fails("validate", str(tmp_path))


def test_bad_settings_are_one_line(tmp_path: Path) -> None:
    for changes, expected in (
        ({"dtype": "int7"}, "field 'dtype': expected one of fp16, "),
        ({"engine_version": "new"}, "field 'engine_version': expected a version such as"),
        ({"stages_rate_x_duration_s": "5by6"}, "expected stages such as 5x600;10x600"),
        ({"max_num_seqs": 0}, "field 'max_num_seqs': expected an integer >= 1"),
        ({"dp": 0}, "field 'dp': expected an integer >= 1"),
        ({"kv_cpu_offload_gib": -8}, "field 'kv_cpu_offload_gib': expected a number >= 0"),
    ):
        folder = request_folder(tmp_path, **changes)  # type: ignore[arg-type]
        assert expected in fails("validate", str(folder))


def test_bad_plans_are_one_line(tmp_path: Path) -> None:
    folder = step_folder(tmp_path / "x")
    plan = json.loads((folder / "workload.json").read_text())
    plan["sessions"][0]["turns"][1]["wait_s"] = -1
    (folder / "workload.json").write_text(json.dumps(plan))
    assert "sessions[0].turns[1]: field 'wait_s'" in fails("validate", str(folder))
    (folder / "workload.json").write_text("{")
    assert "workload.json: cannot be read as JSON" in fails("validate", str(folder))


def test_bad_stages_are_one_line(tmp_path: Path) -> None:
    folder = stage_folder(tmp_path, ttft_mean_ms=9999)
    assert "field 'ttft_mean_ms': expected no more than e2e_mean_ms" in fails(
        "validate", str(folder)
    )
    stage_folder(tmp_path, stage_rates_req_per_s="1;2;3")
    assert "expected the rates of 2 stages" in fails("validate", str(folder))


def test_a_folder_without_runs_is_an_error(tmp_path: Path) -> None:
    assert "no measured runs in a known layout" in fails("validate", str(tmp_path))
    assert "expected a folder of measured runs" in fails("validate", str(tmp_path / "none"))


def test_the_screen_has_measured_simulated_and_error(tmp_path: Path) -> None:
    request_folder(tmp_path / "requests-of-mine")
    request_folder(tmp_path / "of-others", gpu="H999")
    result = agentsim("validate", str(tmp_path))
    assert result.exit_code == 0, result.stderr
    lines = result.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0] == "r1"
    assert any(line.startswith("TTFT") and "300 ms" in line for line in lines)
    assert "Not simulated: 1" in lines
    assert result.stdout == agentsim("validate", str(tmp_path)).stdout


def test_json_has_a_row_for_each_figure(tmp_path: Path) -> None:
    request_folder(tmp_path)
    found = json.loads(agentsim("validate", str(tmp_path), "--json").stdout)
    first = found["runs"][0]
    assert set(first) == {
        "run_id", "gpu", "model", "metric", "statistic", "measured", "simulated", "low", "high",
    }  # fmt: skip
    wanted = {(m, s) for m in ("ttft", "itl", "e2e") for s in ("mean", "p50", "p90", "p99")}
    wanted |= {(m, "value") for m in ("output_rate", "makespan", "failed", "kv_blocks")}
    assert {(r["metric"], r["statistic"]) for r in found["runs"]} == wanted
    assert found["summary"]["e2e"]["runs"] == 1
    assert set(found["summary"]) == {"e2e", "ttft", "itl"}
    assert found["not_simulated"] == []
    assert {r["stage"] for r in found["stages"]} == {0, 1}


def several(folder: Path) -> Path:
    """Three runs: one of a failing GPU between two of several repeats."""
    request_folder(folder / "a")
    request_folder(folder / "b", gpu="H999")
    stage_folder(folder / "c")
    return folder


def test_the_number_of_jobs_changes_nothing(tmp_path: Path) -> None:
    """The same bytes from one process and from two, in the order of reading."""
    several(tmp_path)
    one, two = (agentsim("validate", str(tmp_path), "--json", "--jobs", n) for n in ("1", "2"))
    assert (one.exit_code, two.exit_code) == (0, 0), two.stderr
    assert one.stdout == two.stdout
    found = json.loads(two.stdout)
    assert list(dict.fromkeys(row["run_id"] for row in found["runs"])) == ["r1", "s1"]
    assert [left["run_id"] for left in found["not_simulated"]] == ["r1"]
    assert two.stderr == ""
    assert "--jobs" in fails("validate", str(tmp_path), "--jobs", "0")


def test_progress_counts_each_simulation(tmp_path: Path) -> None:
    """Three repeats each: of the run, of the one that cannot be simulated, of the stages."""
    seen: list[tuple[int, int]] = []
    validate(several(tmp_path), jobs=2, samples=0, progress=lambda *said: seen.append(said))
    assert seen == [(done, 9) for done in range(1, 10)]


PROFILE = """
[profile]
gpu = "l4"
standing = "fitted"
source = "made up"
[factors.step_overhead_s]
value = 0.05
error = 0.01
kind = "fitted"
source = "made up"
"""


def test_a_profile_is_for_the_runs_on_its_gpu(tmp_path: Path) -> None:
    """50 ms more a step of the L4; the H100 keeps its own."""
    request_folder(tmp_path / "runs" / "a", gpu="l4", model="qwen2.5-7b")
    request_folder(tmp_path / "runs" / "b", gpu="h100")
    file = tmp_path / "slow.toml"
    file.write_text(PROFILE)
    means = []
    for options in ((), ("--profile", str(file))):
        found = agentsim("validate", str(tmp_path / "runs"), "--json", "--jobs", "1", *options)
        rows = json.loads(found.stdout)["runs"]
        means.append(
            {
                row["gpu"]: row["simulated"]
                for row in rows
                if (row["metric"], row["statistic"]) == ("itl", "mean")
            }
        )
    assert means[1]["l4"] > means[0]["l4"] + 0.04
    assert means[1]["h100"] == means[0]["h100"]
    said = fails("validate", str(tmp_path / "runs"), "--profile", "l44")
    assert said.startswith("unknown profile 'l44'")


#: The command, which heeds Ctrl-C also where these tests do not.
HEEDING = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from agentsim.cli import main
main()
"""


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="sees its processes in /proc")
def test_ctrl_c_ends_all_processes(tmp_path: Path) -> None:
    """As a terminal sends it, to all of them: exit code 130, nothing on stdout, none is left."""
    stage_folder(tmp_path, stage_rates_req_per_s="20;20")
    command = [sys.executable, "-c", HEEDING, "validate", str(tmp_path), "--jobs", "2"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, start_new_session=True) as process:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        while process.poll() is None and len(children.read_text().split()) < 2:
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGINT)
        stdout, stderr = process.communicate(timeout=120)
    assert process.returncode == 130, stderr
    assert stdout == b""
    assert stderr.endswith(b"agentsim: error: interrupted; nothing was written\n")
    for _ in range(200):
        try:
            os.killpg(process.pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    pytest.fail("a process is left")


@pytest.mark.parametrize("layout", [request_folder, engine_folder, stage_folder, step_folder])
def test_cases_go_to_other_processes(tmp_path: Path, layout: Callable[[Path], Path]) -> None:
    """Pickled and read again, a case has the same load."""
    (case,) = read_cases(layout(tmp_path))
    assert isinstance(case, Case)
    again = pickle.loads(pickle.dumps(case))
    for repeat in range(case.num_repeats):
        assert list(again.trace(repeat)) == list(case.trace(repeat))


def test_the_shared_runs_are_read_and_one_is_simulated(shared: Path) -> None:
    """Every folder gives runs or reasons; the smallest request-level run is within 50 %."""
    cases = read_cases(shared / "measured")
    found = {case.source for case in cases if isinstance(case, Case)}
    assert found >= {
        "inference-sim-training", "llmservingsim-bench", "sim-to-real-aggregates", "vllm-cpu",
        "l4-points", "gpustack-perflab", "iog-sharegpt", "natoscott-h200", "kubeai-l4",
    }  # fmt: skip
    left = [case for case in cases if isinstance(case, NotSimulated)]
    assert all(case.reason for case in left)
    (case,) = [case for case in cases if case.run_id == "llmservingsim-RTX4090-Llama-3.1-8B"]
    assert isinstance(case, Case)
    assert case.measured["e2e", "mean"] == pytest.approx(86.6, abs=0.1)
    compared = compare(case)
    assert isinstance(compared, Comparison)
    (mine,) = [r for r in compared.rows if (r.metric, r.statistic) == ("e2e", "mean")]
    assert mine.error is not None
    assert abs(mine.error) < 0.5
