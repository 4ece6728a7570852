"""Panels over time that the figures of cache, batch and tokens share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from agentsim.report.metrics import FloatArray
from agentsim.report.plots.style import LINES, light_grid, time_unit
from agentsim.report.series import Series

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import FigureBase


def panels(figure: FigureBase, series: Series, number: int) -> npt.NDArray[np.object_]:
    """Axes one above the other with one axis of time."""
    made: npt.NDArray[np.object_] = figure.subplots(number, 1, sharex=True, squeeze=False)[:, 0]
    unit_s, unit = time_unit(series.span_ns / 1e9)
    for axes in made:
        axes.set_xlim(0, series.edges_s[-1] / unit_s)
        light_grid(axes)
    made[-1].set_xlabel(f"time, {unit} ({series.about})")
    figure.align_ylabels(list(made))
    return made


def line(axes: Axes, series: Series, values: FloatArray, place: int, label: str) -> None:
    """One value for each stretch, as steps; gaps where it is not a number."""
    colour, dashes = LINES[place % len(LINES)]
    unit_s, _ = time_unit(series.span_ns / 1e9)
    edges = series.edges_s / unit_s
    axes.step(
        edges, np.append(values, values[-1:]), where="post", color=colour, ls=dashes, label=label
    )


def lines_of_replicas(axes: Axes, series: Series, values: FloatArray, label: str) -> None:
    """A line for each replica; of many, their mean and between which values they lie.

    Parameters
    ----------
    values : ndarray of float64, shape (num_replicas, num_bins)
    """
    if len(values) <= len(LINES):
        for place, (replica, row) in enumerate(zip(series.replicas, values, strict=True)):
            line(axes, series, row, place, f"replica {replica}" if len(values) > 1 else label)
        return
    unit_s, _ = time_unit(series.span_ns / 1e9)
    line(axes, series, values.mean(axis=0), 0, f"mean of {len(values)} replicas")
    low, high = (np.append(edge, edge[-1:]) for edge in (values.min(axis=0), values.max(axis=0)))
    axes.fill_between(
        series.edges_s / unit_s, low, high, step="post", color=LINES[0][0], alpha=0.25, lw=0,
        label="least to most",
    )  # fmt: skip


def name_lines(axes: Axes, columns: int = 2) -> None:
    """A legend above the panel, out of the way of the lines."""
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=columns, borderaxespad=0.1)
