"""The kinds of figures, and how they become files: `check_figures`, `draw`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agentsim.domain.records import Run
from agentsim.errors import ConfigError
from agentsim.report.metrics import PartsOf
from agentsim.report.plots.agents import agents_inches, draw_agents
from agentsim.report.plots.latency import draw_latency
from agentsim.report.plots.load import draw_batch, draw_kv, draw_tokens, kv_inches
from agentsim.report.plots.prefill import draw_prefill
from agentsim.report.plots.style import SETTINGS, WIDTHS
from agentsim.report.plots.where import draw_where
from agentsim.report.target import check_file, whole_file

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ENDINGS = (".png", ".svg", ".pdf")
#: In a file name: the kind of the figure in it.
PLACE = "{kind}"


@dataclass(frozen=True, slots=True)
class Kind:
    """A row of `KINDS`.

    Attributes
    ----------
    about : str
    draw : callable
        Draws a run into a figure.
    inches : callable
        How high the figure of a run is.
    """

    about: str
    draw: Callable[..., None]
    inches: Callable[..., float]


def _high(narrow: float, wide: float) -> Callable[..., float]:
    return lambda run, *, is_wide: wide if is_wide else narrow


KINDS: dict[str, Kind] = {
    "where": Kind("Time of the GPUs and of the sessions by cause", draw_where, _high(2.6, 2.2)),
    "timeline": Kind("What each agent did when", draw_agents, agents_inches),
    "latency": Kind("Distributions of TTFT, TPOT and E2E", draw_latency, _high(5.0, 2.2)),
    "kv": Kind("KV blocks in use and cache hits over time", draw_kv, kv_inches),
    "batch": Kind("Sequences in a step and the queue over time", draw_batch, _high(2.4, 2.8)),
    "prefill": Kind("Prompt tokens by turn, cached or not", draw_prefill, _high(2.2, 3.0)),
    "tokens": Kind("Tokens a second over time", draw_tokens, _high(2.6, 3.0)),
}


def check_figures(
    option: str, name: str, kinds: Sequence[str], *, force: bool
) -> dict[Path, list[str]]:
    """The files to draw, each with the kinds in it, before anything is simulated.

    Parameters
    ----------
    option : str
        That `name` was given to.
    name : str
        A file for all kinds, one below the other; with ``{kind}`` in it a file for each.
    kinds : sequence of str
        Of `KINDS`.
    force : bool
        Replace files that exist.

    Raises
    ------
    UserError
    """
    if PLACE not in name:
        return {check_file(option, name, ENDINGS, force=force): list(kinds)}
    names = {kind: name.replace(PLACE, kind) for kind in kinds}
    return {check_file(option, each, ENDINGS, force=force): [kind] for kind, each in names.items()}


def draw(
    run: Run,
    path: Path,
    kinds: Sequence[str],
    *,
    width: str = "double",
    parts_of: PartsOf | None = None,
    option: str = "--out",
) -> None:
    """Draw kinds of figures of a run into one file.

    Parameters
    ----------
    run : Run
    path : Path
        Ends in .png, .svg or .pdf; a file of that name is replaced.
    kinds : sequence of str
        Of `KINDS`, from the top.
    width : {"single", "double"}
        Of a paper's column, or of its page.
    parts_of : callable or None
        Of the cost model, as for `agentsim.report.where.gpu_time`.
    option : str
        That the path was given to, for messages.

    Raises
    ------
    UserError
        If the disk refuses, or the run has nothing to draw.
    """
    is_wide = width == "double"
    if not run.requests.num_rows:
        raise ConfigError(f"{option} {path}: the run holds no call to draw")
    with sheet(path, inches_of(run, kinds, width), option) as figure:
        compose(figure, run, kinds, parts_of, is_wide=is_wide)


def inches_of(run: Run, kinds: Sequence[str], width: str) -> tuple[float, float]:
    """Width and height of a figure of these kinds."""
    is_wide = width == "double"
    return WIDTHS[width], sum(KINDS[kind].inches(run, is_wide=is_wide) for kind in kinds)


def compose(
    figure: Figure, run: Run, kinds: Sequence[str], parts_of: PartsOf | None, *, is_wide: bool
) -> None:
    """Draw kinds of figures one below the other."""
    heights = [KINDS[kind].inches(run, is_wide=is_wide) for kind in kinds]
    parts = figure.subfigures(len(kinds), 1, height_ratios=heights, squeeze=False).ravel()
    for part, kind in zip(parts, kinds, strict=True):
        if len(kinds) > 1:
            part.suptitle(KINDS[kind].about, fontweight="bold", fontsize=8 if is_wide else 7)
        KINDS[kind].draw(part, run, parts_of, is_wide=is_wide)


@contextmanager
def sheet(path: Path, inches: tuple[float, float], option: str) -> Iterator[Figure]:
    """A figure in our style, width and height in inches, that becomes a file in the end.

    Raises
    ------
    UserError
        If the disk refuses.
    """
    with our_settings():
        from matplotlib.figure import Figure

        figure = Figure(inches, layout="constrained")
        yield figure
        settle(figure)
        _save(figure, path, option)


def settle(figure: Figure) -> None:
    """Fix the layout at so many digits.

    Its solver goes through its variables in the order of their addresses, so that the last digits
    of what it finds, and the sign of a 0, differ from one time to another.
    """
    from matplotlib.transforms import Bbox

    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    for part in figure.subfigs:
        part.bbox_relative.set_points(part.bbox_relative.get_points().round(6) + 0.0)
    for axes in figure.get_axes():
        axes.set_position(Bbox(axes.get_position().get_points().round(6) + 0.0))


@contextmanager
def our_settings() -> Iterator[None]:
    """Our settings, whatever those of the user's matplotlib are."""
    import matplotlib as mpl

    with mpl.rc_context():
        mpl.rcdefaults()
        settings: Any = SETTINGS
        mpl.rcParams.update(settings)
        yield


def _save(figure: Figure, path: Path, option: str) -> None:
    """Write the same bytes for the same figure: no date, no version."""
    ending = path.suffix[1:]
    silent = {"png": {"Software": None}, "svg": {"Date": None, "Creator": None}}
    told = silent.get(ending, {"CreationDate": None, "Creator": None, "Producer": None})
    with whole_file(option, path) as half:
        figure.savefig(half, format=ending, metadata=told)
