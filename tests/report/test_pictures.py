"""What notebooks show: the figures of a run and of tables, the same bytes each time."""

from __future__ import annotations

from typing import Any

import matplotlib as mpl
import pandas as pd
import pytest
from matplotlib.figure import Figure

from agentsim.errors import ConfigError, UnknownName
from agentsim.report.layout import on_screen, plain_table
from agentsim.report.plots import frames
from agentsim.report.plots.frames import lines, ranges, stacked
from agentsim.report.plots.picture import Picture, picture, show
from report.runs import run, two_turns

TABLE = pd.DataFrame(
    {
        "agents": [1, 2, 1, 2],
        "gpu": ["l4", "l4", "h100", "h100"],
        "s": [1.0, 2.0, 3.0, 4.0],
        "s_low": [0.5, 1.0, 2.0, 3.0],
        "s_high": [2.0, 3.0, 4.0, 5.0],
        "seen": [1.1, 9.0, 3.0, 4.0],
    }
)


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that tables become."""
    found: list[Figure] = []

    def kept(paint: Any, inches: tuple[float, float]) -> Picture:
        figure = Figure(inches, layout="constrained")
        paint(figure)
        found.append(figure)
        return Picture(b"", inches)

    monkeypatch.setattr(frames, "picture", kept)
    return found


def test_a_run_is_shown_the_same_whatever_the_users_settings() -> None:
    first = show(two_turns(), "where", "timeline")
    with mpl.rc_context({"font.size": 30, "axes.facecolor": "red"}):
        assert show(two_turns(), "where", "timeline") == first
    png, size = first._repr_png_()
    assert png.startswith(b"\x89PNG") and b"Software" not in png
    assert size == {"width": 700, "height": round(100 * first.inches[1])}
    assert repr(first) == f"Picture(7.00 x {first.inches[1]:.2f} inches)"


def test_where_is_shown_unasked() -> None:
    assert show(two_turns()) == show(two_turns(), "where") != show(two_turns(), "batch")


def test_what_cannot_be_shown() -> None:
    with pytest.raises(UnknownName, match="did you mean 'where'"):
        show(two_turns(), "were")
    with pytest.raises(ConfigError, match="no call to draw"):
        show(run([], [], []))


def test_lines_have_a_panel_a_column_a_line_a_group_and_bands(drawn: list[Figure]) -> None:
    lines(TABLE, "agents", {"s": "time, s", "seen": "seen, s"}, x_label="agents", by="gpu")
    left, right = drawn[0].axes
    assert [list(line.get_ydata()) for line in left.lines] == [[1.0, 2.0], [3.0, 4.0]]
    assert len({(line.get_color(), line.get_linestyle()) for line in left.lines}) == 2
    assert len(left.collections) == 2 and not right.collections
    assert (left.get_xlabel(), right.get_ylabel()) == ("agents", "seen, s")
    labels = [text.get_text() for text in drawn[0].legends[0].get_texts()]
    assert labels == ["gpu = l4", "gpu = h100"]


def test_ticks_of_a_logarithmic_axis_are_its_values(drawn: list[Figure]) -> None:
    lines(TABLE, "agents", {"s": "s"}, x_label="agents", log_x=True)
    assert [text.get_text() for text in drawn[0].axes[0].get_xticklabels()] == ["1", "2"]


def test_bars_end_at_the_sum_of_their_parts(drawn: list[Figure]) -> None:
    table = pd.DataFrame({"a": [1.0, 2.0], "none": [0.0, 0.0], "b": [3.0, 0.5]}, index=["x", "y"])
    stacked(table, x_label="GiB", limit=(3.5, "all there is"))
    (axes,) = drawn[0].axes
    ends = [bar.get_x() + bar.get_width() for bar in axes.patches]
    assert ends == [1.0, 2.0, 4.0, 2.5]
    labels = [text.get_text() for text in drawn[0].legends[0].get_texts()]
    assert labels == ["a", "b", "all there is"]


def test_ranges_show_prediction_interval_and_measurement(drawn: list[Figure]) -> None:
    ranges(TABLE, "gpu", "s", seen="seen", x_label="s")
    (axes,) = drawn[0].axes
    predicted, seen = axes.lines
    assert list(predicted.get_xdata()) == list(TABLE.s)
    assert list(seen.get_xdata()) == list(TABLE.seen)
    spans = [tuple(path.vertices[:, 0]) for path in axes.collections[0].get_paths()]
    assert spans == list(zip(TABLE.s_low, TABLE.s_high, strict=True))


def test_a_picture_is_as_large_as_asked() -> None:
    made = picture(lambda figure: figure.subplots(), (3.0, 2.0))
    assert int.from_bytes(made.png[16:20]) == 450


def test_text_is_given_back_in_a_notebook_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rich would show it there and return nothing."""
    monkeypatch.setattr("rich.console._is_jupyter", lambda: True)
    table = plain_table(("head",))
    table.add_row("row")
    assert on_screen(table) == "head\nrow\n"
