"""`agentsim generate`, `fit-workload` and what `inspect` draws."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from agentsim.cli import inspect_plots
from agentsim.workload.generate.profile import shipped_profiles
from cli.program import agentsim, fails

TRACES = Path(__file__).parents[2] / "traces"
SRE = str(TRACES / "itbench-sre.jsonl")


def test_generate_writes_a_trace_that_every_command_reads(tmp_path: Path) -> None:
    out = str(tmp_path / "load.jsonl.gz")
    args = ("--sessions", "5", "--seed", "3", "--arrival", "poisson:0.1")
    told = agentsim("generate", "swe-agent", "-o", out, *args)
    assert told.exit_code == 0
    assert "in 5 sessions of swe-agent" in told.stdout
    first = Path(out).read_bytes()
    assert agentsim("generate", "swe-agent", "-o", out, *args, "--force").stdout == told.stdout
    assert Path(out).read_bytes() == first
    assert " in 5 sessions" in agentsim("inspect", out).stdout
    assert agentsim("replay", out, "--agents", "2", "--samples", "0").exit_code == 0


def test_the_help_names_every_profile() -> None:
    text = agentsim("generate", "--help").stdout
    assert all(name in text for name in shipped_profiles())


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["swe-agnt", "--sessions", "1"], "unknown profile 'swe-agnt'; did you mean 'swe-agent'"),
        (["none.toml", "--sessions", "1"], "none.toml: no such file"),
        (["swe-agent", "--sessions", "0"], "invalid value for '--sessions'"),
        (["swe-agent", "--sessions", "x"], "invalid value for '--sessions'"),
        (["swe-agent"], "missing option '--sessions'"),
        (["swe-agent", "--sessions", "1", "--seed", "x"], "invalid value for '--seed'"),
        (["swe-agent", "--sessions", "1", "--arrival", "often"], "--arrival 'often': expected"),
        (["swe-agent", "--sessions", "9", "--arrival", "poisson:0"], "--arrival 'poisson:0'"),
        (["swe-agent", "--sessions", "1", "--arrival", "recorded:none"], "none: no such file"),
    ],
)
def test_a_bad_option_is_one_line(args: list[str], message: str, tmp_path: Path) -> None:
    assert message in fails("generate", *args, "-o", str(tmp_path / "t.jsonl"))
    assert list(tmp_path.iterdir()) == []


def test_a_bad_profile_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "p.toml"
    path.write_text("[profile]\nsource = 'x'\n[session]\ncalls = -3\n", encoding="utf-8")
    told = fails("generate", str(path), "--sessions", "1", "-o", str(tmp_path / "t"))
    assert told.startswith(f"{path}: ")
    path.write_text("[profile\n", encoding="utf-8")
    assert "not TOML" in fails("generate", str(path), "--sessions", "1", "-o", str(tmp_path / "t"))


def test_what_exists_is_replaced_only_by_force(tmp_path: Path) -> None:
    path = tmp_path / "t"
    path.write_text("mine", encoding="utf-8")
    assert "--force" in fails("generate", "swe-agent", "--sessions", "1", "-o", str(path))
    assert "--force" in fails("fit-workload", SRE, "-o", str(path))
    assert path.read_text("utf-8") == "mine"
    assert agentsim("fit-workload", SRE, "-o", str(path), "--force").exit_code == 0


def test_a_folder_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    out = str(tmp_path / "none" / "t.jsonl")
    assert "cannot be written" in fails("generate", "swe-agent", "--sessions", "1", "-o", out)
    assert "cannot be written" in fails("fit-workload", SRE, "-o", out)


def test_fit_workload_makes_a_profile_that_generate_takes(tmp_path: Path) -> None:
    profile, load = str(tmp_path / "mine.toml"), str(tmp_path / "load.jsonl")
    told = agentsim("fit-workload", SRE, "-o", profile)
    assert told.stdout.startswith("Fitted to 93 calls of 1 session")
    assert all(len(line) <= 80 for line in told.stdout.splitlines())
    again = tmp_path / "again.toml"
    agentsim("fit-workload", SRE, "-o", str(again))
    assert again.read_bytes() == Path(profile).read_bytes()
    assert agentsim("generate", profile, "-o", load, "--sessions", "2").exit_code == 0
    assert agentsim("inspect", load).stdout.startswith("186 calls in 2 sessions")


def test_a_trace_of_few_calls_has_no_profile(trace: str, tmp_path: Path) -> None:
    told = fails("fit-workload", trace, "-o", str(tmp_path / "p.toml"))
    assert told == "the trace holds 3 calls: expected at least 20 to fit distributions to"
    assert not (tmp_path / "p.toml").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_ctrl_c_leaves_nothing_half_written(tmp_path: Path) -> None:
    out = tmp_path / "load.jsonl.gz"
    command = [sys.executable, "-m", "agentsim", "generate", "interactive-coding"]
    # a shell's background job ignores the signal, and its children with it
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    run = subprocess.Popen(
        [*command, "--sessions", "1000000", "-o", str(out)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    signal.signal(signal.SIGINT, before)
    partial = Path(f"{out}.partial")
    while run.poll() is None and not (partial.exists() and partial.stat().st_size):
        time.sleep(0.02)
    run.send_signal(signal.SIGINT)
    stdout, stderr = run.communicate(timeout=60)
    assert run.returncode == 130
    assert stdout == b""
    assert stderr.strip() == b"agentsim: error: interrupted; nothing was written"
    assert list(tmp_path.iterdir()) == []


# ------------------------------------------------------------------------------- inspect


@pytest.fixture
def load(tmp_path: Path) -> str:
    """A generated trace with all kinds of calls."""
    out = str(tmp_path / "load.jsonl")
    agentsim("generate", "interactive-coding", "-o", out, "--sessions", "40", "--seed", "2")
    return out


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_the_text_fits_a_screen(load: str, trace: str, encoding: str) -> None:
    for name in (load, trace, SRE):
        command = [sys.executable, "-m", "agentsim", "inspect", name]
        env = {"PYTHONIOENCODING": encoding}
        text = subprocess.run(command, env=env, capture_output=True, check=True).stdout
        lines = text.decode(encoding).splitlines()
        assert max(map(len, lines)) <= 80
        assert len(lines) <= 50
        assert ("█" in text.decode(encoding)) == (encoding == "utf-8")
        assert b"\\u" not in text


def test_json_has_all_that_is_drawn(load: str) -> None:
    found = json.loads(agentsim("inspect", load, "--json").stdout)
    cache, causes = found["cache"], found["causes"]
    assert sum(found["histograms"]["prompt"]["counts"]) == found["calls"]
    assert sum(causes.values()) == found["reused_tokens"]
    rates = [size["hit_rate"] for size in cache["curve"]]
    assert rates == sorted(rates)
    assert rates[-1] == pytest.approx(found["block_reuse"], abs=0.001)
    assert cache["enough"]["50%"] <= cache["enough"]["90%"] <= cache["distinct_blocks"]
    assert found["unknown"]["sessions that all start at once"] == 40


def test_bars_show_what_is_not_0() -> None:
    assert inspect_plots.bars([0, 1, 10_000], ascii_only=True) == " .@"
    assert inspect_plots.bars([0, 0], ascii_only=False) == "  "
