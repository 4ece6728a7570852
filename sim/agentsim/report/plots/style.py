"""How figures look: sizes of a paper's columns, a palette for all eyes, units.

Colour is never the only sign: areas have hatches, lines have dashes, slices have heights. The
palette is that of Okabe and Ito, "Color Universal Design", 2008.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Inches of a figure: a column of a page of two, and the page.
WIDTHS = {"single": 3.33, "double": 7.0}

BLUE, RED, GREEN, ORANGE = "#0072B2", "#D55E00", "#009E73", "#E69F00"
SKY, PURPLE, YELLOW, GREY = "#56B4E9", "#CC79A7", "#F0E442", "#BBBBBB"

#: Lines of several replicas: colour and dashes.
LINES = ((BLUE, "-"), (RED, "--"), (GREEN, "-."), (PURPLE, ":"))

#: Settings of matplotlib: text stays text, equal runs give equal bytes.
SETTINGS: dict[str, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 8,
    "axes.labelsize": 8,
    "axes.titlesize": 8,
    "figure.titlesize": 9,
    "legend.fontsize": 7,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "lines.linewidth": 1.2,
    "hatch.linewidth": 0.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "legend.handlelength": 1.8,
    "legend.columnspacing": 1.2,
    "svg.fonttype": "none",
    "svg.hashsalt": "agentsim",
    "pdf.fonttype": 42,
    "figure.dpi": 300,
    "savefig.dpi": 300,
    "figure.constrained_layout.w_pad": 0.06,
}


class Look(NamedTuple):
    """How a cause or a phase is drawn; `height` is its share of a row."""

    label: str
    colour: str
    hatch: str = ""
    height: float = 0.8


#: By the names of `where.PHASES`, `where.CAUSES`, `where.IDLE`.
LOOKS = {
    "api": Look("front end", YELLOW, "....", 0.5),
    "queue": Look("queue", ORANGE, "\\\\\\\\", 0.35),
    "prefill": Look("prefill", RED, "////", 0.95),
    "decode": Look("decode", BLUE, "", 0.65),
    "recomputation": Look("recomputation", PURPLE, "xxxx"),
    "overhead": Look("overhead", GREEN, "----"),
    "tools": Look("tool waits", SKY, "oo", 0.15),
    "idle_tools": Look("tool waits", SKY, "oo"),
    "idle_nobody": Look("idle, no agent", "#FFFFFF", "++"),
    "idle_between_steps": Look("idle, other", GREY, "||"),
}


def time_unit(span_s: float) -> tuple[float, str]:
    """Seconds of the unit that suits a span, and its name.

    Examples
    --------
    >>> time_unit(900.0)
    (60.0, 'min')
    """
    for unit_s, name in ((86_400.0, "d"), (3600.0, "h"), (60.0, "min"), (1.0, "s")):
        if span_s >= 3 * unit_s:
            return unit_s, name
    return (1.0, "s") if span_s >= 0.3 else (1e-3, "ms")


def light_grid(axes: Axes, axis: Any = "y") -> None:
    """Thin lines behind what is drawn."""
    axes.grid(axis=axis, color="#DDDDDD", linewidth=0.5)
    axes.set_axisbelow(True)


def plain_name(text: str) -> str:
    """A name from a trace as it is: matplotlib reads ``$`` as the start of a formula."""
    return text.replace("$", r"\$")
