"""Distributions of the latencies: what share of the calls is as fast as that."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from agentsim.domain.records import Run
from agentsim.report.metrics import METRICS, PartsOf, Sample
from agentsim.report.plots.style import BLUE, ORANGE, PURPLE, RED, light_grid

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import FigureBase

_SHOWN = (
    ("ttft", "time to first token"),
    ("tpot", "time per output token"),
    ("e2e", "end to end"),
)
_MARKS = ((0.5, "p50", "o", ORANGE), (0.9, "p90", "s", RED), (0.99, "p99", "^", PURPLE))
#: Points of a curve, at most.
_POINTS = 1000


def draw_latency(figure: FigureBase, run: Run, parts_of: PartsOf | None, *, is_wide: bool) -> None:
    """A panel each for TTFT, TPOT and E2E, with three quantiles."""
    shape = (1, 3) if is_wide else (3, 1)
    panels = figure.subplots(*shape, sharey=True).ravel()
    for axes, (name, words) in zip(panels, _SHOWN, strict=True):
        _curve(axes, METRICS[name].sample(run), f"{name.upper()}, {words}")
    for axes in panels[:1] if is_wide else panels:
        axes.set_ylabel("share of calls")


def _curve(axes: Axes, sample: Sample, name: str) -> None:
    quantiles = sample.quantiles(tuple(share for share, *_ in _MARKS))
    if not sample.count or quantiles[0] is None:
        axes.set_xlabel(f"{name} (no call has one)")
        return
    unit, factor = ("ms", 1e3) if quantiles[0] < 0.2 else ("s", 1.0)
    order = np.argsort(sample.values, kind="stable")
    values, shares = sample.values[order] * factor, np.cumsum(sample.weights[order])
    kept = np.unique(np.linspace(0, len(values) - 1, min(_POINTS, len(values))).astype(int))
    values, shares = values[kept], shares[kept] / sample.count
    axes.step([values[0], *values], [0.0, *shares], where="post", color=BLUE)
    for (share, label, marker, colour), at in zip(_MARKS, quantiles, strict=True):
        assert at is not None
        text = f"{label} {at * factor:.3g} {unit}"
        axes.plot(at * factor, share, marker, color=colour, ms=4, mec="black", mew=0.4, label=text)
    if values[0] > 0 and values[-1] / values[0] > 20:
        _log_axis(axes, float(values[-1] / values[0]))
    axes.set_xlabel(f"{name}, {unit}")
    axes.set_ylim(0, 1.03)
    light_grid(axes, "both")
    axes.legend(loc="best", handletextpad=0.2, handlelength=1)


def _log_axis(axes: Axes, ratio: float) -> None:
    """Logarithmic, with plain numbers: enough of them over few decades, not too many over more."""
    from matplotlib.ticker import LogLocator, NullLocator

    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0,) if ratio > 300 else (1.0, 3.0)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
