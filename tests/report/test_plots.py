"""Figures hold the run's figures, in a paper's sizes, the same bytes each time."""

from __future__ import annotations

import re
from pathlib import Path

import matplotlib as mpl
import pytest

from agentsim.errors import UserError
from agentsim.report.plots.page import KINDS, draw
from agentsim.report.plots.style import LINES, LOOKS, SETTINGS, WIDTHS
from report.runs import S, request, run, session, step, two_turns
from report.test_series import two_replicas


def svg_of(folder: Path, *kinds: str, made: object = None, width: str = "double") -> str:
    path = folder / "figure.svg"
    draw(made or two_turns(), path, kinds, width=width)  # type: ignore[arg-type]
    return path.read_text(encoding="utf-8")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("width", WIDTHS)
def test_each_kind_is_as_wide_as_asked_and_legible(kind: str, width: str, tmp_path: Path) -> None:
    svg = svg_of(tmp_path, kind, width=width)
    inches = re.search(r'<svg [^>]*width="([\d.]+)pt"', svg)
    assert inches and float(inches[1]) / 72 == pytest.approx(WIDTHS[width])
    sizes = [float(size) for size in re.findall(r"font(?:-size)?:[^;\"]*?([\d.]+)px", svg)]
    assert sizes and min(sizes) >= 7
    assert "<text" in svg


@pytest.mark.parametrize("ending", ["png", "svg", "pdf"])
def test_equal_runs_give_equal_bytes_whatever_the_users_settings(
    ending: str, tmp_path: Path
) -> None:
    kinds = ["where", "timeline", "kv"]
    first, second = tmp_path / f"a.{ending}", tmp_path / f"b.{ending}"
    draw(two_turns(), first, kinds)
    with mpl.rc_context({"font.size": 30, "axes.facecolor": "red", "lines.linewidth": 9}):
        draw(two_turns(), second, kinds)
        assert mpl.rcParams["font.size"] == 30
    assert first.read_bytes() == second.read_bytes()


def test_shares_are_those_of_the_run(tmp_path: Path) -> None:
    """Of 20 s: the GPU prefills 6, decodes 7, both wait for tools 6."""
    svg = svg_of(tmp_path, "where")
    shares = re.findall(r">(\d+)%<", svg)
    assert sorted(map(int, shares)) == [30, 30, 30, 30, 35, 35]
    assert "GPU time, s" in svg
    assert "time of the session, s" in svg


def test_quantiles_are_those_of_the_run(tmp_path: Path) -> None:
    svg = svg_of(tmp_path, "latency")
    for text in ("p50 3.5 s", "p50 1.5 s", "p50 7 s", "TTFT, time to first token, s"):
        assert text in svg


def test_a_quantity_that_no_call_has_is_said_so(tmp_path: Path) -> None:
    calls = [request("s", "a", (0, 0, 1, 1), output_tokens=1)]
    svg = svg_of(tmp_path, "latency", made=run(calls, [step(0, 1)], [session("s", 0, 1)]))
    assert "TPOT, time per output token (no call has one)" in svg


def test_several_replicas_are_told_apart(tmp_path: Path) -> None:
    svg = svg_of(tmp_path, "kv", "where", made=two_replicas([5, 5, 5], [10, 20, 30]))
    for text in ("replica 0", "replica 1", "GPU time of 2 replicas, s", "evicted"):
        assert text in svg


def test_names_from_a_trace_are_not_formulas(tmp_path: Path) -> None:
    calls = [request("a$b_1$<", "a", (0, 0, 1, 2))]
    svg = svg_of(tmp_path, "prefill", made=run(calls, [step(0, 2)], [session("a$b_1$<", 0, 2)]))
    assert ">turns of session a$b_1$&lt;</text>" in svg


def test_colour_is_never_the_only_sign() -> None:
    """Areas that stand side by side differ in hatch, rows in height, lines in dashes."""
    assert len({dashes for _, dashes in LINES}) == len(LINES)
    areas = [look for name, look in LOOKS.items() if name != "idle_tools"]
    assert len({look.hatch for look in areas}) == len(areas)
    rows = [LOOKS[name].height for name in ("tools", "api", "queue", "prefill", "decode")]
    assert len(set(rows)) == len(rows)
    assert min(size for name, size in SETTINGS.items() if name.endswith("size")) >= 7


def test_nothing_is_left_of_a_figure_that_could_not_be_drawn(tmp_path: Path) -> None:
    (tmp_path / "f.png").mkdir()
    with pytest.raises(UserError, match=r"--out .*f.png: cannot be written"):
        draw(two_turns(), tmp_path / "f.png", ["where"])
    with pytest.raises(UserError, match="the run holds no call"):
        draw(run([], [], []), tmp_path / "g.png", ["where"])
    assert [path.name for path in tmp_path.iterdir()] == ["f.png"]


def test_many_agents_are_cut_and_that_is_said(tmp_path: Path) -> None:
    calls = [request(f"s{i}", "a", (0, 0, 1, 2), slot=i) for i in range(50)]
    lives = [session(f"s{i}", 0, 2, slot=i) for i in range(50)]
    made = run(calls, [step(0, 2 * S / S)], lives)
    assert "the first 40 of 50 rows" in svg_of(tmp_path, "timeline", made=made)
