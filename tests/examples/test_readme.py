"""What the README shows is what the commands print."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from click.testing import CliRunner

from agentsim.cli import command

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")


def test_output_of_the_first_command_is_the_true_one() -> None:
    """The block under the first command is what it prints, to the letter."""
    blocks = re.findall(r"^```\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    shown = next(block for block in blocks if block.startswith("93 calls"))
    result = CliRunner().invoke(command, ["replay", str(ROOT / "traces" / "itbench-sre.jsonl")])
    assert result.exit_code == 0
    assert result.output == shown


def test_the_test_command_is_the_one_of_ci() -> None:
    """`.ci/run` installs and runs what the README says."""
    ci = (ROOT / ".ci" / "run").read_text("utf-8")
    assert "python -m pytest" in README and "\npython -m pytest" in ci
    assert "'.[test]'" in README and "'.[test]'" in ci


def test_files_the_readme_names_are_there() -> None:
    """No dangling link."""
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert (ROOT / target).exists(), target


def test_version_is_one() -> None:
    """pyproject and package agree."""
    import agentsim

    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert project["version"] == agentsim.__version__
