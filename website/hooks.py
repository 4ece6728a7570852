"""What mkdocs calls: adds the pages made from the program, and those that stand outside of docs/.

Start with `on_files`. Links between the files of the repository are kept true on the site; one to a
file that is not there stays as it is, and fails the strict build.
"""

from __future__ import annotations

import os.path
import re
from pathlib import Path
from typing import Any

import reference
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
#: Pages outside of docs/, which the site has under repository/.
OUTSIDE = (
    "CHANGELOG.md",
    "DESIGN.md",
    "examples/README.md",
    "traces/README.md",
    "tests/benchmarks/README.md",
    "tests/oracle/README.md",
)
_LINK = re.compile(r"\[(?P<text>[^\]]*)\]\((?P<target>[^)\s#]+)(?P<anchor>#[^)\s]*)?\)")


def on_files(files: Files, config: Any) -> Files:
    """Add the generated pages and schemas, and the pages outside of docs/."""
    for name, content in reference.pages().items():
        files.append(File.generated(config, name, content=content))
    for name in OUTSIDE:
        files.append(File.generated(config, f"repository/{name}", abs_src_path=str(ROOT / name)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Point links at where a file of the repository is on the site."""
    place = page.file.src_uri
    if place.startswith("reference/"):
        return markdown
    text = markdown.replace("<!-- public names -->", reference.public_names())
    return _LINK.sub(lambda link: _moved(link, place), text)


def _moved(link: re.Match[str], place: str) -> str:
    """A link of the page at `place` of the site; to what the site does not have: its text."""
    target = link["target"]
    if "://" in target:
        return link[0]
    here = place.removeprefix("repository/") if place in _placed() else f"docs/{place}"
    there = os.path.normpath(os.path.join(os.path.dirname(here), target))
    if there in OUTSIDE:
        new = f"repository/{there}"
    elif there.startswith("docs/"):
        new = there.removeprefix("docs/")
    else:
        return link["text"] if (ROOT / there).exists() else link[0]
    relative = os.path.relpath(new, os.path.dirname(place) or ".")
    return f"[{link['text']}]({relative}{link['anchor'] or ''})"


def _placed() -> set[str]:
    return {f"repository/{name}" for name in OUTSIDE}
