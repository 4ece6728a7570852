"""The report of a comparison: `compare_page`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from agentsim.machine.system import build_system
from agentsim.report.durations import significant
from agentsim.report.html.mark import Html, short, tag
from agentsim.report.html.page import Page, Section, page_name
from agentsim.report.html.page import figure as drawing
from agentsim.report.html.plot import RIGHT, WIDTH, Plot
from agentsim.report.html.scales import Scale, around
from agentsim.report.html.tables import Cell as Shown
from agentsim.report.html.tables import table
from agentsim.report.html.trust import assumptions, limits, value_text
from agentsim.study.compare import Cell, Comparison
from agentsim.study.compare_text import headline, scale_of
from agentsim.study.figures import Figure
from agentsim.study.words import said, short_name
from agentsim.uncertainty import LEVEL

#: Of a drawing: height of a row, room above and below the rows, room for the names.
_ROW, _ABOVE, _BELOW, _NAMES = 24.0, 8.0, 36.0, 120.0
#: Letters of a name beside its row.
_LETTERS = 18
#: Ratio of the largest to the least value from which an axis is logarithmic.
_WIDE = 8.0


def compare_page(comparison: Comparison, subject: str) -> Page:
    """Everything a report says of a comparison.

    Parameters
    ----------
    subject : str
        Where the trace comes from.
    """
    return Page(
        "compare",
        page_name(subject),
        ". ".join(part[:1].upper() + part[1:] for part in headline(comparison).split(". ")),
        (_figures(comparison), tag("p", _legend(comparison), class_="about")),
        tuple(_sections(comparison)),
    )


def _sections(comparison: Comparison) -> Iterator[Section]:
    drawn = tuple(dots(comparison, figure) for figure in comparison.figures)
    about = "A line through a point is its interval; a hollow point equals the best."
    yield Section("Figure by figure", drawn, about if comparison.samples else "", is_wide=False)
    names = [short(short_name(outcome.variant.name)) for outcome in comparison.outcomes]
    differing = comparison.settings()
    if differing:
        rows = [
            (name, *(short(value_text(value)) for value in values))
            for name, values in differing.items()
        ]
        words = range(len(names) + 1)
        listed = table(("setting", *names), rows, caption="Settings that differ", words=words,
                       is_titled=False)  # fmt: skip
        yield Section("What differs", (listed,))
    failed = [one for one in comparison.outcomes if one.failure]
    if failed:
        rows = [(short(short_name(one.variant.name)), one.failure or "") for one in failed]
        listed = table(("configuration", "why"), rows, caption="Configurations that cannot run",
                       words=(0, 1), is_titled=False)  # fmt: skip
        yield Section("Cannot run", (listed,))
    yield assumptions(_assumed(comparison))
    yield limits()


def _assumed(comparison: Comparison) -> list[dict[str, Any]]:
    """What each configuration rests on, once; what not all share, with whose it is."""
    found: dict[str, tuple[dict[str, Any], list[str]]] = {}
    able = [one.variant for one in comparison.outcomes if not one.failure]
    for variant in able:
        for made in build_system(variant.config, variant.assumptions).assumptions:
            found.setdefault(repr(made), (made, []))[1].append(short_name(variant.name))
    return [
        made
        if len(whose) == len(able)
        else {**made, "name": f"{made['name']} ({', '.join(whose)})"}
        for made, whose in found.values()
    ]


def _figures(comparison: Comparison) -> Html:
    """The table of all figures, the best and what equals it marked by words too."""
    columns = [(figure, comparison.column(figure)) for figure in comparison.figures]
    scales = [scale_of(figure, cells) for figure, cells in columns]
    heads = ["configuration"]
    for (figure, _), (unit, _) in zip(columns, scales, strict=True):
        heads.append(f"{figure.label}, {unit}" if unit else figure.label)
    rows = []
    for at, outcome in enumerate(comparison.outcomes):
        cells = [
            _shown(cells[at], factor)
            for (_, cells), (_, factor) in zip(columns, scales, strict=True)
        ]
        rows.append((tag("bdi", short(short_name(outcome.variant.name))), *cells))
    return table(heads, rows, caption="Figures of each configuration", is_titled=False)


def _shown(cell: Cell, factor: float) -> Shown:
    if cell.value is None:
        return Shown("-")
    word = "best" if cell.is_best else "equal" if cell.is_equal else None
    around_it = _ends(cell, factor)
    text = tag(
        "span",
        significant(cell.value * factor),
        tag("span", around_it, class_="band-text") if around_it else None,
        tag("span", word, class_="band-text good") if word else None,
    )
    return Shown(text, cell.value, "best" if cell.is_best else "")


def _ends(cell: Cell, factor: float) -> str:
    band = cell.interval
    if band is None or band.high <= band.low * 1.001:
        return ""
    return f"{significant(band.low * factor)} to {significant(band.high * factor)}"


def dots(comparison: Comparison, figure: Figure) -> Html:
    """One figure: a row for each configuration, its value and its interval."""
    cells = comparison.column(figure)
    names = [short_name(outcome.variant.name) for outcome in comparison.outcomes]
    unit, factor = scale_of(figure, cells)
    height = _ABOVE + _ROW * len(names) + _BELOW
    plot = Plot(_reach(cells, factor), Scale(0.0, 0.0, height - _BELOW, _ABOVE), height=height)
    plot.rows_axis(f"{figure.label}, {unit}" if unit else figure.label, _NAMES)
    words = []
    for at, (name, cell) in enumerate(zip(names, cells, strict=True)):
        y = _ABOVE + _ROW * (at + 0.5)
        plot.label(_NAMES - 8, y + 4, short(name, _LETTERS), "end", "name")
        if cell.value is None:
            plot.label(_NAMES + 4, y + 4, "cannot run")
            words.append(f"{name} cannot run")
            continue
        if cell.interval is not None:
            plot.span(cell.interval.low * factor, cell.interval.high * factor, y)
        text = said(cell.value, figure)
        kind = "best" if cell.is_best else "equal" if cell.is_equal else ""
        plot.dot_at(cell.value * factor, y, f"{name}: {text}", kind)
        words.append(f"{name} {text}{f', {kind}' if kind else ''}")
    better = f"{figure.better} is better"
    return drawing(figure.label, plot.svg(f"{figure.label}: {'; '.join(words)}"), unit=better)


def _reach(cells: Sequence[Cell], factor: float) -> Scale:
    ends = [
        end * factor
        for cell in cells
        if cell.value is not None
        for end in (cell.value, *((cell.interval.low, cell.interval.high) if cell.interval else ()))
    ]
    low, high = min(ends, default=0.0), max(ends, default=1.0)
    is_log = low > 0 and high / low > _WIDE
    if not is_log:
        low = min(low, 0.0)
    made = around(low, high, 0, 1, is_log=is_log)
    return Scale(made.low, made.high, _NAMES, WIDTH - RIGHT, is_log)


def _legend(comparison: Comparison) -> str:
    if not comparison.samples:
        return "No intervals were asked for (--samples N), so nothing is called equal."
    return (
        f"Below a value: its {LEVEL:.0%} interval, from {comparison.samples} sets of cost factors "
        "that all configurations share. Equal: not told from the best within the model's error."
    ).replace("%", " %")
