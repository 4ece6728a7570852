"""A report as one file: `Page` takes its sections, `write_page` writes it.

The file asks nobody for anything: its policy allows its own style and script, by their hashes, and
nothing else.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from agentsim.report.document import package_version
from agentsim.report.html.mark import Html, plain, tag
from agentsim.report.html.palette import patterns, stylesheet
from agentsim.report.target import check_file, whole_file

ENDINGS = (".html", ".htm")


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a page.

    Attributes
    ----------
    about : str
        A line below the title.
    is_wide : bool
        Its parts stand one below the other instead of side by side.
    """

    title: str
    parts: tuple[Html, ...]
    about: str = ""
    is_wide: bool = True


@dataclass(frozen=True, slots=True)
class Page:
    """What a report says.

    Attributes
    ----------
    kind : str
        Such as ``replay``.
    answer : str
        The headline: a sentence, and perhaps some more.
    above : tuple of Html
        What stands beside the answer: its key figures.
    """

    kind: str
    subject: str
    answer: str
    above: tuple[Html, ...]
    sections: tuple[Section, ...]


def check_report(name: str, *, force: bool) -> Path:
    """The file of ``--report``, if it can be written.

    Raises
    ------
    UserError
    """
    return check_file("--report", name, ENDINGS, force=force)


def write_page(page: Page, path: Path) -> None:
    """Write a report, whole or not at all.

    Raises
    ------
    UserError
        If the disk refuses.
    """
    with whole_file("--report", path) as half:
        half.write_text(page_text(page), encoding="utf-8", newline="\n")


def page_text(page: Page) -> str:
    """The file; equal pages give equal bytes."""
    style, scripts = stylesheet() + _own("page.css"), (_own("page.js"), _own("timeline.js"))
    title = f"agentsim {page.kind}: {page.subject}"
    names = [f"s{number}" for number in range(len(page.sections))]
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=_policy(style, scripts)),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="referrer", content="no-referrer"),
        tag("link", rel="icon", href="data:,"),
        tag("title", title),
        tag("style", Html(style)),
    )
    body = tag(
        "body",
        tag("a", "Skip to the answer", href="#answer", class_="skip"),
        patterns(),
        _top(page, names),
        tag("main", _answer(page), *map(_section, names, page.sections)),
        tag(
            "footer",
            f"agentsim {package_version()}. Every figure is simulated unless it says otherwise. "
            "This file is complete: it loads nothing and sends nothing.",
        ),
        *(tag("script", Html(script)) for script in scripts),
    )
    return f"<!doctype html>\n{tag('html', head, body, lang='en')}\n"


def _top(page: Page, names: Sequence[str]) -> Html:
    links = [
        tag("li", tag("a", section.title, href=f"#{name}"))
        for name, section in zip(names, page.sections, strict=True)
    ]
    return tag(
        "header",
        tag("p", tag("b", "agentsim"), f" {page.kind} ", tag("bdi", page.subject), class_="what"),
        tag("button", "Dark", type="button", id="theme", hidden=True),
        tag("nav", tag("ul", *links), aria_label="Sections"),
    )


def _answer(page: Page) -> Html:
    first, dot, rest = page.answer.partition(". ")
    lead = tag("p", rest, class_="lead") if rest else None
    return tag(
        "section", tag("h1", first + dot.strip()), lead, *page.above,
        id="answer", class_="answer", tabindex="-1",
    )  # fmt: skip


def _section(name: str, section: Section) -> Html:
    about = tag("p", section.about, class_="about") if section.about else None
    inside = tag("div", *section.parts, class_="stack" if section.is_wide else "grid")
    head = tag("h2", section.title, id=f"{name}-h")
    return tag("section", head, about, inside, id=name, aria_labelledby=f"{name}-h")


def _policy(style: str, scripts: Sequence[str]) -> str:
    allowed = " ".join(map(_hash, scripts))
    return (
        f"default-src 'none'; style-src {_hash(style)}; script-src {allowed}; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode("utf-8")).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def _own(name: str) -> str:
    return resources.files("agentsim.report.html").joinpath(name).read_text("utf-8")


def paragraph(*parts: object) -> Html:
    """A paragraph of text."""
    return tag("p", *parts)


def bullets(lines: Sequence[str]) -> Html:
    """A list of sentences."""
    return tag("ul", *(tag("li", line) for line in lines), class_="plain")


def card(label: str, value: str, *notes: str) -> Html:
    """A key figure: what it is, its value, and below it how sure it is and where it comes from."""
    return tag(
        "div",
        tag("dt", label),
        tag("dd", tag("span", value, class_="value"), *(tag("span", n) for n in notes if n)),
        class_="card",
    )


def cards(*made: Html) -> Html:
    """Key figures side by side."""
    return tag("dl", *made, class_="cards")


def folded(title: str, *parts: Html, is_printed: bool = True) -> Html:
    """What is shown on demand; in print too, unless it repeats a drawing."""
    kind = None if is_printed else "unprinted"
    return tag("details", tag("summary", title), *parts, class_=kind)


def figure(
    title: str, drawing: Html, *below: Html, unit: str = "", legend: Html | None = None
) -> Html:
    """A drawing with its title, and what repeats it in words."""
    head = tag("figcaption", tag("span", title, class_="title"), tag("span", unit, class_="unit"))
    return tag("figure", head, legend, drawing, *below)


def page_name(text: object) -> str:
    """The name of a file, as it stands at the head of a page."""
    return "standard input" if str(text) == "-" else Path(plain(text)).name
