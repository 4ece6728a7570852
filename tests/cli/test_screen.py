"""What every command prints: plain text in pipes, 80 columns, colour only where it is wanted."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click.testing
import pytest

from agentsim.cli import command
from agentsim.cli.tables import KINDS
from cli.program import agentsim
from examples.material import write_material

#: A small run of every command that prints text for people, on the files of `write_material`.
RUNS = {
    "replay": "trace.jsonl --assumptions --explain",
    "compare": "trace.jsonl -c hf -c full --vary gpu=l4,h100",
    "plan": "trace.jsonl --slo 'p95 ttft < 9s' --vary gpu=l4,h100 --trials 4 --jobs 1",
    "sweep": "sweep.toml -o runs --jobs 1",
    "explain": "trace.jsonl -c hf -c full",
    "score": "trace.jsonl",
    "plot": "trace.jsonl -o figure.png",
    "inspect": "trace.jsonl",
    "import": "home/.claude -o new.jsonl.gz",
    "export": "trace.jsonl --to aiperf -o load.jsonl",
    "generate": "swe-agent -o agents.jsonl.gz --sessions 3",
    "fit-workload": "mine.jsonl -o mine.toml",
    "case-study": "",
    "validate": "measured --samples 0",
    "calibrate": "server.log --gpu l4 --model qwen2.5-14b-awq -o l4.toml",
    "check": "trace.jsonl --metrics before.txt --metrics after.txt",
    **{f"list {kind}": "" for kind in KINDS},
}
#: JSON lines and a shell's script, which are for programs.
NOT_FOR_PEOPLE = {"schedule", "completion"}
CODES = re.compile(r"\x1b\[[0-9;]*m")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write_material(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def printed(name: str) -> str:
    result = agentsim(*name.split(), *shlex.split(RUNS[name]))
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    return result.stdout


def test_every_command_is_looked_at() -> None:
    assert {name.split()[0] for name in RUNS} | NOT_FOR_PEOPLE == set(command.commands)


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("name", RUNS)
def test_a_pipe_gets_plain_text_of_80_columns(name: str) -> None:
    text = printed(name)
    assert text.endswith("\n")
    assert "\x1b" not in text
    assert "\t" not in text
    assert max(map(len, text.splitlines())) <= 80, max(text.splitlines(), key=len)
    assert not [line for line in text.splitlines() if line != line.rstrip()]


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("name", ["replay", "inspect"])
def test_colour_is_for_terminals_and_says_nothing_by_itself(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A terminal gets the very text of a pipe, and with NO_COLOR its very bytes."""
    plain = printed(name)
    stream = click.testing._NamedTextIOWrapper
    monkeypatch.setattr(stream, "isatty", lambda _: True, raising=False)
    monkeypatch.setattr("agentsim.cli.screen.sys.stderr.isatty", lambda: False, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    coloured = printed(name)
    assert [line.rstrip() for line in CODES.sub("", coloured).splitlines()] == plain.splitlines()
    assert coloured != plain
    monkeypatch.setenv("NO_COLOR", "1")
    assert printed(name) == plain
