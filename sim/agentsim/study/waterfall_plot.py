"""The waterfall of an `Explanation`: in a file (`draw_waterfall`), in a notebook (`waterfall`)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from agentsim.report.plots.page import sheet
from agentsim.report.plots.picture import Picture, picture
from agentsim.report.plots.style import BLUE, GREY, RED, WIDTHS, light_grid, plain_name
from agentsim.study.explanation import Explanation
from agentsim.study.waterfall import rows_of, scale_of, short

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_waterfall(found: Explanation, path: Path) -> None:
    """Draw the waterfall into a file; what raises the figure is hatched.

    Raises
    ------
    UserError
        If it cannot be written.
    """
    with sheet(path, _inches(found), "--plot") as figure:
        _paint(figure, found)


def waterfall(found: Explanation) -> Picture:
    """The same for a notebook."""
    return picture(lambda figure: _paint(figure, found), _inches(found))


def _inches(found: Explanation) -> tuple[float, float]:
    return WIDTHS["double"], 0.7 + 0.24 * len(list(rows_of(found)))


def _paint(figure: Figure, found: Explanation) -> None:
    scale, rows = scale_of(found), list(rows_of(found))
    factor = scale.factor
    axes = figure.subplots()
    reach = max(max(start, end) for _, start, end, _ in rows) * factor
    for place, (_, start, end, effect) in enumerate(rows):
        low, high = sorted((start * factor, end * factor))
        raises = effect is not None and effect.value > 0
        colour = GREY if effect is None else RED if raises else BLUE
        axes.barh(place, high - low, left=low, height=0.66, color=colour, edgecolor=colour,
                  linewidth=0.6)  # fmt: skip
        if raises:
            axes.barh(place, high - low, left=low, height=0.66, color="none",
                      edgecolor="white", hatch="////", linewidth=0)  # fmt: skip
        text = scale.amount(end) if effect is None else scale.change(effect.value)
        axes.annotate(text, (high, place), xytext=(3, 0), textcoords="offset points",
                      va="center_baseline")  # fmt: skip
        if place + 1 < len(rows):
            axes.plot([end * factor] * 2, [place, place + 1], color="#777777", linewidth=0.6,
                      zorder=0)  # fmt: skip
    labels = [plain_name(short(label, 40)) for label, *_ in rows]
    axes.set_yticks(range(len(rows)), labels)
    axes.invert_yaxis()
    axes.set_xlim(right=reach * 1.12)
    axes.set_xlabel(plain_name(scale.title))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.10g}")
    light_grid(axes, "x")
