"""The command line: what it prints, where, and how it ends."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from click.testing import CliRunner, Result

from agentsim.cli import command, screen
from agentsim.errors import InvariantBroken
from agentsim.report.store import read_run

ROOT = Path(__file__).parents[1]
PROGRAM = [sys.executable, "-m", "agentsim"]
SCHEMA = json.loads((ROOT / "docs" / "result-schema.json").read_text(encoding="utf-8"))


def agentsim(*args: str, **more: Any) -> Result:
    return CliRunner().invoke(command, list(args), prog_name="agentsim", **more)


def fails(*args: str, **more: Any) -> str:
    """The one line on stderr of a command that must end by exit code 2 with nothing on stdout."""
    result = agentsim(*args, **more)
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    assert result.stderr.startswith("agentsim: error: ")
    assert result.stderr.count("\n") == 1
    return result.stderr.removeprefix("agentsim: error: ").strip()


@pytest.fixture
def trace(tmp_path: Path) -> str:
    """Two sessions; the first has two calls with a tool between, the second one call."""
    lines: list[dict[str, Any]] = [
        {"type": "header", "format": "agentsim-trace", "version": 1},
        {"type": "session", "session": "s"},
        {"type": "call", "session": "s", "id": "a", "input_tokens": 500, "output_tokens": 20},
        {
            "type": "call",
            "session": "s",
            "id": "b",
            "after": ["a"],
            "delay": 2.5,
            "extends": "a",
            "keep": 520,
            "input_tokens": 600,
            "output_tokens": 10,
        },
        {"type": "session", "session": "t"},
        {"type": "call", "session": "t", "id": "a", "input_tokens": 300, "output_tokens": 1},
    ]
    place = tmp_path / "trace.jsonl"
    place.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return str(place)


# Help and names


@pytest.mark.parametrize("name", ["replay", "inspect", "schedule", "list"])
def test_every_command_has_a_sentence_and_an_example(name: str) -> None:
    result = agentsim(name, "--help")
    assert result.exit_code == 0
    assert f"agentsim {name} " in result.stdout.split("Options:")[0].split("\n", 1)[1]
    assert max(map(len, result.stdout.splitlines())) <= 80


def test_the_version_is_the_packages() -> None:
    assert agentsim("--version").stdout.startswith("agentsim 0.")


def test_without_arguments_help_goes_to_stderr() -> None:
    result = agentsim()
    assert (result.exit_code, result.stdout) == (2, "")
    assert "Commands:" in result.stderr


@pytest.mark.parametrize("kind", ["gpus", "models", "schedulers", "formats", "presets", "settings"])
def test_lists_fit_the_screen_and_have_their_names_in_full(kind: str) -> None:
    rows = json.loads(agentsim("list", kind, "--json").stdout)
    text = agentsim("list", kind).stdout
    assert len(rows) >= 1
    assert all(row["name"] in text for row in rows)
    assert max(map(len, text.splitlines())) <= 80


def test_lists_hold_what_the_case_study_needs() -> None:
    names = {
        kind: [row["name"] for row in json.loads(agentsim("list", kind, "--json").stdout)]
        for kind in ("gpus", "models", "settings")
    }
    assert {"l4", "h100"} <= set(names["gpus"])
    assert {"qwen2.5-14b-awq", "llama-3.1-8b"} <= set(names["models"])
    assert {"engine.max_num_seqs", "agents.num_agents", "seed"} <= set(names["settings"])


# Wrong use


@pytest.mark.parametrize(
    ("args", "line"),
    [
        (["replya"], "unknown command 'replya'; did you mean 'replay'?"),
        (["replay"], "missing argument 'TRACE'"),
        (["replay", "x", "--gpus", "l4"], "no such option '--gpus'; did you mean '--gpu'?"),
        (["--verion"], "no such option '--verion'; did you mean '--version'?"),
        (["list", "gpu"], "unknown list 'gpu'; did you mean 'gpus'?"),
        (["list", "gpus", "more"], "unexpected extra argument"),
        (["replay", "no-such-file.jsonl"], "no-such-file.jsonl: no such file"),
        (["inspect", "no-such-file.jsonl"], "no-such-file.jsonl: no such file"),
        (["schedule", "no-such-file.json"], "no-such-file.json: no such file"),
    ],
)
def test_wrong_use_is_one_line_on_stderr_and_exit_code_2(args: list[str], line: str) -> None:
    assert line in fails(*args)


@pytest.mark.parametrize(
    ("args", "line"),
    [
        (["--gpu", "h10"], "unknown gpu 'h10'; did you mean 'h100'?"),
        (["--model", "llama-3.1-8"], "unknown model 'llama-3.1-8'; did you mean"),
        (["--set", "engine.max_num_seq=1"], "did you mean 'max_num_seqs'?"),
        (["--set", "nonsense"], "expected NAME=VALUE"),
        (["--agents", "0"], "agents.num_agents: expected an integer >= 1, got 0"),
        (["--agents", "many"], "agents.num_agents: expected an integer"),
        (["--too-long", "drop"], "too_long"),
        (["--arrival", "poisson:fast"], "arrival"),
        (["--preset", "early-2024"], "unknown preset 'early-2024'; did you mean 'early-2025'?"),
        (["--vllm-args", "--max-num-sequences 4"], "--max-num-sequences: unknown argument"),
        (["--config", "none.toml"], "none.toml: no such file"),
        (["--format", "mooncack"], "did you mean 'mooncake'?"),
    ],
)
def test_wrong_settings_are_named_with_the_nearest_right_one(
    trace: str, args: list[str], line: str
) -> None:
    assert line in fails("replay", trace, *args)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("{", ":1: not valid JSON"),
        ("[]", "not a scenario"),
        ('{"requests": [{"id": "a"}]}', "missing required field `prompt`"),
        ('{"requests": [{"id": "a", "prompt": [["s", -1]], "output_len": 1}]}', "int` >= 1"),
    ],
)
def test_what_is_no_scenario_is_refused_with_its_place(
    tmp_path: Path, text: str, line: str
) -> None:
    place = tmp_path / "scenario.json"
    place.write_text(text)
    message = fails("schedule", str(place))
    assert message.startswith(str(place))
    assert line in message


def test_a_bug_of_ours_ends_by_1_with_everything_to_see_it_again(
    trace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise InvariantBroken("block 7 is used twice at 12 ns on replica 0")

    monkeypatch.setattr("agentsim.simulate.simulate", broken)
    result = agentsim("replay", trace, "--seed", "7")
    assert (result.exit_code, result.stdout) == (1, "")
    for part in ("block 7 is used twice", "this is a bug", "agentsim 0.", "--seed 7", trace):
        assert part in result.stderr


def test_an_interrupt_ends_by_130_with_a_clear_line(
    trace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("agentsim.simulate.simulate", interrupted)
    result = agentsim("replay", trace, "--out", str(tmp_path / "out"))
    assert (result.exit_code, result.stdout) == (130, "")
    assert "interrupted; nothing was written" in result.stderr
    assert not (tmp_path / "out").exists()


# Commands


def test_inspect_shows_the_counts_of_the_trace(trace: str) -> None:
    text = agentsim("inspect", trace).stdout
    assert text.startswith("3 calls in 2 sessions: 1,400 prompt tokens")
    assert max(map(len, text.splitlines())) <= 80
    found = json.loads(agentsim("inspect", trace, "--json").stdout)
    assert (found["calls"], found["prompt_tokens"], found["reused_tokens"]) == (3, 1400, 520)


def test_schedule_writes_the_lines_of_the_golden() -> None:
    scenario = sorted((ROOT / "tests" / "oracle" / "scenarios").glob("*.json"))[0]
    lines = [json.loads(line) for line in agentsim("schedule", str(scenario)).stdout.splitlines()]
    assert [lines[0]["type"], lines[1]["type"], lines[-1]["type"]] == ["header", "step", "summary"]
    again = agentsim("schedule", "-", input=scenario.read_text(encoding="utf-8"))
    assert [json.loads(line) for line in again.stdout.splitlines()] == lines


def test_replay_answers_first_and_fits_the_screen(trace: str) -> None:
    result = agentsim("replay", trace, "--agents", "1")
    assert result.exit_code == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[0].startswith("3 calls of 1 agent take ")
    assert "\x1b" not in result.stdout
    assert max(map(len, lines)) <= 80
    assert len(lines) <= 40
    assert result.stderr == ""


def test_replay_json_obeys_the_published_schema_in_the_same_bytes(trace: str) -> None:
    first, second = (agentsim("replay", trace, "--json").stdout for _ in "ab")
    assert first == second
    document = json.loads(first)
    jsonschema.validate(document, SCHEMA, cls=jsonschema.Draft202012Validator)
    summary = document["summary"]
    assert summary["calls"] == {"finished": 3}
    assert (summary["tokens"]["prompt"], summary["tokens"]["output"]) == (1400, 31)
    assert document["config"]["gpu"] == "l4"


def test_the_parts_of_a_replays_time_add_up(trace: str) -> None:
    summary = json.loads(agentsim("replay", trace, "--json").stdout)["summary"]
    gpu, agent = summary["gpu"], summary["agent"]
    parts = ("prefill_s", "decode_s", "recomputation_s", "overhead_s", "idle_s")
    assert sum(gpu[part] for part in parts) == pytest.approx(summary["runtime_s"], rel=1e-12)
    parts = ("queue_s", "prefill_s", "decode_s", "recomputation_s", "tools_s")
    assert sum(agent[part] for part in parts) == pytest.approx(agent["total_s"], rel=1e-12)
    assert agent["tools_s"] >= 2.5 / 2


def test_exact_and_checked_runs_give_the_same_figures(trace: str) -> None:
    plain, exact = (
        json.loads(agentsim("replay", trace, "--json", *more).stdout)
        for more in ([], ["--exact", "--check"])
    )
    assert plain["summary"] == exact["summary"]


def test_options_settings_and_files_reach_the_configuration(trace: str, tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text("[engine]\nblock_size = 32\nmax_num_seqs = 2\n")
    result = agentsim(
        "replay",
        trace,
        *("--config", str(file), "--set", "engine.max_num_seqs=5", "--agents", "2"),
        *("--vllm-args", "--max-num-batched-tokens 512 --port 80", "--preset", "early-2025"),
        *("--gpu", "h100", "--tool-scale", "0.5", "--seed", "7", "--json"),
    )
    document = json.loads(result.stdout)
    config = document["config"]
    assert (config["gpu"], config["seed"]) == ("h100", 7)
    assert (config["engine"]["block_size"], config["engine"]["max_num_seqs"]) == (32, 5)
    assert config["engine"]["max_num_batched_tokens"] == 512
    assert config["engine"]["free_queue"] == "one-ended"
    assert (config["agents"]["num_agents"], config["agents"]["tool_time_scale"]) == (2, 0.5)
    assert document["assumptions"][0]["name"] == "preset early-2025"
    assert document["assumptions"][1]["value"] == "--port"


def test_out_writes_a_run_that_reads_back_and_is_not_overwritten(
    trace: str, tmp_path: Path
) -> None:
    out = str(tmp_path / "out")
    document = json.loads(agentsim("replay", trace, "--json", "--out", out).stdout)
    run = read_run(Path(out))
    assert run.config == document["config"]
    assert len(run.requests["call"]) == 3
    assert "add --force" in fails("replay", trace, "--out", out)
    assert agentsim("replay", trace, "--out", out, "--force").exit_code == 0


def test_assumptions_lists_every_one_with_its_source(trace: str) -> None:
    document = json.loads(agentsim("replay", trace, "--json").stdout)
    text = agentsim("replay", trace, "--assumptions").stdout
    assert document["assumptions"]
    assert all(assumption["name"] in text for assumption in document["assumptions"])


def test_a_trace_comes_from_stdin_too(trace: str) -> None:
    text = Path(trace).read_text(encoding="utf-8")
    assert agentsim("replay", "-", input=text).stdout == agentsim("replay", trace).stdout


# The terminal


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_progress_shows_on_a_terminal_once_a_run_takes_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(screen, "_PATIENCE_S", 0.0)
    with screen.Ticker("replay") as tick:
        tick(3, 93, 5_000_000_000)
    assert "3/93" in terminal.getvalue()


@pytest.mark.parametrize(("patience_s", "stream"), [(60.0, Terminal), (0.0, io.StringIO)])
def test_short_runs_and_pipes_show_no_progress(
    monkeypatch: pytest.MonkeyPatch, patience_s: float, stream: type[io.StringIO]
) -> None:
    silent = stream()
    monkeypatch.setattr(sys, "stderr", silent)
    monkeypatch.setattr(screen, "_PATIENCE_S", patience_s)
    with screen.Ticker("replay") as tick:
        tick(3, 93, 5_000_000_000)
    assert silent.getvalue() == ""


def test_no_color_is_respected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", Terminal())
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert screen.wants_colour()
    monkeypatch.setenv("NO_COLOR", "1")
    assert not screen.wants_colour()


# The process


def test_help_imports_nothing_heavy() -> None:
    code = "import sys; from agentsim.cli import main\ntry: main()\nfinally: print(*sys.modules)"
    ran = subprocess.run(
        [sys.executable, "-c", code, "--help"], capture_output=True, text=True, check=True
    )
    heavy = {"numpy", "pandas", "pyarrow", "matplotlib", "rich", "simpy", "msgspec"}
    assert not heavy & set(ran.stdout.split())


def test_user_errors_of_the_real_process_have_no_traceback() -> None:
    ran = subprocess.run(
        [*PROGRAM, "replay", "nowhere"], capture_output=True, text=True, check=False
    )
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr.startswith("agentsim: error: nowhere: ")
    assert "Traceback" not in ran.stderr


def test_a_closed_pipe_ends_the_process_quietly() -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    ran = subprocess.run(
        [*PROGRAM, "list", "models"], stdout=write_end, stderr=subprocess.PIPE, check=False
    )
    os.close(write_end)
    assert (ran.returncode, ran.stderr) == (141, b"")


def test_a_terminal_without_utf8_gets_plain_letters(trace: str) -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    ran = subprocess.run(
        [*PROGRAM, "replay", trace], capture_output=True, env=environment, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.isascii()
