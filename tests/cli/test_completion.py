"""`agentsim completion`: a script for each shell, and what it offers."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.shell_completion import BashComplete

from agentsim.cli import command
from agentsim.cli.tables import KINDS
from cli.program import agentsim, fails


def offered(line: str, typed: str = "") -> list[str]:
    """What a shell is told to offer after `line`; files as ``<file>``."""
    found = BashComplete(command, {}, "agentsim", "_AGENTSIM_COMPLETE")
    items = found.get_completions(line.split(), typed)
    return [item.value if item.type == "plain" else f"<{item.type}>" for item in items]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_asks_this_program(shell: str) -> None:
    result = agentsim("completion", shell)
    assert result.exit_code == 0
    assert f"_AGENTSIM_COMPLETE={shell}_complete" in result.stdout


def test_another_shell_is_refused() -> None:
    assert "'sh' is not one of" in fails("completion", "sh")


@pytest.mark.parametrize(
    ("line", "typed", "some"),
    [
        ("", "", {"replay", "inspect", "list", "completion"}),
        ("replay", "--gp", {"--gpu", "--gpu-price"}),
        ("replay", "", {"<file>"}),
        ("replay --gpu", "h1", {"h100"}),
        ("check t.jsonl --model", "qwen2.5", {"qwen2.5-14b-awq"}),
        ("replay --profile", "", {"h100", "<file>"}),
        ("replay --set", "engine.max_num", {"engine.max_num_seqs"}),
        ("replay --routing", "", {"prefix-hash", "round-robin"}),
        ("replay --engine", "", {"vllm", "hf"}),
        ("replay --preset", "", {"early-2025"}),
        ("replay --format", "", {"agentsim", "mooncake"}),
        ("import --format", "cl", {"claude-code"}),
        ("export t.jsonl --to", "", {"aiperf", "mooncake"}),
        ("generate", "", {"swe-agent", "<file>"}),
        ("list", "", set(KINDS)),
        ("calibrate", "", {"<file>"}),
        ("validate", "", {"<file>"}),
    ],
)
def test_names_and_files_are_offered(line: str, typed: str, some: set[str]) -> None:
    found = offered(line, typed)
    assert some <= set(found)
    assert all(name.startswith((typed, "<")) for name in found)


def test_nothing_is_offered_after_a_command_that_is_not_there() -> None:
    assert offered("replya t.jsonl", "x") == []


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
@pytest.mark.parametrize(
    ("words", "expected"), [("replay --gpu h1", "h100"), ("generate swe", "swe-agent")]
)
def test_bash_itself_completes(words: str, expected: str, tmp_path: Path) -> None:
    """In a real shell: the script is read, and what Tab would call fills the replies."""
    program = tmp_path / "agentsim"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m agentsim "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    script = (
        'eval "$(agentsim completion bash)"; compopt() { :; }; '
        f"COMP_WORDS=(agentsim {words}); COMP_CWORD={len(words.split())}; "
        "_agentsim_completion agentsim; echo ${COMPREPLY[@]}"
    )
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    ran = subprocess.run(
        ["bash", "-c", script],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PATH": path},
    )
    assert expected in ran.stdout.split(), ran.stderr
