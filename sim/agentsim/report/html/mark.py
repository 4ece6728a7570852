"""HTML that cannot be broken by what it shows: `tag` escapes every text that is not `Html`.

Nothing else in the package makes markup out of text.
"""

from __future__ import annotations

import json
import re
from html import escape
from typing import Any

#: Elements without an end tag.
_VOID = {"br", "input", "link", "meta"}
#: Characters that are no text: controls, halves of pairs, and what turns the direction of reading.
_HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]"
)
#: Characters of a name that are shown.
_LONGEST = 96


class Html(str):
    """Text that is markup already."""

    __slots__ = ()


def plain(text: object) -> str:
    """A text whose characters can all be seen; others become U+FFFD.

    Examples
    --------
    >>> plain("a" + chr(0x202E) + "b" + chr(0)) == "a" + chr(0xFFFD) + "b" + chr(0xFFFD)
    True
    """
    return _HIDDEN.sub("\ufffd", str(text))


def short(text: object, most: int = _LONGEST) -> str:
    """A name from outside, its middle left out if it is long."""
    name = plain(text)
    half = most // 2
    return name if len(name) <= most else f"{name[:half]} ... {name[-half:]}"


def tag(name: str, /, *parts: object, **attributes: object) -> Html:
    """An element.

    Parameters
    ----------
    *parts
        `Html` as it is, any other text escaped; None is left out.
    **attributes
        ``class_`` is ``class``, ``aria_label`` is ``aria-label``; None is left out, True has no
        value.

    Examples
    --------
    >>> tag("p", "a < b", class_="x")
    '<p class="x">a &lt; b</p>'
    """
    told = "".join(
        f" {_attribute(key)}" if value is True else f' {_attribute(key)}="{escape(plain(value))}"'
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    if name in _VOID:
        return Html(f"<{name}{told}>")
    return Html(f"<{name}{told}>{join(*parts)}</{name}>")


def join(*parts: object) -> Html:
    """Parts one after the other, escaped as in `tag`."""
    return Html("".join(_inside(part) for part in parts if part is not None))


def _inside(part: object) -> str:
    return part if isinstance(part, Html) else escape(plain(part), quote=False)


def _attribute(key: str) -> str:
    return key.rstrip("_").replace("_", "-")


def data(identity: str, content: Any) -> Html:
    """Plain data for a script, in an element that no text in it can end."""
    text = json.dumps(content, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    for letter in "<>&":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    return Html(f'<script type="application/json" id="{escape(identity)}">{text}</script>')
