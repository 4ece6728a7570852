"""Tables of a report: aligned numbers, sorted and filtered by the reader where that helps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from agentsim.report.html.mark import Html, tag

#: Columns of text from which a row is a list where the window is narrow.
_WORDY = 3


class Cell(NamedTuple):
    """A cell that is sorted by something else than its text, or is marked."""

    text: object
    key: float | None = None
    mark: str = ""


def table(
    heads: Sequence[str],
    rows: Sequence[Sequence[object]],
    *,
    caption: str,
    words: Sequence[int] = (0,),
    is_sorted: bool = False,
    is_filtered: bool = False,
    is_titled: bool = True,
) -> Html:
    """A table whose first cells name their rows.

    Parameters
    ----------
    rows : sequence of sequences
        Texts, `Html` or `Cell`.
    caption : str
        What it holds; for those who hear it.
    words : sequence of int
        Columns of text; all others are numbers, to the right.
    is_sorted, is_filtered : bool
        The reader can sort it by a column, and see only the rows that hold a text.
    is_titled : bool
        The caption is to be seen; never within a figure or what is folded.
    """
    kinds = ["word" if at in words else "number" for at in range(len(heads))]
    head = tag(
        "tr",
        *(
            tag("th", text, scope="col", class_=kind)
            for text, kind in zip(heads, kinds, strict=True)
        ),
    )
    is_wordy = len(words) >= _WORDY
    named = heads if is_wordy else [None] * len(heads)
    body = (tag("tr", *map(_cell, range(len(row)), row, kinds, named)) for row in rows)
    return tag(
        "div",
        tag(
            "table", tag("caption", caption, class_=None if is_titled else "heard"),
            tag("thead", head), tag("tbody", *body),
            data_sort=is_sorted, data_filter=is_filtered, class_="wordy" if is_wordy else None,
        ),
        class_="scroll", tabindex="0", role="group", aria_label=caption,
    )  # fmt: skip


def _cell(at: int, cell: object, kind: str, head: str | None) -> Html:
    key, mark, text = None, "", cell
    if isinstance(cell, Cell):
        text, key, mark = cell
    return tag(
        "th" if at == 0 else "td",
        text,
        scope="row" if at == 0 else None,
        class_=f"{kind} {mark}".rstrip(),
        data_head=head,
        data_v=None if key is None else f"{key:.9g}",
    )
