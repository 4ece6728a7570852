"""Distributions of the latencies as curves with their quantiles, and as a table with intervals."""

from __future__ import annotations

import numpy as np

from agentsim.domain.records import Run
from agentsim.report.durations import significant, span, unit_for
from agentsim.report.figures import Interval, Quantiles, Summary
from agentsim.report.html.mark import Html, tag
from agentsim.report.html.page import figure
from agentsim.report.html.plot import Plot, Point, across, upward
from agentsim.report.html.scales import Scale, around, number
from agentsim.report.html.tables import Cell, table
from agentsim.report.metrics import METRICS, Sample

_CURVES = {
    "ttft": ("Time to first token", "TTFT"),
    "tpot": ("Time per output token", "TPOT"),
    "e2e": ("End to end", "E2E"),
    "session": ("Session", "session"),
}
_LABELS = {"ttft": "TTFT", "tpot": "TPOT", "itl": "ITL", "e2e": "E2E", "queue": "queue",
           "session": "session"}  # fmt: skip
_QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99}
#: Points of a curve at most.
_POINTS = 300


def latency_curves(run: Run) -> tuple[Html, ...]:
    """A curve for each latency that more than one call or session has."""
    samples = {name: METRICS[name].sample(run) for name in _CURVES}
    return tuple(
        _curve(*_CURVES[name], sample) for name, sample in samples.items() if sample.count > 1
    )


def _curve(title: str, short: str, sample: Sample) -> Html:
    quantiles = dict(zip(_QUANTILES, sample.quantiles(tuple(_QUANTILES.values())), strict=True))
    order = np.argsort(sample.values, kind="stable")
    unit, factor = unit_for(quantiles["p50"] or 1.0)
    values = sample.values[order] * factor
    shares = np.cumsum(sample.weights[order]) / sample.count * 100
    places = np.linspace(0, len(values) - 1, min(_POINTS, len(values))).round().astype(int)
    values, shares = values[places], shares[places]
    low, high = float(values[0]), float(values[-1])
    is_log = low > 0 and high / low > 20
    reach = around(low, high, 0, 1, is_log=is_log)
    plot = Plot(across(reach.low, reach.high, is_log=is_log), upward(Scale(0.0, 100.0, 0, 1)))
    plot.axes(f"{short}, {unit}{' (logarithmic)' if is_log else ''}", x_write=number)
    corners = [Point(low, 0.0)]
    for value, share in zip(values.tolist(), shares.tolist(), strict=True):
        corners += [Point(value, corners[-1].y), Point(value, share)]
    plot.curve(corners)
    said = []
    for kind, (name, at) in enumerate(quantiles.items()):
        assert at is not None
        text = f"{name} {significant(at * factor)} {unit}"
        share = 100 * _QUANTILES[name]
        plot.dots([Point(at * factor, share, text)], 1, shape=kind)
        x, y = plot.x.at(at * factor), plot.y.at(share)
        is_right = x > 300
        plot.label(x + (-9 if is_right else 9), y + (-3 if is_right else 11), text,
                   "end" if is_right else "start", "strong")  # fmt: skip
        said.append(text)
    label = f"{title}: {', '.join(said)}, of {sample.count:,}"
    return figure(title, plot.svg(label), unit=f"% of {sample.count:,} at most so long")


def latency_table(summary: Summary) -> Html:
    """Quantiles, means and intervals of all latencies."""
    heads = ("latency", "p50", "p90", "p99", "mean", "values")
    rows = []
    for name, label in _LABELS.items():
        found: Quantiles = getattr(summary.latency, name)
        bands = getattr(summary.intervals, name, None) if summary.intervals else None
        cells = [
            _cell(getattr(found, each), getattr(bands, each, None))
            for each in ("p50", "p90", "p99", "mean")
        ]
        rows.append([label, *cells, Cell(f"{found.count:,}", found.count)])
    sure = summary.intervals
    about = f", with the {100 * sure.level:g} % interval of each" if sure else ""
    return table(heads, rows, caption=f"Latencies{about}")


def _cell(value: float | None, band: Interval | None) -> Cell:
    if value is None:
        return Cell("-")
    unit, factor = unit_for(value) if value else ("s", 1.0)
    text = f"{significant(value * factor)} {unit}"
    if band is None:
        return Cell(text, value)
    below = tag("span", span(band.low, band.high), class_="band-text")
    return Cell(tag("span", text, below), value)
