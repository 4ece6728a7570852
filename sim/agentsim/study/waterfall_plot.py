"""The waterfall of an `Explanation` as a picture."""

from __future__ import annotations

from pathlib import Path

from agentsim.errors import UserError
from agentsim.report.target import whole_file
from agentsim.study.explanation import Explanation
from agentsim.study.waterfall import rows_of, scale_of, short


def draw_waterfall(found: Explanation, path: Path) -> None:
    """Draw the waterfall into a PNG or SVG file.

    Raises
    ------
    UserError
        If there is nothing to draw, or the file cannot be written.
    """
    if found.second is None:
        raise UserError("--plot: there is no second configuration, so no waterfall to draw")
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    scale, rows = scale_of(found), list(rows_of(found))
    factor = scale.factor
    with mpl.rc_context({"font.size": 11, "svg.hashsalt": "agentsim"}):
        size = (8.0, 1.3 + 0.42 * len(rows))
        figure, axes = plt.subplots(figsize=size, layout="constrained")
        reach = max(max(start, end) for _, start, end, _ in rows) * factor
        for place, (_, start, end, effect) in enumerate(rows):
            low, high = sorted((start * factor, end * factor))
            # Okabe and Ito's palette; what raises the figure is hatched as well
            colour = "#7F7F7F" if effect is None else "#0072B2" if end < start else "#D55E00"
            axes.barh(place, high - low, left=low, height=0.62, color=colour, edgecolor=colour)
            if effect is not None and end > start:
                axes.barh(place, high - low, left=low, height=0.62, color="none",
                          edgecolor="white", hatch="///", lw=0)  # fmt: skip
            text = scale.amount(end) if effect is None else scale.change(effect.value)
            axes.annotate(text, (high, place), xytext=(4, 0), textcoords="offset points",
                          va="center")  # fmt: skip
            if place + 1 < len(rows):
                axes.plot([end * factor] * 2, [place, place + 1], color="#7F7F7F", lw=0.8, zorder=0)
        axes.set_yticks(range(len(rows)), [short(label, 34) for label, *_ in rows])
        axes.invert_yaxis()
        axes.set_xlim(right=reach * 1.14)
        axes.set_xlabel(scale.title)
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="x", alpha=0.3)
        axes.set_axisbelow(True)
        metadata = {"Date": None} if path.suffix == ".svg" else None
        with whole_file("--plot", path) as half:
            figure.savefig(half, dpi=150, format=path.suffix[1:], metadata=metadata)
        plt.close(figure)
