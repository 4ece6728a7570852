"""Names, and what wrong use says: one line on stderr, exit code 2."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agentsim.errors import InvariantBroken
from cli.program import agentsim, fails


def test_the_version_is_the_packages() -> None:
    assert agentsim("--version").stdout.startswith("agentsim 0.")


def test_without_arguments_help_goes_to_stderr() -> None:
    result = agentsim()
    assert (result.exit_code, result.stdout) == (2, "")
    assert "Commands:" in result.stderr


@pytest.mark.parametrize(
    "kind",
    [
        "gpus",
        "models",
        "schedulers",
        "evictions",
        "drafters",
        "metrics",
        "formats",
        "presets",
        "settings",
    ],
)
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
        (["--agents", "0"], "--agents: expected an integer >= 1, got 0"),
        (["--agents", "many"], "--agents: expected an integer"),
        (["--too-long", "drop"], "--too-long: expected"),
        (["--arrival", "poisson:fast"], "--arrival: expected"),
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

    monkeypatch.setattr("agentsim.simulator.simulate", broken)
    result = agentsim("replay", trace, "--seed", "7")
    assert (result.exit_code, result.stdout) == (1, "")
    for part in ("block 7 is used twice", "this is a bug", "agentsim 0.", "--seed 7", trace):
        assert part in result.stderr


def test_an_interrupt_ends_by_130_with_a_clear_line(
    trace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("agentsim.simulator.simulate", interrupted)
    result = agentsim("replay", trace, "--out", str(tmp_path / "out"))
    assert (result.exit_code, result.stdout) == (130, "")
    assert "interrupted; nothing was written" in result.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--gpu", "l4", "--set", "gpu=h100"], "--gpu l4 and --set gpu=h100: choose one"),
        (
            ["--agents", "4", "--set", "agents.num_agents=8"],
            "--agents 4 and --set agents.num_agents=8: choose one",
        ),
    ],
)
def test_an_option_and_a_setting_that_contradict_it_are_refused(
    args: list[str], message: str
) -> None:
    assert fails("replay", "traces/itbench-sre.jsonl", *args) == message
