"""The same inputs give the same bytes, whatever the process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

TRACE = Path(__file__).parents[2] / "traces" / "itbench-sre.jsonl"


def replayed(hash_seed: str, *options: str) -> bytes:
    """Standard output of a replay in a process of its own."""
    command = [sys.executable, "-m", "agentsim", "replay", str(TRACE), "--json", *options]
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    return subprocess.run(command, check=True, capture_output=True, env=environment).stdout


def test_two_processes_with_other_hashes_print_the_same() -> None:
    """Drawn tool times, several agents, preemptions."""
    options = (
        "--agents=12", "--tool-time=lognormal:1", "--seed=5", "--set", "engine.num_gpu_blocks=2100",
    )  # fmt: skip
    first = replayed("1", *options)
    assert first.startswith(b"{")
    assert replayed("4242", *options) == first
    assert replayed("1", *options, "--seed=6") != first


@pytest.mark.parametrize("options", [(), ("--preset=early-2025",)])
def test_step_by_step_prints_the_same(options: tuple[str, ...]) -> None:
    """`--exact` and the default agree to the byte; also with one free queue as in early 2025."""
    options = ("--agents=7", "--check", *options)
    assert replayed("0", *options, "--exact") == replayed("0", *options)
