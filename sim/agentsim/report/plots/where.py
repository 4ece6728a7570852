"""Where the time went: of the GPUs and of the mean session, by cause."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from agentsim.domain.records import Run
from agentsim.domain.units import NS_PER_S
from agentsim.report.metrics import PartsOf, replicas_of
from agentsim.report.plots.style import LOOKS, time_unit
from agentsim.report.where import agent_time, gpu_time

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import FigureBase

#: Parts of a bar with less than this share are not written into it.
_LEGIBLE = {True: 0.06, False: 0.11}
_ORDER = (
    *("prefill", "recomputation", "decode", "overhead", "api", "queue", "tools"),
    *("idle_tools", "idle_between_steps", "idle_nobody"),
)


def draw_where(figure: FigureBase, run: Run, parts_of: PartsOf | None, *, is_wide: bool) -> None:
    """Two bars, each divided by cause with its shares."""
    num_sessions = max(1, run.sessions.num_rows)
    session = {name: int(ns.sum()) / num_sessions for name, ns in agent_time(run).items()}
    gpu = {name: float(ns) for name, ns in gpu_time(run, parts_of).items()}
    num = len(replicas_of(run))
    several = f" of {num} replicas" if num > 1 else ""
    upper, lower = figure.subplots(2, 1)
    _bar(upper, gpu, f"GPU time{several}", is_wide=is_wide)
    mean = "the mean session" if run.sessions.num_rows > 1 else "the session"
    _bar(lower, session, f"time of {mean}", is_wide=is_wide)
    handles = {}
    for axes in (upper, lower):
        parts, labels = axes.get_legend_handles_labels()
        handles.update(dict(zip(labels, parts, strict=True)))
    columns = 4 if is_wide else 2
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=columns)


def _bar(axes: Axes, spent_ns: Mapping[str, float], name: str, *, is_wide: bool) -> None:
    total_s = sum(spent_ns.values()) / NS_PER_S
    unit_s, unit = time_unit(total_s)
    left = 0.0
    for cause in (cause for cause in _ORDER if spent_ns.get(cause)):
        look, width = LOOKS[cause], spent_ns[cause] / NS_PER_S / unit_s
        axes.barh(
            0, width, left=left, height=0.8, color=look.colour, hatch=look.hatch or None,
            edgecolor="white" if look.colour != "#FFFFFF" else "#777777", linewidth=0.4,
            label=look.label,
        )  # fmt: skip
        share = width * unit_s / total_s
        if share >= _LEGIBLE[is_wide]:
            axes.text(
                left + width / 2, 0, f"{share:.0%}", ha="center", va="center", fontsize=7,
                bbox={"boxstyle": "round,pad=0.15", "facecolor": "white", "edgecolor": "none"},
            )  # fmt: skip
        left += width
    axes.set_xlabel(f"{name}, {unit}")
    axes.set_xlim(0, left or 1)
    axes.set_ylim(-0.45, 0.45)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
