"""A drawing of lines and points with two axes, as SVG that needs no script: `Plot`.

All drawings have one width, so that letters are as large in each; `narrow` is half a page.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from agentsim.report.html.mark import Html, tag
from agentsim.report.html.scales import Scale, compact, number

WIDTH, HEIGHT = 460.0, 210.0
#: Room for the labels of the axes.
LEFT, RIGHT, TOP, BOTTOM = 50.0, 14.0, 18.0, 38.0
#: Lines by number: what repeats their colour.
DASHES = (None, "6 3", "2 3", "8 3 2 3")
#: Marks of points by number, around (0, 0).
_FORMS = {
    "circle": "M-3.6 0a3.6 3.6 0 1 0 7.2 0a3.6 3.6 0 1 0 -7.2 0z",
    "square": "M-3.3 -3.3h6.6v6.6h-6.6z",
    "triangle": "M0 -4.4l4.4 8h-8.8z",
    "diamond": "M0 -4.8l4.6 4.8l-4.6 4.8l-4.6 -4.8z",
}
SHAPES = tuple(_FORMS)

Write = Callable[[float], str]


class Point(NamedTuple):
    """A place by its values; `tip` tells more where a pointer rests on it."""

    x: float
    y: float
    tip: str = ""


class Plot:
    """A drawing in the making.

    Parameters
    ----------
    x, y : Scale
        Within the drawing, see `across` and `upward`.
    """

    def __init__(self, x: Scale, y: Scale, *, height: float = HEIGHT) -> None:
        self.x, self.y, self.height = x, y, height
        self._parts: list[Html] = []

    def axes(self, x_title: str, *, x_write: Write = number, y_write: Write = compact) -> None:
        """Ticks, their labels, thin lines behind them."""
        bottom = self.height - BOTTOM
        for value in self.y.ticks(4):
            y = round(self.y.at(value), 1)
            self._line(LEFT, y, WIDTH - RIGHT, y, "gridline")
            self._text(LEFT - 6, y + 4, y_write(value), "end")
        for value in self.x.ticks(6):
            x = round(self.x.at(value), 1)
            self._line(x, bottom, x, bottom + 4, "axis")
            self._text(x, bottom + 16, x_write(value), "middle")
        self._line(LEFT, bottom, WIDTH - RIGHT, bottom, "axis")
        self._text((LEFT + WIDTH - RIGHT) / 2, self.height - 5, x_title, "middle")

    def rows_axis(self, x_title: str, left: float) -> None:
        """The axis below rows that are named beside them."""
        bottom = self.y.start
        for value in self.x.ticks(5):
            x = self.x.at(value)
            self._line(x, self.y.end, x, bottom, "gridline")
            self._text(x, bottom + 14, compact(value), "middle")
        self._line(left, bottom, WIDTH - RIGHT, bottom, "axis")
        title = f"{x_title} (logarithmic)" if self.x.is_log else x_title
        self._text((left + WIDTH - RIGHT) / 2, bottom + 31, title, "middle")

    def steps(self, edges: Sequence[float], values: Sequence[float | None], kind: int = 0) -> None:
        """A value for each stretch between two edges; a gap for None."""
        path, is_open, last = [], False, ""
        for at, value in enumerate(values):
            if value is None:
                is_open = False
                continue
            left, right = self.x.at(edges[at]), self.x.at(edges[at + 1])
            y = f"{self.y.at(value):.1f}"
            if not is_open:
                path.append(f"M{left:.1f} {y}")
            elif y != last:
                path.append(f"V{y}")
            elif path[-1].startswith("H"):
                path.pop()
            path.append(f"H{right:.1f}")
            is_open, last = True, y
        self._path("".join(path), kind)

    def curve(self, points: Sequence[Point], kind: int = 0) -> None:
        """Straight lines from point to point."""
        places = [f"{self.x.at(p.x):.1f} {self.y.at(p.y):.1f}" for p in points]
        self._path("M" + "L".join(places) if places else "", kind)

    def rule(
        self, value: float, label: str, *, is_upright: bool = False, is_left: bool = False
    ) -> None:
        """A limit: a dashed line across, with its name."""
        if is_upright:
            x = self.x.at(value)
            self._line(x, TOP, x, self.height - BOTTOM, "limit")
            near_end = x > (LEFT + WIDTH) / 2
            self._text(x + (-4 if near_end else 4), TOP + 9, label, "end" if near_end else "start")
            return
        y = self.y.at(value)
        self._line(LEFT, y, WIDTH - RIGHT, y, "limit")
        x, anchor = (LEFT + 4, "start") if is_left else (WIDTH - RIGHT, "end")
        self._text(x, y - 4 if y > TOP + 14 else y + 13, label, anchor)

    def dots(self, points: Sequence[Point], kind: int = 0, *, shape: int | None = None) -> None:
        """Marks at points."""
        form = SHAPES[(kind if shape is None else shape) % len(SHAPES)]
        for point in points:
            x, y = self.x.at(point.x), self.y.at(point.y)
            tip = tag("title", point.tip) if point.tip else None
            self._parts.append(_mark(form, x, y, tip, f"dot k{kind % 4}"))

    def dot_at(self, value: float, y: float, tip: str, mark: str = "") -> None:
        """A value at a height of the drawing; ``best`` is filled and larger, ``equal`` hollow."""
        form, kind = {"best": ("diamond", "dot k2"), "equal": ("diamond", "dot hollow")}.get(
            mark, ("circle", "dot k0")
        )
        self._parts.append(_mark(form, self.x.at(value), y, tag("title", tip), kind))

    def bar(self, start: float, stop: float, y: float, high: float, kind: str) -> None:
        """A bar between two values around a height of the drawing."""
        left, right = sorted((self.x.at(start), self.x.at(stop)))
        edges = {"x": f"{left:.1f}", "width": f"{max(right - left, 1.0):.1f}"}
        place = f"{y - high / 2:.1f}"
        self._parts.append(tag("rect", y=place, height=f"{high:.1f}", class_=kind, **edges))

    def span(self, low: float, high: float, y: float) -> None:
        """An interval: a line between two values at a height of the drawing."""
        left, right = self.x.at(low), self.x.at(high)
        d = f"M{left:.1f} {y - 4:.1f}v8M{left:.1f} {y:.1f}H{right:.1f}M{right:.1f} {y - 4:.1f}v8"
        self._parts.append(tag("path", d=d, class_="span"))

    def label(self, x: float, y: float, text: str, anchor: str = "start", kind: str = "") -> None:
        """A text at a place of the drawing."""
        self._text(x, y, text, anchor, kind)

    def svg(self, label: str) -> Html:
        """The drawing; `label` says what it shows, for those who do not see it."""
        return tag(
            "svg", *self._parts,
            viewBox=f"0 0 {WIDTH:.0f} {self.height:.0f}", role="img", aria_label=label,
        )  # fmt: skip

    def _path(self, d: str, kind: int) -> None:
        if d:
            self._parts.append(
                tag("path", d=d, class_=f"curve k{kind % 4}", stroke_dasharray=DASHES[kind % 4])
            )

    def _line(self, x1: float, y1: float, x2: float, y2: float, kind: str) -> None:
        self._parts.append(tag("path", d=f"M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}", class_=kind))

    def _text(self, x: float, y: float, text: str, anchor: str, kind: str = "") -> None:
        self._parts.append(
            tag("text", text, x=f"{x:.1f}", y=f"{y:.1f}", text_anchor=anchor, class_=kind or None)
        )


def across(low: float, high: float, *, is_log: bool = False) -> Scale:
    """The horizontal scale of a drawing."""
    return Scale(low, high, LEFT, WIDTH - RIGHT, is_log)


def upward(scale: Scale, height: float = HEIGHT) -> Scale:
    """The same values on the vertical scale of a drawing."""
    return Scale(scale.low, scale.high, height - BOTTOM, TOP, scale.is_log)


def key(names: Sequence[str], *, shapes: Sequence[int] | None = None) -> Html:
    """A legend of lines, or of marks of these shapes, by number."""
    return tag(
        "ul",
        *(
            tag("li", _sample(kind, shapes[kind] if shapes else None), name)
            for kind, name in enumerate(names)
        ),
        class_="legend",
    )


def _sample(kind: int, shape: int | None) -> Html:
    if shape is None:
        shown = tag("path", d="M0 6H22", class_=f"curve k{kind}", stroke_dasharray=DASHES[kind])
    else:
        shown = _mark(SHAPES[shape], 11, 6, None, f"dot k{kind}")
    return tag("svg", shown, class_="sample", viewBox="0 0 22 12", aria_hidden="true")


def _mark(form: str, x: float, y: float, tip: Html | None, kind: str) -> Html:
    place = f"translate({x:.1f} {y:.1f})"
    return tag("path", tip, d=_FORMS[form], transform=place, class_=kind)
