"""What the README says of the project; its commands and links are tested with all pages."""

from __future__ import annotations

import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")


def test_the_test_command_is_the_one_of_ci() -> None:
    """`.ci/run` installs and runs what the README says."""
    ci = (ROOT / ".ci" / "run").read_text("utf-8")
    assert "python -m pytest" in README and "\npython -m pytest" in ci
    assert "'.[test]'" in README and "'.[test]'" in ci


def test_version_is_one() -> None:
    """pyproject and package agree."""
    import agentsim

    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert project["version"] == agentsim.__version__
