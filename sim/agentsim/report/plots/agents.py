"""What each agent did over time: a row for each, a height and a colour for each phase."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agentsim.domain.records import Run
from agentsim.domain.units import NS_PER_S
from agentsim.report.durations import duration
from agentsim.report.lanes import Slices, slices, tracks_of
from agentsim.report.metrics import PartsOf
from agentsim.report.plots.style import LOOKS, time_unit

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import FigureBase

#: Rows of the figure, at most.
MAX_ROWS = 40
#: In the order of `lanes.PHASES`.
_NAMES = ("tools", "api", "queue", "prefill", "decode")


def agents_inches(run: Run, *, is_wide: bool) -> float:
    """What the rows of `draw_agents` need."""
    return 1.0 + 0.14 * max(4, min(MAX_ROWS, len(tracks_of(run))))


def draw_agents(figure: FigureBase, run: Run, parts_of: PartsOf | None, *, is_wide: bool) -> None:
    """Rows of agents, time to the right."""
    from matplotlib.lines import Line2D

    found = slices(run, max_tracks=MAX_ROWS)
    axes = figure.subplots()
    unit_s, unit = time_unit(run.makespan_ns / NS_PER_S)
    handles = []
    for phase, name in enumerate(_NAMES):
        mine, look = found.phase == phase, LOOKS[name]
        if not mine.any():
            continue
        starts = found.start_ns[mine] / NS_PER_S / unit_s
        widths = (found.end_ns[mine] - found.start_ns[mine]) / NS_PER_S / unit_s
        axes.barh(
            found.track[mine], widths, left=starts, height=look.height, color=look.colour,
            linewidth=0,
        )  # fmt: skip
        thick: Any = {"linewidth": 8 * look.height, "solid_capstyle": "butt"}
        handles.append(Line2D([], [], color=look.colour, label=look.label, **thick))
    _name_rows(axes, found)
    axes.set_xlim(0, max(run.makespan_ns, 1) / NS_PER_S / unit_s)
    axes.set_xlabel(f"time, {unit}")
    axes.set_ylabel("agent")
    columns = 5 if is_wide else 3
    figure.legend(handles=handles, loc="outside lower center", ncols=columns)
    notes = []
    if found.num_tracks > len(found.tracks):
        notes.append(f"the first {len(found.tracks)} of {found.num_tracks} rows")
    if found.grid_ns:
        notes.append(f"the longest phase of each {duration(found.grid_ns / NS_PER_S)}")
    if notes:
        axes.set_title("; ".join(notes), fontsize=7, loc="left")


def _name_rows(axes: Axes, found: Slices) -> None:
    """Agents by their numbers, tracks beside them with a dot; not so many that they touch."""
    rows = found.tracks.tolist()
    step = -(-len(rows) // 20)
    shown = range(0, len(rows), step)
    names = [f"{slot}" if not lane else f"{slot}.{lane}" for slot, lane in rows]
    axes.set_yticks(list(shown), [names[row] for row in shown])
    axes.set_ylim(len(rows) - 0.4 if rows else 1, -0.6)
    axes.tick_params(axis="y", length=0)
