"""A run over time: KV blocks, running and waiting requests, cache hits, tokens."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from agentsim.domain.records import Run
from agentsim.report.durations import duration
from agentsim.report.html.mark import Html
from agentsim.report.html.page import figure, folded
from agentsim.report.html.plot import Plot, across, key, upward
from agentsim.report.html.scales import from_zero, time_unit
from agentsim.report.html.tables import table
from agentsim.report.metrics import FloatArray
from agentsim.report.series import Series, binned

#: Stretches of a line, and rows of its table.
_BINS, _ROWS = 240, 12
#: Replicas up to which each has a line.
_LINES = 4


def over_time(run: Run) -> tuple[tuple[Html, ...], str]:
    """The drawings, and what a point of them stands for."""
    series = binned(run, max_bins=_BINS)
    made = tuple(_drawings(run, series))
    told = f"Each point is the mean (or the sum) of {duration(series.bin_ns / 1e9)}"
    if series.is_downsampled:
        return made, f"{told}: downsampled from {series.num_steps:,} steps."
    return made, f"{told}."


def _drawings(run: Run, series: Series) -> Iterator[Html]:
    usable = run.facts.get("usable_blocks", run.facts.get("num_gpu_blocks", 1) - 1)
    sums = {name: column.sum(axis=0).astype(float) for name, column in series.sums.items()}
    names, rows = _of_replicas(series, series.means["used_blocks"])
    if usable:
        used = [row / usable * 100 for row in rows]
        yield _lines(series, "KV cache in use", "% of blocks", names, used, top=100.0)
    prompt, cached = sums["prompt_tokens"], sums["cached_tokens"]
    share = np.divide(100 * cached, prompt, where=prompt > 0, out=np.full(len(prompt), np.nan))
    yield _lines(series, "Served from the prefix cache", "% of prompt tokens", ["cached"], [share],
                 top=100.0)  # fmt: skip
    states = [series.means[name].sum(axis=0) for name in ("running", "waiting")]
    yield _lines(series, "Requests at the server", "requests", ["running", "waiting"], states)
    lengths = series.lengths_s
    rates = [sums[name] / lengths for name in ("new_tokens",)]
    yield _lines(series, "Output", "tokens a second", ["output"], rates)
    rates = [sums[name] / lengths for name in ("cached_tokens", "prefill_tokens")]
    yield _lines(series, "Prompts", "tokens a second", ["from the cache", "computed"], rates)
    lost = {"evicted_blocks": "blocks evicted", "preempted": "requests preempted"}
    for name, label in lost.items():
        if sums[name].any():
            yield _lines(series, label.capitalize(), "added up", [label], [np.cumsum(sums[name])])


def _of_replicas(series: Series, values: FloatArray) -> tuple[list[str], list[FloatArray]]:
    """A line each, or of many the least, the mean and the most."""
    if len(values) <= _LINES:
        named = [f"replica {replica}" for replica in series.replicas]
        return (named if len(named) > 1 else ["in use"]), list(values)
    named = [f"mean of {len(values):,} replicas", "least", "most"]
    return named, [values.mean(axis=0), values.min(axis=0), values.max(axis=0)]


def _lines(
    series: Series,
    title: str,
    unit: str,
    names: Sequence[str],
    rows: Sequence[FloatArray],
    *,
    top: float | None = None,
) -> Html:
    unit_s, unit_name = time_unit(series.span_ns / 1e9)
    edges = series.edges_s / unit_s
    most = top or max((float(np.nanmax(row, initial=0.0)) for row in rows), default=0.0)
    plot = Plot(across(0.0, float(edges[-1])), upward(from_zero(most, 0, 1)))
    plot.axes(f"time, {unit_name}")
    for kind, row in enumerate(rows):
        plot.steps(edges.tolist(), [None if np.isnan(v) else v for v in row.tolist()], kind)
    said = "; ".join(
        f"{name}: {_said(row, series.lengths_s)}" for name, row in zip(names, rows, strict=True)
    )
    places = np.unique(
        np.linspace(0, len(edges) - 2, min(_ROWS, len(edges) - 1)).round().astype(int)
    )
    cells: list[list[Any]] = [
        [f"{edges[at]:.4g} {unit_name}", *(_cell(row[at]) for row in rows)]
        for at in places.tolist()
    ]
    caption = f"{title}, {unit}: {len(places)} of {len(edges) - 1:,} points"
    return figure(
        title,
        plot.svg(f"{title}, {unit}. {said}"),
        folded("Values", table(("from", *names), cells, caption=caption), is_printed=False),
        unit=unit,
        legend=key(names) if len(names) > 1 else None,
    )


def _cell(value: float) -> str:
    return "-" if np.isnan(value) else f"{value:,.3g}" if value < 999.5 else f"{value:,.0f}"


def _said(row: FloatArray, lengths: FloatArray) -> str:
    known = ~np.isnan(row)
    if not known.any():
        return "nothing"
    mean = float((row[known] * lengths[known]).sum() / lengths[known].sum())
    return f"mean {_cell(mean)}, most {_cell(float(row[known].max()))}"
