"""Figures that a notebook shows by itself: `show` draws a run as `page.draw` does into a file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING

from agentsim.domain.records import Run
from agentsim.errors import ConfigError, UnknownName
from agentsim.report.metrics import PartsOf
from agentsim.report.plots.page import KINDS, compose, inches_of, our_settings, settle

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Dots an inch, and those it is shown at: finer, for screens of many dots.
_DOTS, _SCREEN_DOTS = 150, 100


@dataclass(frozen=True, slots=True)
class Picture:
    """A drawn figure.

    Attributes
    ----------
    png : bytes
    inches : (float, float)
        Width and height.
    """

    png: bytes
    inches: tuple[float, float]

    def __repr__(self) -> str:
        """Its size alone: the same figure is the same text."""
        return f"Picture({self.inches[0]:.2f} x {self.inches[1]:.2f} inches)"

    def _repr_png_(self) -> tuple[bytes, dict[str, int]]:
        """What a notebook shows, and how large."""
        width, height = (round(side * _SCREEN_DOTS) for side in self.inches)
        return self.png, {"width": width, "height": height}


def picture(draw: Callable[[Figure], None], inches: tuple[float, float]) -> Picture:
    """What a function draws into an empty figure in our style."""
    with our_settings():
        from matplotlib.figure import Figure

        figure = Figure(inches, dpi=_DOTS, layout="constrained")
        draw(figure)
        settle(figure)
        made = BytesIO()
        figure.savefig(made, format="png", dpi="figure", metadata={"Software": None})
    return Picture(made.getvalue(), inches)


def show(run: Run, *kinds: str, parts_of: PartsOf | None = None) -> Picture:
    """Kinds of figures of a run, one below the other.

    Parameters
    ----------
    kinds : str
        Of `page.KINDS`; none: ``where``.
    parts_of : callable or None
        Of the cost model, such as ``build_system(config).cost.parts``: divides the time of steps.

    Raises
    ------
    UnknownName, ConfigError
        No such kind, or a run without calls.

    Examples
    --------
    >>> show(run, "where", "timeline")  # doctest: +SKIP
    """
    chosen = kinds or ("where",)
    for kind in chosen:
        if kind not in KINDS:
            raise UnknownName("kind", kind, KINDS)
    if not run.requests.num_rows:
        raise ConfigError("the run holds no call to draw")
    inches = inches_of(run, chosen, "double")
    return picture(lambda figure: compose(figure, run, chosen, parts_of, is_wide=True), inches)
