"""Every command that README and docs show runs, and prints what they say."""

from __future__ import annotations

import doctest
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from agentsim.cli import command
from examples.material import filled, write_material
from examples.pages import PAGES, ROOT, agrees, blocks_of, inline_commands, printed_by, run

NAMES = [str(path.relative_to(ROOT)) for path in PAGES]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the files that the pages name; it is the home of whoever runs them, too."""
    write_material(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.usefixtures("folder")
def test_commands_print_what_the_page_shows(name: str) -> None:
    """Commands and Python run in order; `python tests/examples/pages.py` writes the true output."""
    page = (ROOT / name).read_text("utf-8")
    scope: dict[str, object] = {"__name__": name}
    found = [(block.start, block) for block in blocks_of(page)]
    for _, block in sorted([*found, *pythons_of(page)], key=lambda item: item[0]):
        if isinstance(block, str):
            run_python(block, scope, name)
        elif block.reason is None:
            printed = printed_by(block)
            if block.output is not None and not agrees(printed, block.output):
                assert printed == block.output, f"{name}:{block.line}"


def pythons_of(page: str) -> Iterator[tuple[int, str]]:
    for block in re.finditer(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL):
        yield block.start(), block[1]


def run_python(code: str, scope: dict[str, object], name: str) -> None:
    """In the page's namespace; with ``>>>`` the output is compared."""
    if ">>> " not in code:
        exec(compile(code, name, "exec"), scope)
        return
    test = doctest.DocTestParser().get_doctest(code, scope, name, name, 0)
    said: list[str] = []
    doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(
        test, out=said.append, clear_globs=False
    )
    scope.update(test.globs)
    assert not said, "".join(said)


@pytest.mark.parametrize("name", NAMES)
def test_commands_in_the_text_run(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With files in place of the words in capitals; a name alone is that of a command."""
    page = (ROOT / name).read_text("utf-8")
    install_policy(page, tmp_path, monkeypatch)
    for number, line in enumerate(dict.fromkeys(inline_commands(page))):
        words = line.split()
        if len(words) == 2:
            assert words[1] in command.commands or words[1].startswith("-"), line
            continue
        place = tmp_path / str(number)
        write_material(place)
        monkeypatch.chdir(place)
        monkeypatch.setenv("HOME", str(place / "home"))
        run(filled(line))


def install_policy(page: str, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the page's example of a plugin one that is installed."""
    offered = re.search(
        r'^\[project.entry-points."(agentsim.schedulers)"\]\n(.*"mypackage:.*")$',
        page,
        re.MULTILINE,
    )
    if offered is None:
        return
    code = "".join(code for _, code in pythons_of(page) if "def victim" in code)
    (place / "mypackage.py").write_text(code, encoding="utf-8")
    about = place / "mypackage-1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: mypackage\nVersion: 1\n")
    row = offered[2].replace('"', "")
    (about / "entry_points.txt").write_text(f"[{offered[1]}]\n{row}\n", encoding="utf-8")
    monkeypatch.syspath_prepend(str(place))


@pytest.mark.parametrize("name", NAMES)
def test_what_is_not_run_says_why(name: str) -> None:
    for block in blocks_of((ROOT / name).read_text("utf-8")):
        assert block.reason is None or len(block.reason.split()) >= 3, f"{name}:{block.line}"


def test_a_wrong_output_would_be_seen() -> None:
    assert agrees("a\nb\nc\n", "a\n...\nc\n")
    assert agrees("a\n", "a\n")
    assert not agrees("a\nb\n", "a\n")
    assert not agrees("a\nb\nc\n", "a\n...\nd\n")


def test_blocks_are_found_with_their_output() -> None:
    page = "```\nagentsim list gpus\n```\n\nprints\n\n```\nl4\n```\n\n```text\nother\n```\n"
    (block,) = blocks_of(page)
    assert (block.commands, block.output, block.line) == (("agentsim list gpus",), "l4\n", 1)
    marked = "<!-- not run: needs a GPU -->\n```sh\nvllm serve x \\\n  --y\n```\n"
    (block,) = blocks_of(marked)
    assert block.reason == "needs a GPU"
    assert block.commands == ("vllm serve x    --y",)
