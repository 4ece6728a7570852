"""Sweeps: every point a row, the same bytes however they were run, nothing lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import pytest

from agentsim.domain.config import load_config
from agentsim.errors import ConfigError, TraceError, UserError
from agentsim.simulator import simulate
from agentsim.study.evaluate import Outcome
from agentsim.study.sweep import work as work_module
from agentsim.study.sweep.backends import Backend, Lost, Points, Processes, Serial
from agentsim.study.sweep.folder import RUNS, SweepFolder, read_sweep
from agentsim.study.sweep.points import Plan
from agentsim.study.sweep.rows import columns
from agentsim.study.sweep.runner import Report, SweepInterrupted, run_sweep
from agentsim.study.sweep.work import Done, Work
from agentsim.workload.formats import read_trace
from study.sweeps import GRID, NUM_FAILED, NUM_POINTS, contents, plan_of, write_trace

OK = {"ok": NUM_POINTS - NUM_FAILED, "failed": NUM_FAILED}


@dataclass
class Only:
    """Runs so many points, then is stopped as by Ctrl-C; what it ran is in `seen`."""

    most: int = 1_000_000
    seen: list[int] = field(default_factory=list)

    def run(self, work: Work, handfuls: Iterator[Points]) -> Iterator[list[Done] | Lost]:
        for points in handfuls:
            for point in points:
                if len(self.seen) == self.most:
                    raise KeyboardInterrupt
                self.seen.append(point.number)
                yield work((point,))


@dataclass
class Deadly:
    """The process that runs point `number` dies, `times` times."""

    number: int
    times: int

    def run(self, work: Work, handfuls: Iterator[Points]) -> Iterator[list[Done] | Lost]:
        for points in handfuls:
            if self.times and self.number in [point.number for point in points]:
                self.times -= 1
                yield Lost(points, "a worker died")
            else:
                yield work(points)


class Backwards:
    """Everything at once, last first."""

    def run(self, work: Work, handfuls: Iterator[Points]) -> Iterator[list[Done] | Lost]:
        return map(work, reversed(list(handfuls)))


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    return plan_of(tmp_path)


@pytest.fixture
def whole(plan: Plan, tmp_path: Path) -> dict[str, bytes]:
    """The folder of the sweep, run one after the other."""
    run_sweep(plan, tmp_path / "whole", Serial())
    return contents(tmp_path / "whole")


def test_a_row_is_what_replay_gives_with_its_whole_configuration(
    plan: Plan, tmp_path: Path
) -> None:
    report = run_sweep(plan, tmp_path / "out", Serial())
    assert (report.total, report.ran, report.reused, dict(report.statuses)) == (12, 12, 0, OK)
    frame = read_sweep(tmp_path / "out")
    assert frame["point"].tolist() == list(range(NUM_POINTS))
    assert frame["id"].is_unique
    row = frame.iloc[7]
    sets = ["gpu=h100", "engine.max_model_len=4096", "agents.num_agents=2"]
    config = load_config(sets=[*sets, "engine.max_num_batched_tokens=512"])
    run = simulate(read_trace(tmp_path / "trace.jsonl"), config)
    assert row["runtime_s"] == run.makespan_ns / 1e9
    assert row["status"] == "ok"
    for name in ("gpu", "engine.max_num_batched_tokens", "agents.num_agents", "engine.policy"):
        value: object = config
        for part in name.split("."):
            value = getattr(value, part)
        assert row[name] == value
    assert pd.isna(row["engine.block_size"])
    assert (frame[frame["engine.max_model_len"] == 16]["status"] == "failed").all()
    assert frame.loc[4, "reason"] == frame.loc[5, "reason"]
    assert "16" in frame.loc[4, "reason"]
    assert pd.isna(frame.loc[4, "runtime_s"])


def test_the_folder_is_a_dataset_for_others(plan: Plan, tmp_path: Path) -> None:
    run_sweep(plan, tmp_path / "out", Serial())
    frame = pd.read_parquet(tmp_path / "out")
    pd.testing.assert_frame_equal(frame, read_sweep(tmp_path / "out"))


@pytest.mark.parametrize("backend", [Processes(2), Processes(3), Backwards()])
def test_the_bytes_are_the_same_whoever_runs_it(
    plan: Plan, whole: dict[str, bytes], tmp_path: Path, backend: Backend
) -> None:
    run_sweep(plan, tmp_path / "out", backend)
    assert contents(tmp_path / "out") == whole
    run_sweep(plan, tmp_path / "out", Serial())
    assert contents(tmp_path / "out") == whole


def test_intervals_are_columns_beside_their_figure(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, 'trace = "trace.jsonl"\nsamples = 3\nfigures = ["runtime"]\n')
    run_sweep(plan, tmp_path / "out", Serial())
    (row,) = read_sweep(tmp_path / "out").to_dict("records")
    assert row["runtime_s_low"] < row["runtime_s"] < row["runtime_s_high"]


@pytest.mark.parametrize("most", [0, 1, 5, NUM_POINTS - 1])
def test_a_sweep_that_is_stopped_goes_on_where_it_was(
    plan: Plan, whole: dict[str, bytes], tmp_path: Path, most: int
) -> None:
    first, second = Only(most), Only()
    with pytest.raises(SweepInterrupted, match=f"after {most} of 12 runs; .*goes on"):
        run_sweep(plan, tmp_path / "out", first)
    assert read_sweep(tmp_path / "out")["point"].tolist() == first.seen
    report = run_sweep(plan, tmp_path / "out", second)
    assert sorted(first.seen + second.seen) == list(range(NUM_POINTS))
    assert (report.reused, report.ran, dict(report.statuses)) == (most, NUM_POINTS - most, OK)
    assert contents(tmp_path / "out") == whole


@pytest.mark.parametrize("cut", [1, 30, 500])
def test_a_line_that_was_being_written_is_run_again(
    plan: Plan, whole: dict[str, bytes], tmp_path: Path, cut: int
) -> None:
    with pytest.raises(SweepInterrupted):
        run_sweep(plan, tmp_path / "out", Only(5))
    runs = tmp_path / "out" / RUNS
    runs.write_bytes(runs.read_bytes()[:-cut])
    assert len(read_sweep(tmp_path / "out")) == 4
    again = Only()
    run_sweep(plan, tmp_path / "out", again)
    assert again.seen == list(range(4, NUM_POINTS))
    assert contents(tmp_path / "out") == whole


def test_a_line_that_the_disk_lost_is_run_again(
    plan: Plan, whole: dict[str, bytes], tmp_path: Path
) -> None:
    with pytest.raises(SweepInterrupted):
        run_sweep(plan, tmp_path / "out", Only(5))
    runs = tmp_path / "out" / RUNS
    lines = runs.read_bytes().splitlines(keepends=True)
    runs.write_bytes(b"".join([*lines[:2], b"\0" * (len(lines[2]) - 1) + b"\n", *lines[3:]]))
    again = Only()
    run_sweep(plan, tmp_path / "out", again)
    assert again.seen == [2, *range(5, NUM_POINTS)]
    assert contents(tmp_path / "out") == whole


def test_runs_in_both_dataset_and_journal_count_once(
    plan: Plan, whole: dict[str, bytes], tmp_path: Path
) -> None:
    """Killed between the dataset's appearance and the end of the journal."""
    with pytest.raises(SweepInterrupted):
        run_sweep(plan, tmp_path / "out", Only(NUM_POINTS - 1))
    runs = (tmp_path / "out" / RUNS).read_bytes()
    run_sweep(plan, tmp_path / "out", Serial())
    (tmp_path / "out" / RUNS).write_bytes(runs)
    assert len(read_sweep(tmp_path / "out")) == NUM_POINTS
    run_sweep(plan, tmp_path / "out", Only(0))
    assert contents(tmp_path / "out") == whole


CHILD = """
import sys
from pathlib import Path
from agentsim.study.sweep.backends import Processes, Serial
from agentsim.study.sweep.points import Plan
from agentsim.study.sweep.runner import run_sweep
from agentsim.study.sweep.spec import read_spec

if __name__ == "__main__":
    backend = Processes(2) if sys.argv[3] == "processes" else Serial()
    tell = lambda report: print(report.ran, flush=True)
    run_sweep(Plan(read_spec(Path(sys.argv[1]))), Path(sys.argv[2]), backend, progress=tell)
"""


@pytest.mark.parametrize("backend", ["serial", "processes"])
def test_kill_minus_9_loses_nothing_that_was_done(
    plan: Plan, whole: dict[str, bytes], tmp_path: Path, backend: str
) -> None:
    program, out = tmp_path / "child.py", tmp_path / "out"
    program.write_text(CHILD, encoding="utf-8")
    home = str(Path(work_module.__file__).parents[3])
    paths = os.pathsep.join([home, os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, str(program), str(tmp_path / "spec.toml"), str(out), backend]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": paths},
    ) as child:
        assert child.stdout is not None
        told = [int(child.stdout.readline()) for _ in range(2)]
        child.send_signal(signal.SIGKILL)
        told += [int(line) for line in child.stdout.read().split()]
    assert child.returncode == -signal.SIGKILL
    kept = read_sweep(out)
    assert len(kept) >= max(told)
    again = Only()
    report = run_sweep(plan, out, again)
    assert sorted([*kept["point"], *again.seen]) == list(range(NUM_POINTS))
    assert report.reused == len(kept)
    assert contents(out) == whole


def test_two_sweeps_do_not_write_to_one_folder(plan: Plan, tmp_path: Path) -> None:
    spec = plan.spec
    held = SweepFolder(
        tmp_path / "out", plan.about, columns(spec.figures, spec.samples), mode="resume"
    )
    with held, pytest.raises(UserError, match="out: another sweep is writing to it"):
        run_sweep(plan, tmp_path / "out", Serial())
    assert run_sweep(plan, tmp_path / "out", Serial()).ran == NUM_POINTS


def test_another_spec_is_refused_and_may_extend_or_replace(
    plan: Plan, whole: dict[str, bytes], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    with pytest.raises(SweepInterrupted):
        run_sweep(plan, out, Only(9))
    before = contents(out)
    other = plan_of(tmp_path, GRID.replace("[4096, 2048, 16]", "[1024, 4096]"))
    with pytest.raises(ConfigError, match=r"holds another sweep \(other axes\): --extend"):
        run_sweep(other, out, Serial())
    assert contents(out) == before
    run = Only()
    report = run_sweep(other, out, run, mode="extend")
    assert report.reused == 4  # both GPUs with 4096
    assert run.seen == [0, 1, 4, 5]
    frame = read_sweep(out)
    assert frame["point"].dropna().tolist() == list(range(8))
    assert frame["engine.max_model_len"].tolist()[:4] == [1024, 1024, 4096, 4096]
    assert len(frame) == 9 + 4
    fresh = tmp_path / "fresh"
    run_sweep(other, fresh, Serial())
    pd.testing.assert_frame_equal(
        frame[:8], read_sweep(fresh), check_dtype=False, check_column_type=False
    )
    run_sweep(plan_of(tmp_path), out, Serial(), mode="force")
    assert contents(out) == whole


def test_an_extension_with_other_figures_has_the_columns_of_both(tmp_path: Path) -> None:
    out = tmp_path / "out"
    cuda = "base.engine.cudagraph_capture_sizes = [1, 8]\n"
    text = 'trace = "trace.jsonl"\n' + cuda + 'figures = ["runtime"]\n'
    run_sweep(plan_of(tmp_path, text), out, Serial())
    run_sweep(plan_of(tmp_path, text.replace("runtime", "cost")), out, Serial(), mode="extend")
    frame = read_sweep(out)
    assert frame["run_usd"].notna().tolist() == [True, False]
    assert frame["runtime_s"].notna().tolist() == [False, True]
    assert [list(sizes) for sizes in frame["engine.cudagraph_capture_sizes"]] == [[1, 8], [1, 8]]


def test_a_folder_of_something_else_is_left_alone(plan: Plan, tmp_path: Path) -> None:
    for mode in ("resume", "extend", "force"):
        with pytest.raises(UserError, match=r"holds 'spec\.toml' and no sweep"):
            run_sweep(plan, tmp_path, Serial(), mode=mode)
    with pytest.raises(UserError, match="is a file"):
        run_sweep(plan, tmp_path / "spec.toml", Serial())
    assert sorted(contents(tmp_path)) == ["spec.toml", "trace.jsonl"]
    with pytest.raises(UserError, match="holds no sweep"):
        read_sweep(tmp_path)


def test_a_bug_is_a_row_and_is_tried_again(
    plan: Plan, whole: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = work_module.evaluate

    def evaluate(*args: object, **more: object) -> Outcome:
        if args[1].config.agents.num_agents == 2 and args[1].config.gpu == "l4":  # type: ignore[attr-defined]
            raise ZeroDivisionError("of\nours")
        return real(*args, **more)  # type: ignore[arg-type]

    with monkeypatch.context() as patched:
        patched.setattr(work_module, "evaluate", evaluate)
        report = run_sweep(plan, tmp_path / "out", Serial())
    assert dict(report.statuses) == {"ok": 6, "failed": 3, "bug": 3}
    frame = read_sweep(tmp_path / "out")
    assert frame["reason"][1] == "ZeroDivisionError: of ours"
    report = run_sweep(plan, tmp_path / "out", Serial())
    assert (report.ran, dict(report.statuses)) == (3, OK)
    assert contents(tmp_path / "out") == whole


@pytest.mark.parametrize("times", [1, 2])
def test_a_point_whose_process_dies_is_run_once_more_alone(
    plan: Plan, whole: dict[str, bytes], tmp_path: Path, times: int
) -> None:
    report = run_sweep(plan, tmp_path / "out", Deadly(3, times))
    assert report.ran == NUM_POINTS
    if times == 1:
        assert contents(tmp_path / "out") == whole
        return
    frame = read_sweep(tmp_path / "out")
    assert frame[frame["status"] == "died"]["point"].tolist() == [3]
    assert frame["reason"][3] == "a worker died"
    assert run_sweep(plan, tmp_path / "out", Serial()).ran == 1
    assert contents(tmp_path / "out") == whole


@dataclass(frozen=True, slots=True)
class Deadly3(Work):
    """Work of which point 3 kills its process, as the system does when memory runs out."""

    def __call__(self, points: Points) -> list[Done]:
        if 3 in [point.number for point in points]:
            os.kill(os.getpid(), signal.SIGKILL)
        return [Work._run(self, point) for point in points]


@dataclass(frozen=True)
class WithDeath:
    """A backend whose processes die at point 3."""

    backend: Backend

    def run(self, work: Work, handfuls: Iterator[Points]) -> Iterator[list[Done] | Lost]:
        parts = (work.sources, work.traces, work.figures, work.samples, work.prices)
        return self.backend.run(Deadly3(*parts), handfuls)


def test_a_process_of_joblib_that_dies_costs_its_point_alone(plan: Plan, tmp_path: Path) -> None:
    report = run_sweep(plan, tmp_path / "out", WithDeath(Processes(2)))
    assert dict(report.statuses) == {**OK, "ok": OK["ok"] - 1, "died": 1}
    frame = read_sweep(tmp_path / "out")
    assert frame["status"][3] == "died"
    assert "terminated" in frame["reason"][3]


def test_a_trace_that_changes_meanwhile_ends_the_sweep(plan: Plan, tmp_path: Path) -> None:
    write_trace(tmp_path / "trace.jsonl", output_tokens=9)
    with pytest.raises(TraceError, match=r"trace\.jsonl: was changed while the sweep ran"):
        run_sweep(plan, tmp_path / "out", Serial())


def test_progress_counts_up_to_all(plan: Plan, tmp_path: Path) -> None:
    told: list[tuple[int, int, int]] = []

    def tell(report: Report) -> None:
        told.append((report.done, report.total, report.statuses["failed"]))

    run_sweep(plan, tmp_path / "out", Serial(), progress=tell)
    assert told == sorted(told)
    assert told[-1] == (NUM_POINTS, NUM_POINTS, NUM_FAILED)


def test_a_real_ray_gives_the_same_bytes_and_survives_a_dead_worker(
    plan: Plan, whole: dict[str, bytes], tmp_path: Path
) -> None:
    pytest.importorskip("ray")
    child = """
import sys
from pathlib import Path
from agentsim.study.sweep.on_ray import Cluster
from agentsim.study.sweep.points import Plan
from agentsim.study.sweep.runner import run_sweep
from agentsim.study.sweep.spec import read_spec
from study.test_sweep import WithDeath

plan = Plan(read_spec(Path(sys.argv[1])))
run_sweep(plan, Path(sys.argv[2]), WithDeath(Cluster(jobs=2)))
"""
    program, out = tmp_path / "child.py", tmp_path / "out"
    program.write_text(child, encoding="utf-8")
    homes = [str(Path(work_module.__file__).parents[3]), str(Path(__file__).parents[1])]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([*homes, os.environ.get("PYTHONPATH", "")]),
        "RAY_USAGE_STATS_ENABLED": "0",
    }
    done = subprocess.run(
        [sys.executable, str(program), str(tmp_path / "spec.toml"), str(out)],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    frame = read_sweep(out)
    assert frame[frame["status"] == "died"]["point"].tolist() == [3]
    assert run_sweep(plan, out, Serial()).ran == 1
    assert contents(out) == whole
