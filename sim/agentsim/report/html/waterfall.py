"""A waterfall: from one value to another, and what each of several causes adds on the way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from agentsim.report.html.mark import Html, short, tag
from agentsim.report.html.page import figure
from agentsim.report.html.plot import RIGHT, WIDTH, Plot
from agentsim.report.html.scales import Scale
from agentsim.report.html.tables import Cell, table

_ROW, _ABOVE, _BELOW, _NAMES = 26.0, 8.0, 40.0, 136.0
_LETTERS = 20
#: Of a row, how much its bar fills.
_BAR = 0.62


class Cause(NamedTuple):
    """A row: what it adds to the value; its error, where it has one; more in words."""

    label: str
    value: float
    error: float | None = None
    about: str = ""


#: Label, from where to where, and the cause; none for the two ends.
Bar = tuple[str, float, float, Cause | None]


def waterfall(
    title: str,
    first: tuple[str, float],
    causes: Sequence[Cause],
    last: tuple[str, float],
    *,
    unit: str,
    write: Callable[[float], str],
) -> tuple[Html, Html]:
    """The drawing, and the same as a table.

    Parameters
    ----------
    first, last : tuple
        Name and value of both ends; the causes add up to their difference.
    write : callable
        How a value is written, without its sign.
    """
    at = first[1]
    bars: list[Bar] = [(first[0], 0.0, at, None)]
    for cause in causes:
        bars.append((cause.label, at, at + cause.value, cause))
        at += cause.value
    bars.append((last[0], 0.0, last[1], None))
    ends = [end for _, start, stop, _ in bars for end in (start, stop)]
    low, high = min(0.0, *ends), max(0.0, *ends) * 1.02 or 1.0
    height = _ABOVE + _ROW * len(bars) + _BELOW
    plot = Plot(Scale(low, high, _NAMES, WIDTH - RIGHT), Scale(0, 0, height - _BELOW, _ABOVE),
                height=height)  # fmt: skip
    plot.rows_axis(f"{title}, {unit}", _NAMES)
    for row, (label, start, stop, made) in enumerate(bars):
        y = _ABOVE + _ROW * (row + 0.5)
        plot.label(_NAMES - 8, y + 4, short(label, _LETTERS), "end", "name")
        kind = "whole" if made is None else "fall" if made.value < 0 else "rise"
        plot.bar(start, stop, y, _ROW * _BAR, kind)
    said = "; ".join(_told(label, cause, stop, write) for label, _, stop, cause in bars)
    drawn = figure(
        title, plot.svg(f"{title}. {said}"), unit="from one to the other, cause by cause"
    )
    return drawn, _table(title, bars, unit, write)


def _told(label: str, cause: Cause | None, stop: float, write: Callable[[float], str]) -> str:
    return f"{label} {write(stop) if cause is None else _signed(cause.value, write)}"


def _signed(value: float, write: Callable[[float], str]) -> str:
    sign = "\u2212" if value < 0 else "+"
    return f"{sign}{write(abs(value))}" if value else "0"


def _table(
    title: str,
    bars: Sequence[Bar],
    unit: str,
    write: Callable[[float], str],
) -> Html:
    causes = [cause for *_, cause in bars if cause is not None]
    has_error = any(cause.error for cause in causes)
    has_words = any(cause.about for cause in causes)
    heads = [
        "cause",
        unit,
        *(["standard error"] if has_error else []),
        *(["least to most"] if has_words else []),
    ]
    rows = []
    for label, _, stop, cause in bars:
        row: list[object] = [tag("bdi", short(label))]
        row.append(Cell(write(stop) if cause is None else _signed(cause.value, write)))
        if has_error:
            row.append(write(cause.error) if cause is not None and cause.error is not None else "-")
        if has_words:
            row.append(cause.about if cause is not None else "")
        rows.append(row)
    return table(heads, rows, caption=title, is_titled=False)
