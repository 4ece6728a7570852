"""The report of a sweep: `sweep_page` of its dataset."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from agentsim.report.durations import count
from agentsim.report.html.mark import Html, short
from agentsim.report.html.page import Page, Section, figure, page_name
from agentsim.report.html.plot import Plot, Point, across, key, upward
from agentsim.report.html.scales import Scale, around, from_zero
from agentsim.report.html.tables import Cell, table
from agentsim.report.html.trust import limits, value_text
from agentsim.study.figures import Figure
from agentsim.study.words import said

if TYPE_CHECKING:
    import pandas as pd

#: Rows of the table, and points of the drawing beside the front; the page says what it leaves out.
_ROWS, _POINTS = 200, 4000
#: Rows from which a table can be filtered.
_LONG = 10
#: Values so far apart are drawn on a logarithmic axis.
_WIDE = 20.0
_HIGH = 280.0

Row = Mapping[str, Any]


def sweep_page(
    frame: pd.DataFrame, figures: Sequence[Figure], subject: str, *, settings: Sequence[str]
) -> Page:
    """What to look at first in a sweep.

    Parameters
    ----------
    frame : DataFrame
        A row for each run: ``status`` (``ok``, or why not), ``reason``, the settings, and a column
        for each figure by its name.
    figures : sequence of Figure
        The first is what the runs are ordered by; with one of the others it makes the Pareto front.
    subject : str
        The sweep's file.
    settings : sequence of str
        Columns that vary.
    """
    by = figures[0]
    rows: list[Any] = frame[frame["status"] == "ok"].to_dict("records")
    done = [row for row in rows if _has(row, by)]
    done.sort(key=lambda row: (_worse(row, by), row.get("point", 0)))
    return Page(
        "sweep",
        page_name(subject),
        _headline(len(frame), done, by, settings),
        (),
        tuple(_sections(frame, done, figures, settings)),
    )


def _headline(runs: int, done: Sequence[Row], by: Figure, settings: Sequence[str]) -> str:
    if not done:
        return f"None of {count(runs, 'run')} has a figure {by.label}."
    best = done[0]
    heads = zip(_heads(settings), settings, strict=True)
    named = ", ".join(f"{head}={value_text(best[name])}" for head, name in heads)
    return (
        f"{by.label}: {said(best[by.name], by)} is the best of {count(len(done), 'run')}, "
        f"with {named}."
    )


def _sections(
    frame: pd.DataFrame, done: Sequence[Row], figures: Sequence[Figure], settings: Sequence[str]
) -> Iterator[Section]:
    other = _beside(figures)
    if other is not None:
        both = [row for row in done if _has(row, other)]
        if both:
            front = pareto(both, figures[0], other)
            listed = _listed(front, figures, settings, "Runs that no other beats in both")
            parts = (_scatter(both, front, figures[0], other), listed)
            about = _kept(len(both), _POINTS, "points")
            yield Section(f"{other.label} against {figures[0].label}", parts, about)
    listed = _listed(done[:_ROWS], figures, settings, f"Runs by {figures[0].label}")
    yield Section("Runs", (listed,), _kept(len(done), _ROWS, "rows"))
    lost = frame[frame["status"] != "ok"]
    if len(lost):
        why = Counter(zip(lost["status"], lost["reason"].fillna(""), strict=True))
        rows = [(status, short(reason, 400), f"{n:,}") for (status, reason), n in why.most_common()]
        listed = table(("status", "reason", "runs"), rows, caption="Runs without figures",
                       words=(0, 1), is_titled=False)  # fmt: skip
        yield Section("Without figures", (listed,))
    yield limits()


def _beside(figures: Sequence[Figure]) -> Figure | None:
    """What the first figure is drawn against: money, unless it is money itself; else the next."""
    by, *rest = figures
    money = [each for each in rest if each.unit.startswith("$") != by.unit.startswith("$")]
    return next(iter((*money, *rest)), None)


def pareto(rows: Sequence[Row], first: Figure, second: Figure) -> list[Row]:
    """The rows that none beats in both figures, best in the first one first."""
    ordered = sorted(rows, key=lambda row: (_worse(row, first), _worse(row, second)))
    front: list[Row] = []
    for row in ordered:
        if not front or _worse(row, second) < _worse(front[-1], second):
            front.append(row)
    return front


def _scatter(rows: Sequence[Row], front: Sequence[Row], x: Figure, y: Figure) -> Html:
    shown = [row for row in rows[:: -(-len(rows) // _POINTS)] if row not in front]
    every = [*shown, *front]
    across_, up = (_reach([row[each.name] for row in every]) for each in (x, y))
    plot = Plot(
        across(across_.low, across_.high, is_log=across_.is_log), upward(up, _HIGH), height=_HIGH
    )
    plot.axes(f"{x.label}, {x.unit}")
    points = [Point(row[x.name], row[y.name]) for row in front]
    plot.dots([Point(row[x.name], row[y.name]) for row in shown], 0)
    plot.curve(points, 1)
    plot.dots([p._replace(tip=f"{said(p.x, x)}, {said(p.y, y)}") for p in points], 1, shape=2)
    label = f"{len(rows):,} runs, {len(front)} of which no other beats in both"
    legend = key(("run", "not beaten"), shapes=(0, 2))
    return figure(f"{y.label} by {x.label}", plot.svg(label), unit=y.unit, legend=legend)


def _reach(values: Sequence[float]) -> Scale:
    low, high = min(values), max(values)
    if 0 < low < high / _WIDE:
        return around(low, high, 0, 1, is_log=True)
    return from_zero(high, 0, 1) if low >= 0 else around(low, high, 0, 1, is_log=False)


def _listed(
    rows: Sequence[Row], figures: Sequence[Figure], settings: Sequence[str], caption: str
) -> Html:
    heads = ("point", *_heads(settings), *(each.label for each in figures))
    cells = [
        (
            row.get("point", at),
            *(short(value_text(row[name])) for name in settings),
            *(
                Cell(said(row[each.name], each), row[each.name]) if _has(row, each) else Cell("-")
                for each in figures
            ),
        )
        for at, row in enumerate(rows)
    ]
    words = (0, *range(1, 1 + len(settings)))
    return table(heads, cells, caption=caption, words=words, is_sorted=True,
                 is_filtered=len(rows) > _LONG)  # fmt: skip


def _heads(settings: Sequence[str]) -> list[str]:
    """Names of settings; their last parts where no other has it."""
    last = [name.rpartition(".")[2] for name in settings]
    return [
        part if last.count(part) == 1 else name for part, name in zip(last, settings, strict=True)
    ]


def _kept(number: int, most: int, what: str) -> str:
    return f"{most:,} of {number:,} {what} are shown." if number > most else ""


def _has(row: Row, figure_: Figure) -> bool:
    value = row.get(figure_.name)
    return value is not None and not math.isnan(value)


def _worse(row: Row, figure_: Figure) -> float:
    """Less is better."""
    value = float(row[figure_.name])
    return value if figure_.better == "lower" else -value
