"""A comparison on the screen: the answer in a sentence, then a table of 80 columns."""

from __future__ import annotations

import math
from textwrap import fill
from typing import TYPE_CHECKING

from agentsim.report.durations import significant
from agentsim.report.layout import WIDTH, on_screen
from agentsim.study.compare import Cell, Comparison
from agentsim.study.figures import Figure
from agentsim.study.words import listed, said, short_name
from agentsim.uncertainty import LEVEL

if TYPE_CHECKING:
    from rich.table import Table

BEST, EQUAL = "*", "="
#: Columns of the configurations' names at least; what is longer goes on in the next line.
_NAME = 18
#: (unit, values up to which the next one reads better, its name, how many of it one has)
_SCALES = {
    "s": ((1.0, "ms", 1e3), (1e5, "s", 1.0), (math.inf, "h", 1 / 3600)),
    "kWh": ((1.0, "Wh", 1e3), (math.inf, "kWh", 1.0)),
    "share": ((math.inf, "%", 100.0),),
}


def comparison_text(comparison: Comparison, *, colour: bool = False) -> str:
    """The comparison as lines of at most 80 columns."""
    parts = [_filled(headline(comparison)), "", on_screen(_table(comparison), colour=colour)]
    failed = [one for one in comparison.outcomes if one.failure]
    parts += [_filled(f"{one.variant.name}: cannot run: {one.failure}") for one in failed]
    if failed:
        parts.append("")
    parts += [_filled(f"Note: {note}.") for note in comparison_notes(comparison)]
    parts.append(_filled(_legend(comparison)))
    return "\n".join(parts) + "\n"


def comparison_notes(comparison: Comparison) -> list[str]:
    """What runs left out or changed: of all alike, or of some by name."""
    found: dict[str, list[str]] = {}
    ran = [outcome for outcome in comparison.outcomes if not outcome.failure]
    for outcome in ran:
        for note, number in sorted(outcome.notes.items()):
            found.setdefault(f"{note}: {number:,}", []).append(short_name(outcome.variant.name))
    return [
        note if len(names) == len(ran) else f"{note} ({listed(names)})"
        for note, names in found.items()
    ]


def headline(comparison: Comparison) -> str:
    """Who is best in the first figure and in what the run costs, who equals it, and the gap."""
    first = comparison.figures[0]
    said = [_best(comparison, first)]
    cost = next((figure for figure in comparison.figures if figure.unit == "$"), None)
    if cost is not None and cost is not first:
        said.append(_best(comparison, cost))
    return " ".join(text for text in said if text)


def _best(comparison: Comparison, figure: Figure) -> str:
    cells = comparison.column(figure)
    names = [short_name(outcome.variant.name) for outcome in comparison.outcomes]
    best = [name for name, cell in zip(names, cells, strict=True) if cell.is_best]
    if not best:
        return ""
    equal = [name for name, cell in zip(names, cells, strict=True) if cell.is_equal]
    known = [cell.value for cell in cells if cell.value is not None]
    top = next(cell.value for cell in cells if cell.is_best)
    assert top is not None
    text = f"{figure.label}: {listed(best)} {_are(best)} best with {said(top, figure)}"
    if equal:
        text += f"; {listed(equal)} {_are(equal)} equal within the model's error"
    low, high = min(known), max(known)
    worst = high if figure.better == "lower" else low
    last = [cell.value for cell in cells].index(worst)
    if low > 0 and high / low >= 1.005 and not cells[last].is_equal:
        name = names[last]
        text += f"; {name} has {said(worst, figure)}, {significant(high / low)} times"
        text += " as much" if figure.better == "lower" else " less"
    return f"{text}."


def _are(names: list[str]) -> str:
    return "is" if len(names) == 1 else "are"


def _table(comparison: Comparison) -> Table:
    from rich.table import Table

    names = [short_name(outcome.variant.name) for outcome in comparison.outcomes]
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold")
    longest = max(len(word) for name in names for word in name.split())
    table.add_column("", overflow="fold", min_width=min(_NAME, longest))
    columns = []
    for figure in comparison.figures:
        cells = comparison.column(figure)
        unit, factor = scale_of(figure, cells)
        table.add_column(f"{figure.label}\n{unit}", justify="right", overflow="fold")
        columns.append([_shown(cell, factor) for cell in cells])
    for at in range(len(names)):
        table.add_row(names[at], *(column[at][0] for column in columns))
        if any(column[at][1] for column in columns):
            table.add_row("", *(column[at][1] for column in columns), style="dim")
    return table


def scale_of(figure: Figure, cells: tuple[Cell, ...]) -> tuple[str, float]:
    """The unit in which all values of a column read well, and how many of it one has."""
    largest = max((abs(cell.value) for cell in cells if cell.value is not None), default=0.0)
    for most, unit, factor in _SCALES.get(figure.unit, ()):
        if largest < most:
            return unit, factor
    return figure.unit, 1.0


def _shown(cell: Cell, factor: float) -> tuple[str, str]:
    """The value with its mark, and below it half the width of its interval."""
    if cell.value is None:
        return "- ", ""
    mark = BEST if cell.is_best else EQUAL if cell.is_equal else " "
    below = ""
    if cell.interval is not None and cell.interval.high > cell.interval.low:
        half = math.sqrt(cell.interval.high / cell.interval.low) - 1
        below = f"±{100 * half:.0f} % " if half >= 0.005 else ""
    value = cell.value * factor
    shown = f"{value:.3g}" if 0 < value < 0.1 else significant(value)
    return f"{shown}{mark}", below


def _legend(comparison: Comparison) -> str:
    text = f"{BEST} best in its column"
    if not comparison.samples:
        return f"{text}. No intervals were asked for, so nothing is called equal (--samples N)."
    return (
        f"{text}; {EQUAL} equal to it within the model's error. ± half the {LEVEL:.0%} interval, "
        f"from {comparison.samples} sets of cost factors that all configurations share."
    ).replace("%", " %")


def _filled(text: str) -> str:
    return fill(text, WIDTH, break_on_hyphens=False)
