"""Terminals, pipes and the real process."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys

import pytest

from agentsim.cli import screen

PROGRAM = [sys.executable, "-m", "agentsim"]


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
    shown = terminal.getvalue()
    assert re.search(r"replay: 3 of 93 calls, \d+/s, 5 s simulated, ", shown)
    assert "left" in shown


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


def test_help_imports_nothing_heavy() -> None:
    code = "import sys; from agentsim.cli import main\ntry: main()\nfinally: print(*sys.modules)"
    ran = subprocess.run(
        [sys.executable, "-c", code, "--help"], capture_output=True, text=True, check=True
    )
    heavy = {"numpy", "pandas", "pyarrow", "matplotlib", "rich", "simpy", "msgspec"}
    assert not heavy & set(ran.stdout.split())


def test_a_small_run_imports_nothing_that_only_files_need(trace: str) -> None:
    code = "import sys; from agentsim.cli import main\ntry: main()\nfinally: print(*sys.modules)"
    ran = subprocess.run(
        [sys.executable, "-c", code, "replay", trace], capture_output=True, text=True, check=True
    )
    assert not {"pyarrow", "pandas", "matplotlib"} & set(ran.stdout.split())


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
