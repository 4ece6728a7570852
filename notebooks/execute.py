"""Run the notebooks of this folder: `python notebooks/execute.py [NAME...]`. Needs '.[notebooks]'.

Writes their outputs into them, the same bytes each time on one machine: no times, no paths. A
solution is a markdown cell with a ``python`` block, folded away, and a ``text`` block of what it
prints; both are run and written as if they were cells.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell

FOLDER = Path(__file__).parent
NAMES = sorted(path.stem for path in FOLDER.glob("*.ipynb"))

_SOLUTION = re.compile(r"```python\n(?P<code>.*?)```\n(\n```text\n(?P<text>.*?)```\n)?", re.DOTALL)
#: What a cell and a notebook keep beside their content.
_KERNEL = {"name": "python3", "display_name": "Python 3", "language": "python"}


def read(name: str) -> NotebookNode:
    """A notebook as it is stored."""
    return nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)


def executed(stored: NotebookNode) -> NotebookNode:
    """The notebook with its outputs, solutions too.

    Raises
    ------
    nbclient.exceptions.CellExecutionError
        If a cell fails.
    """
    book = nbformat.from_dict(stored)
    book.metadata = {"kernelspec": _KERNEL, "language_info": {"name": "python"}}
    book.cells = [part for cell in book.cells for part in (cell, *_runnable(cell))]
    client = NotebookClient(book, timeout=120, record_timing=False, kernel_name="python3",
                            extra_arguments=["--log-level=ERROR"],
                            resources={"metadata": {"path": str(FOLDER)}})  # fmt: skip
    client.execute()
    _settle(book)
    return book


def solution(cell: NotebookNode) -> str | None:
    """The code in a solution, if the cell is one that has some."""
    found = _SOLUTION.search(cell.source) if "solution" in cell.metadata.get("tags", ()) else None
    return found["code"] if found else None


def texts(book: NotebookNode) -> list[str]:
    """What is told of a notebook in text: sources, printed lines, values; of figures their size."""
    found = []
    for cell in book.cells:
        found.append(cell.source)
        for output in cell.get("outputs", ()):
            found.append(output.get("text") or output.get("data", {}).get("text/plain", ""))
    return found


def _runnable(cell: NotebookNode) -> list[NotebookNode]:
    code = solution(cell)
    return [] if code is None else [new_code_cell(code, metadata={"tags": ["of solution"]})]


def _settle(book: NotebookNode) -> None:
    """Put what solutions print into them, and number the cells that stay."""
    kept: list[NotebookNode] = []
    for cell in book.cells:
        if "of solution" in cell.metadata.get("tags", ()):
            printed = "".join(output.get("text", "") for output in cell.outputs)
            block = f"```python\n{cell.source}```\n\n```text\n{printed}```\n"
            kept[-1].source = _SOLUTION.sub(lambda _, block=block: block, kept[-1].source)
            continue
        kept.append(cell)
    for number, cell in enumerate((c for c in kept if c.cell_type == "code"), 1):
        cell.execution_count = number
        for output in cell.outputs:
            if "execution_count" in output:
                output.execution_count = number
    book.cells = kept


def main(names: list[str]) -> None:
    """Run notebooks and store them."""
    for name in names or NAMES:
        nbformat.write(executed(read(name)), FOLDER / f"{name}.ipynb")
        print(f"{name}: {(FOLDER / f'{name}.ipynb').stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main(sys.argv[1:])
