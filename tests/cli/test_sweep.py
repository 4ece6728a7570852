"""``agentsim sweep``: what it asks, tells and refuses."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from agentsim.cli import sweep as sweep_module
from agentsim.study.sweep import work as work_module
from agentsim.study.sweep.folder import read_sweep
from agentsim.study.sweep.runner import SweepInterrupted
from cli.program import agentsim, fails
from study.sweeps import NUM_POINTS, contents, write_spec


@pytest.fixture
def spec(tmp_path: Path) -> str:
    return str(write_spec(tmp_path))


@pytest.fixture
def out(tmp_path: Path) -> str:
    return str(tmp_path / "out")


def test_it_says_where_the_rows_are_what_is_best_and_what_failed(spec: str, out: str) -> None:
    result = agentsim("sweep", spec, "-o", out, "--backend", "serial", "--by", "p95 ttft")
    assert (result.exit_code, result.stderr) == (0, "")
    frame = read_sweep(out)
    best = frame.loc[frame["ttft_p95_s"].idxmin()]
    lines = result.stdout.splitlines()
    assert lines[0] == f"12 runs: {out}/sweep.parquet"
    assert lines[2] == "Best by p95 ttft:"
    assert lines[3].split("  ")[0] == "point"
    assert lines[4].startswith(f"{best['point']} ")
    assert f"gpu={best['gpu']}" in lines[4]
    assert "Failed: 4" in lines
    assert all(len(line) <= 80 for line in lines[1:])
    again = agentsim("sweep", spec, "-o", out, "--backend", "serial", "--by", "p95 ttft")
    assert again.stdout.startswith(f"12 runs, 12 of them from before: {out}")
    assert again.stdout.splitlines()[1:] == lines[1:]


def test_json_holds_the_same(spec: str, out: str) -> None:
    result = agentsim("sweep", spec, "-o", out, "--json")
    told = json.loads(result.stdout)
    assert (told["runs"], told["reused"]) == (12, 0)
    assert told["statuses"] == {"failed": 4, "ok": 8}
    assert sum(row["runs"] for row in told["failures"]) == 4
    values = [row[told["by"]] for row in told["best"]]
    assert values == sorted(values)
    assert len(values) == 5


def test_a_dry_run_makes_nothing(spec: str, out: str) -> None:
    result = agentsim("sweep", spec, "-o", out, "--dry-run", "--jobs", "2")
    assert result.exit_code == 0
    assert result.stdout.startswith("12 points take about ")
    assert "0: trace=trace.jsonl gpu=l4 max_model_len=4096 num_agents=1" in result.stdout
    assert not Path(out).exists()


def test_a_million_points_are_not_run_unasked(tmp_path: Path, out: str) -> None:
    values = list(range(1, 101))
    text = f'trace = "trace.jsonl"\nrepeats = 100\n[vary]\nengine.max_num_seqs = {values}\n'
    spec = str(write_spec(tmp_path, text + f"agents.num_agents = {values}\n"))
    told = fails("sweep", spec, "-o", out, "--jobs", "2")
    assert told.startswith(f"{spec}: 1,000,000 points take about ")
    assert "on 2 cores" in told
    assert "GiB on disk" in told
    assert told.endswith("; --yes runs them")
    assert not Path(out).exists()


def test_more_points_than_are_run_unasked_are_run_by_yes(
    spec: str, out: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweep_module, "_MOST_UNASKED", NUM_POINTS - 1)
    fails("sweep", spec, "-o", out)
    assert agentsim("sweep", spec, "-o", out, "--backend", "serial", "--yes").exit_code == 0


def test_a_bug_ends_with_code_1_after_all_the_rest(
    spec: str, out: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def evaluate(*_: object, **__: object) -> None:
        raise ZeroDivisionError("ours")

    with monkeypatch.context() as patched:
        patched.setattr(work_module, "evaluate", evaluate)
        result = agentsim("sweep", spec, "-o", out, "--backend", "serial")
    assert result.exit_code == 1
    assert "12 bug: ZeroDivisionError: ours" in result.stdout
    assert result.stderr.startswith("agentsim: error: 12 runs ended by a bug")
    assert agentsim("sweep", spec, "-o", out, "--backend", "serial").exit_code == 0


def test_ctrl_c_says_how_to_go_on(spec: str, out: str, monkeypatch: pytest.MonkeyPatch) -> None:
    count = iter(range(5))
    real = work_module.evaluate

    def evaluate(*args: object, **more: object) -> object:
        if next(count, None) is None:
            raise KeyboardInterrupt
        return real(*args, **more)  # type: ignore[arg-type]

    with monkeypatch.context() as patched:
        patched.setattr(work_module, "evaluate", evaluate)
        result = agentsim("sweep", spec, "-o", out, "--backend", "serial")
    assert (result.exit_code, result.stdout) == (130, "")
    assert len(read_sweep(out)) == 5
    told = f"{SweepInterrupted(5, NUM_POINTS, Path(out))}"
    assert result.stderr == f"agentsim: error: {told}\n"
    assert "the same command goes on from there" in told
    result = agentsim("sweep", spec, "-o", out, "--backend", "serial")
    assert result.exit_code == 0
    assert "12 runs, 5 of them from before" in result.stdout


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ([], "-o DIR: say where the rows go, or add --dry-run"),
        (["-o", "OUT", "--extend", "--force"], "--extend and --force"),
        (["-o", "OUT", "--ray-address", "x"], "--ray-address: needs --backend ray"),
        (["-o", "OUT", "--by", "p95 e2e"], "--by 'p95 e2e': is no figure of the spec; it has runt"),
        (["-o", "OUT", "--by", "p95 e3e"], "unknown figure 'e3e'; did you mean 'e2e'"),
        (["-o", "OUT", "--jobs", "0"], "invalid value for '--jobs'"),
        (["-o", "OUT", "--backend", "rai"], "invalid value for '--backend'"),
        (["-o", "SPEC"], "is a file; give a directory to --out"),
    ],
)
def test_what_cannot_be_done_is_told_before_anything_is(
    spec: str, out: str, more: list[str], told: str
) -> None:
    names = {"OUT": out, "SPEC": spec}
    assert told in fails("sweep", spec, *(names.get(word, word) for word in more))
    assert not Path(out).exists()


def test_another_spec_in_the_folder_is_told(spec: str, out: str) -> None:
    assert agentsim("sweep", spec, "-o", out, "--backend", "serial").exit_code == 0
    before = contents(Path(out))
    text = Path(spec).read_text(encoding="utf-8")
    Path(spec).write_text(text.replace("[1, 2]", "[1, 3]"), encoding="utf-8")
    told = fails("sweep", spec, "-o", out)
    assert "holds another sweep (other axes): --extend keeps its rows" in told
    assert contents(Path(out)) == before
    result = agentsim("sweep", spec, "-o", out, "--extend", "--backend", "serial")
    assert result.stdout.startswith("12 runs, 6 of them from before")
    assert len(read_sweep(out)) == 18


def test_ray_that_is_not_installed_is_named(
    spec: str, out: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    told = fails("sweep", spec, "-o", out, "--backend", "ray")
    assert told == "--backend ray: needs Ray: pip install 'agentsim[ray]'"
