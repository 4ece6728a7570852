"""Runs the command line in this process."""

from __future__ import annotations

from typing import Any

from click.testing import CliRunner, Result

from agentsim.cli import command


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
