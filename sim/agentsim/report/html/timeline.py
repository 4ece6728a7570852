"""The zoomable timeline: what each agent and each replica did when, as data for ``timeline.js``."""

from __future__ import annotations

from typing import Any

import numpy as np

from agentsim.domain.records import Run
from agentsim.domain.units import NS_PER_S
from agentsim.report.busy import BUSY, busy
from agentsim.report.cost import gpus_of
from agentsim.report.durations import duration, percent
from agentsim.report.html.mark import Html, data, join, short, tag
from agentsim.report.html.page import figure, folded
from agentsim.report.html.tables import Cell, table
from agentsim.report.lanes import PHASES, Slices, slices

#: Rows of agents, and slices of all of them; beyond, the page says what it leaves out.
_TRACKS, _SLICES = 80, 150_000
#: Sessions whose names are shown where a pointer rests.
_SESSIONS = 2000
_NS_PER_US = 1000
#: Phase -> (name of its colour, share of the row's height).
_SHAPES = {
    "tool wait": ("tools", 0.16),
    "front end": ("front", 0.45),
    "queue": ("queue", 0.36),
    "prefill": ("prefill", 0.95),
    "decode": ("decode", 0.66),
    "prefill and decode": ("again", 0.8),
}


def timeline(run: Run) -> Html:
    """Agents, below them the GPUs, and the same in tables."""
    agents = slices(run, max_tracks=_TRACKS, max_slices=_SLICES)
    gpus = busy(run, max_slices=_SLICES // 5)
    content = {
        "span": run.makespan_ns // _NS_PER_US,
        "phases": [[name, *look] for name, look in _SHAPES.items()],
        "agents": len(agents.tracks),
        "rows": _rows(agents, _agent_names(agents), PHASES)
        + _rows(gpus, _gpu_names(run, gpus), BUSY),
        "sessions": _sessions(run, agents),
    }
    drawn = tag(
        "div",
        _buttons(),
        tag("canvas", id="timeline", tabindex="0", role="img",
            aria_label="What each agent and each GPU did when; the tables below hold the totals",
            aria_describedby="timeline-keys"),
        tag("div", id="timeline-tip", class_="tip", hidden=True),
        tag("p", "Keys: + and - zoom, arrows move, Home shows all. Pointer: drag to move, hold "
            "Ctrl and turn the wheel to zoom.", id="timeline-keys", class_="quiet keys"),
        class_="timeline", hidden=True,
    )  # fmt: skip
    unscripted = tag(
        "p", "The drawing needs JavaScript; the tables below do not.", class_="unscripted"
    )
    left_out = _left_out(agents, gpus)
    if run.sessions.num_rows > _SESSIONS:
        left_out.append(f"A pointer tells the names of the first {_SESSIONS:,} sessions.")
    told = (tag("p", line, class_="note") for line in left_out)
    tables = folded("Time of each row, as drawn", _totals(run, agents, gpus), is_printed=False)
    return join(
        figure("Agents and GPUs", drawn, unscripted, *told, tables, legend=_legend()),
        data("timeline-data", content),
    )


def _buttons() -> Html:
    named = (("in", "+", "Zoom in"), ("out", "\u2212", "Zoom out"), ("left", "\u2190", "Earlier"),
             ("right", "\u2192", "Later"), ("all", "All", "All of the run"))  # fmt: skip
    made = (
        tag("button", text, type="button", data_do=do, aria_label=about, title=about)
        for do, text, about in named
    )
    return tag(
        "div", *made, tag("output", id="timeline-range", aria_live="polite"), class_="buttons"
    )


def _legend() -> Html:
    """Each phase in its colour and at its height."""
    made = []
    for name, (colour, height) in _SHAPES.items():
        drawn = 12 * height
        bar = tag("rect", x=0, y=f"{6 - drawn / 2:.1f}", width=18, height=f"{drawn:.1f}",
                  class_=f"c-{colour} edged")  # fmt: skip
        sample = tag("svg", bar, class_="sample", viewBox="0 0 18 12", aria_hidden="true")
        made.append(tag("li", sample, name))
    return tag("ul", *made, class_="legend")


def _rows(found: Slices, names: list[str], phases: tuple[str, ...]) -> list[dict[str, Any]]:
    """Each track as a flat list: gap since the last slice, length, phase; in microseconds."""
    order = np.lexsort((found.start_ns, found.track))
    track, phase = found.track[order], found.phase[order]
    start, end = found.start_ns[order] // _NS_PER_US, found.end_ns[order] // _NS_PER_US
    places = np.array([list(_SHAPES).index(name) for name in phases])
    edges = np.searchsorted(track, np.arange(len(names) + 1))
    rows = []
    for place, name in enumerate(names):
        mine = slice(edges[place], edges[place + 1])
        gaps = start[mine] - np.concatenate([[0], end[mine]])[:-1]
        flat = np.column_stack([gaps, end[mine] - start[mine], places[phase[mine]]])
        rows.append({"name": name, "slices": flat.ravel().tolist()})
    return rows


def _agent_names(found: Slices) -> list[str]:
    return [
        f"agent {slot}" if not lane else f"agent {slot}, beside {lane}"
        for slot, lane in found.tracks.tolist()
    ]


def _gpu_names(run: Run, found: Slices) -> list[str]:
    what = "GPU" if gpus_of(run, 1) == 1 else "replica"
    return [f"{what} {replica}" for replica in found.tracks[:, 0].tolist()]


def _sessions(run: Run, found: Slices) -> list[list[Any]]:
    """Row, start, end and name of the first sessions on the agents' own rows."""
    rows = {slot: at for at, (slot, lane) in enumerate(found.tracks.tolist()) if lane == 0}
    listed: list[list[Any]] = []
    names = ("session", "slot", "started_ns", "finished_ns")
    for chunk in run.sessions.chunks(*names):
        for session, slot, start, end in zip(*(chunk[n].tolist() for n in names), strict=True):
            if slot in rows and len(listed) < _SESSIONS:
                edges = start // _NS_PER_US, end // _NS_PER_US
                listed.append([rows[slot], *edges, short(session, 60)])
    return listed


def _left_out(agents: Slices, gpus: Slices) -> list[str]:
    """What the drawing does not show, in sentences."""
    said = []
    for found, what in ((agents, "rows of agents"), (gpus, "GPUs")):
        if len(found.tracks) < found.num_tracks:
            said.append(
                f"The first {len(found.tracks):,} of {found.num_tracks:,} {what} are shown."
            )
        if found.grid_ns:
            width = duration(found.grid_ns / NS_PER_S)
            said.append(
                f"Downsampled ({what}): each stretch of {width} shows the phase that took most of "
                "it. agentsim replay --timeline keeps every slice, for Perfetto."
            )
    return said


def _totals(run: Run, agents: Slices, gpus: Slices) -> Html:
    made = []
    parts = (
        (agents, _agent_names(agents), PHASES, "Time of each agent by phase"),
        (gpus, _gpu_names(run, gpus), BUSY, "Time of each replica's GPUs"),
    )
    for found, names, phases, caption in parts:
        spent = np.zeros((len(names), len(phases)))
        np.add.at(spent, (found.track, found.phase), (found.end_ns - found.start_ns) / NS_PER_S)
        rows = [
            [
                name,
                *(Cell(duration(s), s) for s in row),
                _share(sum(row), run.makespan_ns / NS_PER_S),
            ]
            for name, row in zip(names, spent.tolist(), strict=True)
        ]
        made.append(table(("row", *phases, "of the run"), rows, caption=caption))
    return join(*made)


def _share(part: float, whole: float) -> str:
    return percent(min(part / whole, 1.0)) if whole else "-"
