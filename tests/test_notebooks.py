"""The notebooks print what is stored in them, hold no logic of their own, and are whole."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("nbclient", reason="notebooks need '.[notebooks]'")
pytest.importorskip("ipykernel", reason="notebooks need '.[notebooks]'")
pytest.importorskip("scipy", reason="notebooks need '.[notebooks]'")

from execute import FOLDER, NAMES, executed, read, solution, texts

#: Lines of a function, and of a cell, at most.
_FUNCTION_LINES, _CELL_LINES = 5, 25
_MOST_BYTES = 300_000


def code_of(book: Any) -> list[str]:
    """Cells and solutions."""
    cells = [cell.source if cell.cell_type == "code" else solution(cell) for cell in book.cells]
    return [code for code in cells if code]


def outputs_of(book: Any) -> list[Any]:
    return [output for cell in book.cells for output in cell.get("outputs", ())]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.filterwarnings("default")
def test_a_run_prints_what_is_stored(name: str) -> None:
    """Solutions too; pictures are not compared. After a change: python notebooks/execute.py."""
    stored = read(name)
    book = executed(stored)
    assert not [each for each in outputs_of(book) if each.get("name") == "stderr"]
    assert texts(book) == texts(stored)


@pytest.mark.parametrize("name", NAMES)
def test_no_logic_of_its_own(name: str) -> None:
    for code in code_of(read(name)):
        assert code.count("\n") < _CELL_LINES, code
        for node in ast.walk(ast.parse(code)):
            assert not isinstance(node, ast.ClassDef | ast.While | ast.Try), code
            if isinstance(node, ast.FunctionDef | ast.Lambda):
                assert (node.end_lineno or 0) - node.lineno < _FUNCTION_LINES, code


@pytest.mark.parametrize("name", NAMES)
def test_question_figures_lessons_exercises_and_solutions(name: str) -> None:
    book = read(name)
    prose = "\n".join(cell.source for cell in book.cells if cell.cell_type == "markdown")
    assert re.match(r"# \d\. [^\n]+\?", prose), "a question"
    assert "\n## What to take away\n" in prose
    exercises = re.findall(
        r"^\*\*(\d)\.\*\* ", prose.partition("\n## Exercises\n")[2], re.MULTILINE
    )
    assert exercises in (["1", "2"], ["1", "2", "3"])
    solved = [cell.source for cell in book.cells if solution(cell)]
    assert len(solved) == len(exercises)
    assert all(text.startswith("<details>") and "```text\n" in text for text in solved)
    assert any("image/png" in output.get("data", {}) for output in outputs_of(book))
    assert 4 <= sum(cell.cell_type == "code" for cell in book.cells) <= 9


@pytest.mark.parametrize("name", NAMES)
def test_small_and_without_traces_of_a_machine(name: str) -> None:
    raw = (FOLDER / f"{name}.ipynb").read_text("utf-8")
    assert len(raw) < _MOST_BYTES
    for trace in ("/home/", "/tmp", "/usr/", "/Users/", "/work/", "site-packages", "0x7f"):
        told = re.sub(r'"image/png": "[^"]*"', "", raw)
        assert trace not in told


def test_links_lead_to_files_and_every_notebook_is_listed() -> None:
    pages = {FOLDER / "README.md": (FOLDER / "README.md").read_text("utf-8")}
    for name in NAMES:
        cells = [cell.source for cell in read(name).cells if cell.cell_type == "markdown"]
        pages[FOLDER / f"{name}.ipynb"] = "\n".join(cells)
    for page, text in pages.items():
        for target in re.findall(r"\]\(([^)#\s]+)", text):
            assert "://" in target or (page.parent / target).exists(), f"{page.name}: {target}"
    listed = (FOLDER.parent / "docs" / "notebooks.md").read_text("utf-8")
    for name in NAMES:
        assert f"]({name}.ipynb)" in pages[FOLDER / "README.md"]
        assert f"/{name}.ipynb)" in listed


def test_the_log_is_what_its_script_writes(tmp_path: Path) -> None:
    script = tmp_path / "make_log.py"
    script.write_text((FOLDER / "data" / "make_log.py").read_text("utf-8"), encoding="utf-8")
    names = {"__name__": "__main__", "__file__": str(script)}
    exec(compile(script.read_text("utf-8"), str(script), "exec"), names)
    made = (tmp_path / "gateway.jsonl").read_bytes()
    assert made == (FOLDER / "data" / "gateway.jsonl").read_bytes()
