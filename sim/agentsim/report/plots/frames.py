"""Figures of tables, for notebooks: `lines` over a setting, `stacked` bars, `ranges` of intervals.

The tables are those of `Comparison.frame`, `Capacity.frame`, `Validation.frame` and the like: a
column ``x`` has its interval in ``x_low`` and ``x_high``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from agentsim.report.plots.picture import Picture, picture
from agentsim.report.plots.style import (
    BLUE,
    GREEN,
    GREY,
    LINES,
    ORANGE,
    PURPLE,
    RED,
    SKY,
    WIDTHS,
    light_grid,
    plain_name,
)

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MARKERS = "os^D"
#: Of the parts of a bar, in their order; the last for what is not used.
_PARTS = (
    (BLUE, ""), (GREEN, "----"), (PURPLE, "xxxx"), (ORANGE, ""), (RED, "////"), (SKY, "...."),
    (GREY, ""),
)  # fmt: skip


def lines(
    frame: pd.DataFrame,
    x: str,
    panels: Mapping[str, str],
    *,
    x_label: str,
    by: str | None = None,
    log_x: bool = False,
) -> Picture:
    """Columns of a table over another one, a panel for each column, with intervals as bands.

    Parameters
    ----------
    panels : mapping of str to str
        Column -> label of its axis, from the left.
    by : str or None
        Column that tells the lines of a panel apart, at most four.
    log_x : bool
        Whether `x` is on a logarithmic axis; all its values are ticks then.
    """
    groups = [rows for _, rows in frame.groupby(by, sort=False)] if by else [frame]

    def paint(figure: Figure) -> None:
        all_axes = figure.subplots(1, len(panels), squeeze=False)[0]
        for axes, (column, label) in zip(all_axes, panels.items(), strict=True):
            for place, rows in enumerate(groups):
                _line(axes, rows, x, column, place)
            axes.set_ylabel(label)
            axes.set_ylim(bottom=min(0.0, float(frame[column].min()) * 1.05))
            axes.set_xlabel(x_label)
            axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.10g}")
            light_grid(axes, "both")
            if log_x:
                ticks = sorted(set(frame[x]))
                axes.set_xscale("log")
                axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
                axes.minorticks_off()
        if by:
            labels = [plain_name(f"{by} = {rows[by].iloc[0]}") for rows in groups]
            figure.legend(all_axes[0].lines, labels, loc="outside upper center", ncols=len(groups))

    return picture(paint, (WIDTHS["double"], 2.6))


def _line(axes: Axes, rows: pd.DataFrame, x: str, column: str, place: int) -> None:
    """The line of one group, and its band; the legend has the name from elsewhere."""
    colour, dashes = LINES[place]
    axes.plot(rows[x], rows[column], color=colour, ls=dashes, marker=_MARKERS[place], ms=4)
    if f"{column}_low" in rows:
        low, high = rows[f"{column}_low"], rows[f"{column}_high"]
        axes.fill_between(rows[x], low, high, color=colour, alpha=0.2, lw=0)


def stacked(
    frame: pd.DataFrame, *, x_label: str, limit: tuple[float, str] | None = None
) -> Picture:
    """A bar for each row, divided by column; the index names the bars.

    Parameters
    ----------
    limit : (float, str) or None
        Where a line stands, and what it is.
    """

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        left = 0.0 * frame.iloc[:, 0]
        for (name, values), (colour, hatch) in zip(frame.items(), _PARTS, strict=False):
            if values.any():
                axes.barh(range(len(frame)), values, left=left, height=0.62, color=colour,
                          hatch=hatch or None, edgecolor="white", linewidth=0.4,
                          label=plain_name(str(name)))  # fmt: skip
                left = left + values
        if limit is not None:
            axes.axvline(limit[0], color="black", lw=1, ls=(0, (3, 2)), label=limit[1])
        axes.set_yticks(range(len(frame)), [plain_name(str(name)) for name in frame.index])
        axes.tick_params(axis="y", length=0)
        axes.invert_yaxis()
        axes.set_xlabel(x_label)
        light_grid(axes, "x")
        handles, labels = axes.get_legend_handles_labels()
        order = sorted(range(len(labels)), key=lambda place: limit is not None and place == 0)
        figure.legend([handles[place] for place in order], [labels[place] for place in order],
                      loc="outside lower center", ncols=4)  # fmt: skip

    return picture(paint, (WIDTHS["double"], 1.3 + 0.32 * len(frame)))


def ranges(
    frame: pd.DataFrame, name: str, value: str, *, x_label: str, seen: str | None = None
) -> Picture:
    """A row for each row: a value with its interval, and beside it what was measured.

    Parameters
    ----------
    name : str
        Column that names the rows.
    seen : str or None
        Column of what was measured.
    """

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        places = range(len(frame))
        axes.hlines(places, frame[f"{value}_low"], frame[f"{value}_high"], color=BLUE, lw=5,
                    alpha=0.35, label="90 % interval")  # fmt: skip
        axes.plot(frame[value], places, "|", color=BLUE, ms=10, mew=1.6, label="predicted")
        if seen is not None:
            axes.plot(frame[seen], places, "D", color=RED, ms=4, label="measured")
        axes.set_yticks(places, [plain_name(str(text)) for text in frame[name]])
        axes.tick_params(axis="y", length=0)
        axes.set_ylim(len(frame) - 0.5, -0.5)
        axes.set_xlim(left=0)
        axes.set_xlabel(x_label)
        light_grid(axes, "x")
        figure.legend(loc="outside upper center", ncols=3)

    return picture(paint, (WIDTHS["double"], 1.1 + 0.24 * len(frame)))
