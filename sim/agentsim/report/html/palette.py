"""Colours of reports, for light and dark, and the patterns that repeat what they say.

The hues are those of Okabe and Ito, "Color Universal Design", 2008; those of lines are darker or
lighter, so that each stands 3:1 against its background.
"""

from __future__ import annotations

from typing import NamedTuple

from agentsim.report.html.mark import Html, tag

#: Name of a CSS variable -> its colour on light and on dark.
COLOURS: dict[str, tuple[str, str]] = {
    "page": ("#ffffff", "#14171a"),
    "raised": ("#f5f6f7", "#1d2125"),
    "text": ("#1a1d20", "#e8eaec"),
    "quiet": ("#5a6268", "#a3abb2"),
    "rule": ("#d9dde0", "#343a40"),
    "edge": ("#7a838a", "#8b949b"),
    "link": ("#005a9c", "#7cc0f5"),
    "line0": ("#0072b2", "#56b4e9"),
    "line1": ("#c04e00", "#f0924a"),
    "line2": ("#007a59", "#2fbf94"),
    "line3": ("#a3457d", "#d995bb"),
    "good": ("#00684b", "#3ccf9f"),
    "bad": ("#b03a00", "#f59a5c"),
    "front": ("#f0e442", "#e0d63f"),
    "queue": ("#e69f00", "#e69f00"),
    "prefill": ("#d55e00", "#e8772e"),
    "decode": ("#0072b2", "#3f9fd8"),
    "again": ("#cc79a7", "#cc79a7"),
    "overhead": ("#009e73", "#1fb387"),
    "tools": ("#56b4e9", "#8fd0f5"),
    "nobody": ("#ffffff", "#14171a"),
    "other": ("#bbbbbb", "#7c8287"),
}
#: Of `COLOURS`: text on `page` and `raised`, 4.5:1; and lines, 3:1.
TEXTS = ("text", "quiet", "link", "good", "bad")
LINES = ("line0", "line1", "line2", "line3", "edge")


class Look(NamedTuple):
    """How a phase or a cause is drawn: its name, its colour, the lines over it in a square of 8."""

    label: str
    colour: str
    hatch: str = ""


LOOKS = {
    "api": Look("front end", "front", "M0 4h2M4 4h2"),
    "queue": Look("queue", "queue", "M0 0L8 8"),
    "prefill": Look("prefill", "prefill", "M0 8L8 0"),
    "decode": Look("decode", "decode"),
    "recomputation": Look("recomputation", "again", "M0 0L8 8M0 8L8 0"),
    "overhead": Look("overhead", "overhead", "M0 2h8M0 6h8"),
    "tools": Look("tool waits", "tools", "M2 2h2v2h-2z"),
    "idle_tools": Look("idle, tool waits", "tools", "M2 2h2v2h-2z"),
    "idle_nobody": Look("idle, no agent", "nobody", "M4 0v8"),
    "idle_between_steps": Look("idle, other", "other", "M2 0v8M6 0v8"),
}


def stylesheet() -> str:
    """The variables of both themes; the system chooses, unless the reader does."""
    light, dark = (
        "".join(f"--{name}:{pair[at]};" for name, pair in COLOURS.items()) for at in (0, 1)
    )
    kinds = "".join(f".c-{name}{{fill:var(--{name})}}" for name in COLOURS)
    return (
        f":root{{color-scheme:light;{light}}}"
        f"@media screen and (prefers-color-scheme:dark){{"
        f":root:not([data-theme=light]){{color-scheme:dark;{dark}}}}}"
        f"@media screen{{:root[data-theme=dark]{{color-scheme:dark;{dark}}}}}{kinds}"
    )


def patterns() -> Html:
    """The fills ``url(#fill-NAME)`` of `LOOKS`, for all drawings of a page."""
    made = [
        tag(
            "pattern",
            tag("rect", width=8, height=8, class_=f"c-{look.colour}"),
            tag("path", d=look.hatch, class_="hatch") if look.hatch else None,
            id=f"fill-{name}", width=8, height=8, patternUnits="userSpaceOnUse",
        )
        for name, look in LOOKS.items()
    ]  # fmt: skip
    return tag("svg", tag("defs", *made), class_="defs", aria_hidden="true")


def swatch(name: str) -> Html:
    """A square that shows a look in a legend."""
    return tag(
        "svg",
        tag("rect", x=0.5, y=0.5, width=11, height=11, fill=f"url(#fill-{name})", class_="edged"),
        class_="swatch", viewBox="0 0 12 12", aria_hidden="true",
    )  # fmt: skip
