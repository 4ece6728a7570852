"""What the commands print and write."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from agentsim.report.store import read_run
from cli.program import agentsim, fails

ROOT = Path(__file__).parents[2]
SCHEMA = json.loads((ROOT / "docs" / "result-schema.json").read_text(encoding="utf-8"))


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
    parts = ("api_s", "queue_s", "prefill_s", "decode_s", "recomputation_s", "tools_s")
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
