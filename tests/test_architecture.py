"""Imports point down, and what decides is deterministic (DESIGN.md)."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "sim" / "agentsim"

#: Which of our packages and modules each part may import.
MAY_IMPORT = {
    "domain": {"domain", "errors"},
    "machine": {"machine", "domain", "errors", "registry"},
    "policies": {"policies", "domain", "errors", "registry"},
    "workload": {"workload", "domain", "errors", "registry"},
    "report": {"report", "domain", "errors", "registry"},
    "engine": {"engine", "policies", "machine", "domain", "errors", "registry"},
}

#: Modules above the parts: they tie them together.
ABOVE = {"simulator", "case_study", "billing", "speculation", "cli"}

#: Modules of the standard library that differ between two runs.
UNSTEADY = {"random", "time", "datetime", "secrets", "uuid"}


def modules(part: str) -> list[Path]:
    found = sorted((PACKAGE / part).rglob("*.py"))
    assert found
    return found


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert not node.level, f"{path}: a relative import"
            yield node.module


@pytest.mark.parametrize("part", MAY_IMPORT)
def test_imports_point_down(part: str) -> None:
    """Also those inside functions."""
    for path in modules(part):
        for name in imports(path):
            if name.startswith("agentsim."):
                assert name.split(".")[1] in MAY_IMPORT[part], f"{path.name} imports {name}"


def test_only_the_listed_modules_stand_above() -> None:
    """Nothing else grows beside the parts."""
    found = {path.stem for path in PACKAGE.glob("*.py")} | {
        path.name for path in PACKAGE.iterdir() if (path / "__init__.py").exists()
    }
    below = {"errors", "registry", "__init__", "__main__"}
    assert found - below - set(MAY_IMPORT) == ABOVE


@pytest.mark.parametrize("part", ["domain", "engine", "machine", "policies"])
def test_nothing_unsteady_where_decisions_are_made(part: str) -> None:
    """No clock of the wall, no generator shared, no order of sets or hashes."""
    for path in modules(part):
        tree = ast.parse(path.read_text("utf-8"))
        assert not {name.split(".")[0] for name in imports(path)} & UNSTEADY, path
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in ("hash", "id", "vars"), f"{path}:{node.lineno}"
            if isinstance(node, ast.Attribute) and node.attr == "urandom":
                raise AssertionError(f"{path}:{node.lineno}")
            loops = (ast.For, ast.comprehension)
            if isinstance(node, loops) and isinstance(node.iter, ast.Set | ast.SetComp):
                raise AssertionError(f"{path}: a loop over a set")


def test_only_the_command_line_prints_exits_or_reads_the_environment() -> None:
    """The library never does."""
    for path in sorted(PACKAGE.rglob("*.py")):
        if "cli" in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in ("print", "exit", "input"), f"{path}:{node.lineno}"
            if isinstance(node, ast.Attribute):
                assert node.attr not in ("environ", "getenv"), f"{path}:{node.lineno}"
