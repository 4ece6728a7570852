"""Figures over time: KV cache (`draw_kv`), batches (`draw_batch`) and tokens (`draw_tokens`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from agentsim.domain.records import Run
from agentsim.report.metrics import PartsOf
from agentsim.report.plots.over_time import line, lines_of_replicas, name_lines, panels
from agentsim.report.plots.style import RED
from agentsim.report.series import binned

if TYPE_CHECKING:
    from matplotlib.figure import FigureBase

#: What the cache loses, by column of steps, and how its panel is labelled.
_LOST = {"evicted_blocks": "blocks\nevicted", "preempted": "requests\npreempted"}
#: Points over time that a column of a paper can show.
_BINS = {True: 120, False: 60}


def draw_kv(figure: FigureBase, run: Run, parts_of: PartsOf | None, *, is_wide: bool) -> None:
    """Blocks in use and evicted, and what the prefix cache found."""
    series = binned(run, max_bins=_BINS[is_wide])
    sums = {name: column.sum(axis=0) for name, column in series.sums.items()}
    lost = [(sums[name], label) for name, label in _LOST.items() if sums[name].any()]
    blocks, hits, *rest = panels(figure, series, 2 + len(lost))
    lines_of_replicas(blocks, series, series.means["used_blocks"] / 1e3, "in use")
    usable = run.facts.get("usable_blocks", run.facts.get("num_gpu_blocks", 1) - 1)
    if usable:
        blocks.axhline(usable / 1e3, color="black", lw=0.8, ls=(0, (1, 1)), label="all there are")
    blocks.set_ylabel("KV blocks,\nthousands")
    blocks.set_ylim(bottom=0)
    name_lines(blocks, 3)
    prompt = sums["prompt_tokens"]
    unknown = np.full(len(prompt), np.nan)
    share = np.divide(100 * sums["cached_tokens"], prompt, where=prompt > 0, out=unknown)
    line(hits, series, share, 0, "")
    hits.set_ylabel("from cache,\n% of prompt")
    hits.set_ylim(0, 103)
    for axes, (column, label) in zip(rest, lost, strict=True):
        line(axes, series, np.cumsum(column), 0, "")
        axes.set_ylabel(label)
        axes.set_ylim(bottom=0)
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")


def kv_inches(run: Run, *, is_wide: bool) -> float:
    """What the panels of `draw_kv` need."""
    losses = np.zeros(len(_LOST), np.int64)
    for steps in run.steps.chunks(*_LOST):
        losses += [int(steps[name].sum()) for name in _LOST]
    return 1.1 + 0.8 * (1 + int((losses > 0).sum()))


def draw_batch(figure: FigureBase, run: Run, parts_of: PartsOf | None, *, is_wide: bool) -> None:
    """Sequences in a step and requests in the queue."""
    series = binned(run, max_bins=_BINS[is_wide])
    batch, queue = panels(figure, series, 2)
    lines_of_replicas(batch, series, series.means["num_seqs"], "")
    batch.set_ylabel("sequences\nin a step")
    lines_of_replicas(queue, series, series.means["waiting"], "")
    queue.set_ylabel("requests\nwaiting")
    for axes in (batch, queue):
        axes.set_ylim(bottom=0)
    queue.set_ylim(top=max(1.0, queue.get_ylim()[1]))
    if len(series.replicas) > 1:
        name_lines(batch, 4 if is_wide else 2)


def draw_tokens(figure: FigureBase, run: Run, parts_of: PartsOf | None, *, is_wide: bool) -> None:
    """Tokens a second: prompts from the cache and computed, and output."""
    series = binned(run, max_bins=_BINS[is_wide])
    rates = {name: column.sum(axis=0) / series.lengths_s for name, column in series.sums.items()}
    prompts, output = panels(figure, series, 2)
    line(prompts, series, rates["cached_tokens"] / 1e3, 0, "from cache")
    line(prompts, series, rates["prefill_tokens"] / 1e3, 1, "computed")
    if rates["recomputed_tokens"].any():
        line(prompts, series, rates["recomputed_tokens"] / 1e3, 2, "again")
    prompts.set_ylabel("prompt tokens\na second, thousands")
    prompts.set_ylim(bottom=0)
    name_lines(prompts, 3)
    line(output, series, rates["new_tokens"], 0, "")
    mean = rates["new_tokens"] @ series.lengths_s / series.lengths_s.sum()
    output.axhline(mean, color=RED, lw=0.8, ls="--", label=f"mean {mean:.3g}")
    output.set_ylabel("output tokens\na second")
    output.set_ylim(bottom=0)
    name_lines(output)
