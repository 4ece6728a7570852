"""Where the time went: a bar divided by cause and its table, for the GPU and the mean session."""

from __future__ import annotations

from agentsim.report.durations import duration, percent
from agentsim.report.figures import Summary
from agentsim.report.html.mark import Html, tag
from agentsim.report.html.page import figure
from agentsim.report.html.palette import LOOKS, swatch
from agentsim.report.html.plot import WIDTH
from agentsim.report.html.tables import Cell, table

_GPU = ("decode", "prefill", "recomputation", "overhead", "idle_tools", "idle_between_steps",
        "idle_nobody")  # fmt: skip
_AGENT = ("tools", "api", "queue", "prefill", "decode", "recomputation")
#: Height of a bar.
_BAR = 34.0


def where_parts(summary: Summary) -> tuple[Html, Html]:
    """The GPU's time and the mean session's."""
    replicas = "GPU" if summary.replicas == 1 else f"{summary.replicas:,} replicas, added up"
    who = "Session" if summary.sessions == 1 else f"Mean of {summary.sessions:,} sessions"
    return (
        _divided(replicas, {name: getattr(summary.gpu, f"{name}_s") for name in _GPU}),
        _divided(who, {name: getattr(summary.agent, f"{name}_s") for name in _AGENT}),
    )


def _divided(title: str, spent_s: dict[str, float]) -> Html:
    total = sum(spent_s.values())
    parts = {name: seconds for name, seconds in spent_s.items() if seconds > 0}
    left, drawn = 0.5, []
    for name, seconds in parts.items():
        width = seconds / total * (WIDTH - 1)
        told = tag("title", f"{LOOKS[name].label} {percent(seconds / total)}")
        place = {"x": f"{left:.1f}", "width": f"{width:.1f}"}
        fill = f"url(#fill-{name})"
        drawn.append(tag("rect", told, y=0.5, height=_BAR, fill=fill, class_="edged", **place))
        left += width
    said = ", ".join(f"{LOOKS[name].label} {percent(s / total)}" for name, s in parts.items())
    bar = tag("svg", *drawn, viewBox=f"0 0 {WIDTH:.0f} {_BAR + 1:.0f}", role="img",
              aria_label=f"{title}: {said or 'no time'}")  # fmt: skip
    rows: list[tuple[object, ...]] = [
        (
            tag("span", swatch(name), LOOKS[name].label, class_="keyed"),
            Cell(duration(seconds), seconds),
            Cell(percent(seconds / total), seconds),
        )
        for name, seconds in parts.items()
    ]
    rows.append((tag("b", "total"), Cell(duration(total), total), ""))
    heads = ("cause", "time", "share")
    return figure(title, bar, table(heads, rows, caption=f"{title}: time by cause"))
