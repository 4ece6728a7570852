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
ABOVE = {
    "billing",
    "calibration",
    "case_study",
    "cli",
    "simulator",
    "speculation",
    "study",
    "uncertainty",
    "validation",
}

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
        for line in loops_over_sets(tree):
            raise AssertionError(f"{path}:{line}: the order of a set is used")


#: what makes a sequence of what it is given, in its order
ORDERED = {"list", "tuple", "enumerate", "zip", "map", "filter", "iter", "next", "reversed", "dict"}


def is_set(node: ast.expr | None, names: set[str]) -> bool:
    """Whether an expression is a set as far as can be seen: by its form or its name."""
    if isinstance(node, ast.BinOp):
        return is_set(node.left, names) or is_set(node.right, names)
    if isinstance(node, ast.Name):
        return node.id in names
    is_made = isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    return isinstance(node, ast.Set | ast.SetComp) or (
        is_made and node.func.id in ("set", "frozenset")
    )


def loops_over_sets(tree: ast.Module) -> Iterator[int]:
    """Lines where the order of a set decides: loops, and calls that keep the order."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and is_set(node.value, names):
            names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            kind = ast.unparse(node.annotation).partition("[")[0]
            if kind in ("set", "frozenset") or is_set(node.value, names):
                names.add(node.target.id)
    inside = {
        id(call.args[0])
        for call in ast.walk(tree)
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Name)
        and call.func.id in ("sorted", "min", "max", "sum", "any", "all", "len", "set", "frozenset")
        and call.args
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.For) and is_set(node.iter, names):
            yield node.lineno
        if (
            isinstance(node, ast.ListComp | ast.GeneratorExp | ast.DictComp)
            and any(is_set(part.iter, names) for part in node.generators)
            and id(node) not in inside
        ):
            yield node.lineno
        if isinstance(node, ast.Starred) and is_set(node.value, names):
            yield node.lineno
        if (
            isinstance(node, ast.Call)
            and (
                (isinstance(node.func, ast.Name) and node.func.id in ORDERED)
                or (isinstance(node.func, ast.Attribute) and node.func.attr in ("join", "extend"))
            )
            and any(is_set(argument, names) for argument in node.args)
        ):
            yield node.lineno


@pytest.mark.parametrize(
    ("code", "is_found"),
    [
        ("for x in {1, 2}: pass", True),
        ("seen = set()\nfor x in seen: pass", True),
        ("seen: set[int] = f()\na = [x for x in seen]", True),
        ("a = list({x for x in b} | c)", True),
        ("', '.join(frozenset(a))", True),
        ("a = [*{1, 2}]", True),
        ("a = sorted({1, 2})", False),
        ("a = max(x for x in {1, 2})", False),
        ("a = {x for x in {1, 2}}", False),
        ("a = 3 in {1, 2}", False),
        ("for x in {1: 2}: pass", False),
    ],
)
def test_the_order_of_a_set_is_noticed(code: str, is_found: bool) -> None:
    """The check above sees what it should."""
    assert bool(list(loops_over_sets(ast.parse(code)))) == is_found


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
