"""Cumulative prompt tokens of a session by turn, with and without the prefix cache."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentsim.domain.records import Run
from agentsim.report.metrics import PartsOf
from agentsim.report.plots.style import BLUE, RED, light_grid, plain_name
from agentsim.report.prefill import prefill_curves

if TYPE_CHECKING:
    from matplotlib.figure import FigureBase


def draw_prefill(figure: FigureBase, run: Run, parts_of: PartsOf | None, *, is_wide: bool) -> None:
    """The session with the most calls: all prompts whole, and what this run computed."""
    from matplotlib.ticker import MaxNLocator

    curves = prefill_curves(run)
    axes = figure.subplots()
    axes.plot(curves.turns, curves.whole / 1e3, color=RED, lw=2)
    axes.plot(curves.turns, curves.computed / 1e3, color=BLUE, lw=2, ls="--")
    labels = [
        (curves.whole, "every prompt whole", RED),
        (curves.computed, "computed in this run", BLUE),
    ]
    if curves.computed[-1] > 0.95 * curves.whole[-1]:
        labels = [(curves.whole, "every prompt whole, as computed in this run", BLUE)]
    for values, text, colour in labels:
        axes.annotate(
            text, (curves.turns[-1], values[-1] / 1e3), xytext=(-6, 6), color=colour,
            textcoords="offset points", ha="right", va="bottom",
        )  # fmt: skip
    axes.set_xlabel(f"turns of session {plain_name(curves.session)}")
    axes.set_ylabel("prompt tokens prefilled, thousands" if is_wide else "prefilled, k tokens")
    axes.set_ylim(0, float(curves.whole[-1]) / 1e3 * 1.12)
    axes.set_xlim(left=1)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    light_grid(axes)
