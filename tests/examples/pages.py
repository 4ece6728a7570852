"""The commands that the documentation shows, and what it says that they print.

A fenced block with a line that begins with ``agentsim`` is commands; ``$`` may stand before them. A
block of plain text that follows, with at most a paragraph between, is their output; a line ``...``
in it stands for lines that are left out. Blocks of a page run in order in one folder, which has the
files of `material`. ``<!-- not run: REASON -->`` before a block says why it is not.

``PYTHONPATH=sim:tests python tests/examples/pages.py`` writes the true output into the pages.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tempfile
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path

from click.testing import CliRunner

from agentsim.cli import command

ROOT = Path(__file__).parents[2]
PAGES = (ROOT / "README.md", ROOT / "traces" / "README.md", *sorted(ROOT.glob("docs/**/*.md")))

_FENCE = re.compile(
    r"(?P<mark><!-- not run: (?P<reason>[^>]+?) -->\s*)?"
    r"^```(?P<kind>[\w-]*)[^\n]*\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
#: What a shell block may begin a line with.
_PROGRAMS = (
    "agentsim",
    ".venv/bin/agentsim",
    "python",
    "python3",
    "pip",
    "curl",
    "vllm",
    "mkdocs",
    "eval",
    ".ci/run",
)
_SHELLS = ("", "sh", "bash", "console")
_OUTPUTS = ("", "text", "json", "toml", "bash")
#: What `.ci/run` does before and by these tests; test_readme.py compares.
_BY_CI = (["python3", "-m", "venv"], ["python", "-m", "pytest"])
#: Options that write a file; of others what is printed is the same each time.
_WRITES = {"-o", "--out", ">", "--plot", "--report", "--timeline"}
#: Commands that read only what stands in the repository: they print the same each time.
_PRINTED: dict[tuple[str, ...], str] = {}


@dataclass(frozen=True, slots=True)
class Block:
    """Commands of a page, and the text shown as their output.

    Attributes
    ----------
    line : int
        Of the fence.
    commands : tuple of str
        One each, continuation lines joined.
    output : str or None
    start, span : int, tuple of int
        Where the block begins, and where its output stands in the page.
    reason : str or None
        Why the commands are not run.
    """

    line: int
    commands: tuple[str, ...]
    output: str | None
    start: int
    span: tuple[int, int]
    reason: str | None


def blocks_of(page: str) -> list[Block]:
    """The blocks of commands of a page, in order."""
    fences = list(_FENCE.finditer(page))
    found = []
    for place, fence in enumerate(fences):
        commands = _commands(fence)
        if not commands:
            continue
        after = fences[place + 1] if place + 1 < len(fences) else None
        shown = after is not None and _is_output(page[fence.end() : after.start()], after)
        found.append(
            Block(
                line=page[: fence.start()].count("\n") + 1,
                commands=commands,
                output=after["text"] if after and shown else None,
                start=fence.start(),
                span=after.span("text") if after and shown else (0, 0),
                reason=fence["reason"],
            )
        )
    return found


def inline_commands(page: str) -> list[str]:
    """Commands in backticks outside of blocks."""
    text = _FENCE.sub("", page)
    found = re.findall(r"`(agentsim [^`]+)`", text)
    return [" ".join(each.split()) for each in found]


def _commands(fence: re.Match[str]) -> tuple[str, ...]:
    if fence["kind"] not in _SHELLS:
        return ()
    lines = fence["text"].replace("\\\n", " ").splitlines()
    words = [line.removeprefix("$ ").strip() for line in lines]
    words = [line for line in words if line and not line.startswith("#")]
    if not words or words[0].split()[0] not in _PROGRAMS:
        return ()
    joined: list[str] = []
    for line in words:
        is_open = bool(joined) and joined[-1].count("'") % 2 == 1
        joined[-1:] = [f"{joined[-1]}\n{line}"] if is_open else [*joined[-1:], line]
    return tuple(joined)


def _is_output(between: str, after: re.Match[str]) -> bool:
    """Whether a fence is the output of the commands before it."""
    paragraphs = [part for part in between.split("\n\n") if part.strip()]
    is_near = len(paragraphs) <= 1 and not between.lstrip().startswith("#")
    is_plain = after["kind"] in _OUTPUTS and not after["mark"]
    return is_near and is_plain and not _commands(after)


def run(line: str) -> str:
    """What a command prints here; it must end well."""
    head, *redirected = re.split(r" > (?=\S+$)", line, maxsplit=1)
    printed = "".join(_run(part) for part in head.split(" && "))
    if not redirected:
        return printed
    place = Path(redirected[0])
    place.parent.mkdir(exist_ok=True)
    place.write_text(printed, encoding="utf-8")
    return ""


def _run(line: str) -> str:
    words = [os.path.expanduser(word) for word in shlex.split(line, comments=True)]
    words[0] = words[0].removeprefix(".venv/bin/")
    if words[:3] in _BY_CI or words[:2] == ["pip", "install"]:
        return ""
    if words[0] == "python":
        ran = subprocess.run([sys.executable, *words[1:]], stdout=subprocess.PIPE, check=True)
        return ran.stdout.decode()
    assert words[0] == "agentsim", f"{line}: not known here; mark the block 'not run: ...'"
    result = CliRunner().invoke(command, words[1:], prog_name="agentsim")
    assert result.exit_code == 0, f"{line}: {result.output}"
    return result.stdout


def run_once(line: str) -> str:
    """The same, remembered for commands that read nothing but shipped traces and write nothing."""
    words = tuple(shlex.split(line, comments=True))
    reads = [word for word in words if "." in word and Path(word).exists()]
    is_lasting = (
        words[0] == "agentsim"
        and not _WRITES & set(words)
        and not any(not word.startswith("traces/") for word in reads)
    )
    if not is_lasting:
        return run(line)
    if words not in _PRINTED:
        _PRINTED[words] = run(line)
    return _PRINTED[words]


def agrees(printed: str, shown: str) -> bool:
    """Whether the text shown is what was printed, but for lines left out at ``...``."""
    parts = re.split(r"^\.\.\.\n", shown, flags=re.MULTILINE)
    pattern = r"(?:.*\n)*?".join(map(re.escape, parts))
    return re.fullmatch(pattern, printed) is not None


def printed_by(block: Block) -> str:
    """What the commands of a block print, one after the other."""
    return "".join(run_once(line) for line in block.commands)


def rewritten(page: str) -> tuple[str, list[int]]:
    """The page with the true output, and the lines of blocks to be mended by hand.

    Those are the ones in which lines are left out, so that nobody but a person knows which.
    """
    by_hand = []
    done = [(block, printed_by(block)) for block in blocks_of(page) if block.reason is None]
    for block, printed in reversed(done):
        if block.output is None or agrees(printed, block.output):
            continue
        if "\n...\n" in f"\n{block.output}":
            by_hand.append(block.line)
            continue
        start, end = block.span
        page = page[:start] + printed + page[end:]
    return page, sorted(by_hand)


def _rewrite_all() -> None:
    from examples.material import write_material

    for path in PAGES:
        with tempfile.TemporaryDirectory() as folder, chdir(folder):
            write_material(Path(folder))
            os.environ["HOME"] = str(Path(folder) / "home")
            page = path.read_text("utf-8")
            new, by_hand = rewritten(page)
        if new != page:
            path.write_text(new, encoding="utf-8")
        for line in by_hand:
            print(f"{path.relative_to(ROOT)}:{line}: other output now; mend what is left out")


if __name__ == "__main__":
    _rewrite_all()
