"""The report as a page: its markup, its drawings, and what it says of a run."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentsim import Config
from agentsim.domain.records import Run
from agentsim.domain.trace import Call, Session, Trace
from agentsim.errors import UserError
from agentsim.machine.system import build_system
from agentsim.report.busy import BUSY, busy
from agentsim.report.html.mark import Html, data, plain, short, tag
from agentsim.report.html.page import check_report, page_text, write_page
from agentsim.report.html.palette import COLOURS, LINES, TEXTS
from agentsim.report.html.run_page import run_page
from agentsim.report.html.scales import Scale, around, compact, from_zero
from agentsim.report.html.waterfall import Cause, waterfall
from agentsim.report.lanes import PHASES, slices
from agentsim.report.summary import summarize
from agentsim.report.text import headline
from agentsim.simulator import simulate
from report.runs import run as made
from report.runs import session, step, two_turns

#: Names that try to be more than text.
HOSTILE = (
    "</script><script>alert(1)</script>",
    '<img src=x onerror="alert(2)">',
    "a\u202egpj.exe\x00\ud800",
    "' onmouseover='alert(3)'&amp;\u2028",
    "long" * 500,
)


class Read(HTMLParser):
    """What a browser makes of a page: elements with attributes, and all text outside scripts."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.scripts: list[str] = []
        self._inside = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._inside = tag

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        (self.scripts if self._inside == "script" else self.texts).append(data)

    def all_of(self, name: str) -> list[str]:
        """Every value of an attribute."""
        return [str(attrs[name]) for _, attrs in self.elements if name in attrs]


def hostile_run() -> Run:
    """Sessions with hostile names, two calls each."""
    sessions = [
        Session(
            name,
            (
                Call(f"{name}a", 400, 5),
                Call(f"{name}b", 500, 5, after=(f"{name}a",), delay_ns=10**9),
            ),
        )
        for name in HOSTILE
    ]
    return simulate(Trace(sessions))


def page_of(run: Run, subject: str = "trace.jsonl") -> str:
    return page_text(run_page(run, summarize(run), subject))


@given(st.text(), st.text())
def test_text_comes_back_as_text(inside: str, attribute: str) -> None:
    """Whatever it is; what cannot be seen is told by a mark."""
    read = Read(tag("p", inside, title=attribute))
    assert [name for name, _ in read.elements] == ["p"]
    assert "".join(read.texts) == plain(inside).replace("\r", "\ufffd")
    assert read.elements[0][1]["title"] == plain(attribute)


def test_only_markup_of_ours_is_markup() -> None:
    assert tag("b", "<i>", Html("<i>"), None, hidden=True, id=None) == "<b hidden>&lt;i&gt;<i></b>"


@given(st.recursive(st.text() | st.integers(), st.lists, max_leaves=10))
def test_data_comes_back_and_ends_no_element(content: Any) -> None:
    made = data("d", content)
    inside = made.removeprefix('<script type="application/json" id="d">').removesuffix("</script>")
    assert json.loads(inside) == content
    assert not set("<>&\u2028\u2029") & set(inside)


def test_long_names_keep_both_ends() -> None:
    assert short("a" * 200 + "z") == f"{'a' * 48} ... {'a' * 47}z"
    assert short("a\u202eb") == "a\ufffdb"


def luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    """As WCAG 2.2 defines it."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_colours_can_be_told_from_their_ground(theme: int) -> None:
    """Text 4.5:1, lines and edges 3:1."""
    for ground in ("page", "raised"):
        for names, least in ((TEXTS, 4.5), (LINES, 3.0)):
            for name in names:
                ratio = contrast(COLOURS[name][theme], COLOURS[ground][theme])
                assert ratio >= least, (name, ground, ratio)


@given(st.floats(1e-6, 1e9), st.floats(1.001, 1e4), st.booleans())
def test_ticks_are_few_and_on_the_scale(low: float, ratio: float, is_log: bool) -> None:
    scale = around(low, low * ratio, 50.0, 400.0, is_log=is_log)
    ticks = scale.ticks(5)
    assert len(ticks) <= 6
    assert all(scale.low * (1 - 1e-6) <= tick <= scale.high * (1 + 1e-6) for tick in ticks)
    places = [scale.at(tick) for tick in ticks]
    assert places == sorted(places)
    assert scale.at(scale.low) == pytest.approx(50.0)
    assert scale.at(scale.high) == pytest.approx(400.0)


@given(st.floats(0, 1e9))
def test_a_scale_from_zero_holds_its_values(high: float) -> None:
    scale = from_zero(high, 0.0, 1.0)
    assert scale.low == 0.0
    assert scale.high >= high * (1 - 1e-9)
    assert 2 <= len(scale.ticks(4)) <= 6


def test_values_at_an_axis_are_short() -> None:
    shown = [compact(v) for v in (0, 0.25, 500, 5000, 20_000, 3e6, 2e9)]
    assert shown == ["0", "0.25", "500", "5,000", "20 k", "3 M", "2 G"]
    assert Scale(0.0, 0.0, 5.0, 9.0).at(3.0) == 5.0


def test_what_a_gpu_did_adds_up_to_its_steps() -> None:
    """Steps that follow one another are one slice; no two slices of a GPU overlap."""
    run = two_turns()
    found = busy(run)
    spent = (found.end_ns - found.start_ns) / 1e9
    totals = {name: float(spent[found.phase == at].sum()) for at, name in enumerate(BUSY)}
    assert totals == {"prefill": 6.0, "decode": 7.0, "prefill and decode": 0.0}
    assert len(spent) == 4
    assert (found.start_ns[1:] >= found.end_ns[:-1]).all()


def test_between_steps_with_a_gap_a_gpu_does_nothing() -> None:
    found = busy(made([], [step(0, 1), step(1, 2), step(3, 4)], [session("s", 0, 4)]))
    assert (found.start_ns // 10**9).tolist() == [0, 3]
    assert (found.end_ns // 10**9).tolist() == [2, 4]


def test_of_too_many_slices_a_grid_is_shown() -> None:
    found = busy(two_turns(), max_slices=3)
    assert found.grid_ns > 0
    assert len(found.track) <= 3
    assert int((found.end_ns - found.start_ns).sum()) <= two_turns().makespan_ns


def test_the_timeline_holds_every_slice() -> None:
    """To the microsecond, in the order of each row."""
    run = two_turns()
    read = Read(page_of(run))
    content = json.loads(next(text for text in read.scripts if text.startswith('{"span"')))
    assert [row["name"] for row in content["rows"]] == ["agent 0", "GPU 0"]
    kinds = [name for name, *_ in content["phases"]]
    spent = dict.fromkeys(PHASES, 0)
    now = 0
    for gap, length, phase in np.reshape(content["rows"][0]["slices"], (-1, 3)).tolist():
        assert gap >= 0
        now += gap + length
        spent[kinds[phase]] += length
    assert now == content["span"] == run.makespan_ns // 1000
    found = slices(run)
    lengths = (found.end_ns - found.start_ns) // 1000
    expected = {name: int(lengths[found.phase == at].sum()) for at, name in enumerate(PHASES)}
    assert spent == expected


def test_what_is_left_out_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Slices, rows and sessions beyond what a page shows."""
    whole = page_of(hostile_run())
    for told in ("Downsampled", "The first 2 of 5 rows", "the first 3 sessions"):
        assert told not in whole
    for name, most in (("_SLICES", 6), ("_TRACKS", 2), ("_SESSIONS", 3)):
        monkeypatch.setattr(f"agentsim.report.html.timeline.{name}", most)
    read = Read(page_of(hostile_run()))
    said = " ".join(read.texts)
    assert "The first 2 of 5 rows of agents are shown." in said
    assert "Downsampled (rows of agents): each stretch of " in said
    assert "the first 3 sessions" in said


@pytest.mark.parametrize(
    ("replicas", "named"), [(2, "replica 1"), (6, "mean of 6 replicas")], ids=["few", "many"]
)
def test_replicas_are_told_apart(replicas: int, named: str) -> None:
    cluster = msgspec.structs.replace(Config().cluster, replicas=replicas)
    config = msgspec.structs.replace(Config(), cluster=cluster)
    sessions = [Session(f"s{n}", (Call("a", 400, 5),)) for n in range(6)]
    read = Read(page_of(simulate(Trace(sessions), config)))
    assert named in read.texts
    assert f"GPU {replicas - 1}" in read.texts


def test_the_answer_comes_first_and_each_part_has_its_heading() -> None:
    run = two_turns()
    text = page_of(run)
    read = Read(text)
    said = " ".join(read.texts)
    assert said.index(headline(run, summarize(run)).partition(". ")[0]) < said.rindex(
        "Where the time went"
    )
    links = [href.removeprefix("#") for href in read.all_of("href") if href.startswith("#s")]
    ids = read.all_of("id")
    assert len(ids) == len(set(ids))
    assert set(links) <= set(ids)
    for name in ("Timeline", "Latency", "Over time", "Assumptions", "How far to trust this"):
        assert name in read.texts


def test_a_page_asks_nobody_for_anything() -> None:
    """Its policy allows its own style and scripts by their hashes, and nothing else."""
    text = page_of(two_turns())
    policy = next(a["content"] for n, a in Read(text).elements if n == "meta" and "http-equiv" in a)
    assert policy is not None
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    inline = re.findall(r"<(?:style|script)>(.*?)</(?:style|script)>", text, re.S)
    assert len(inline) == 3
    for part in inline:
        digest = base64.b64encode(hashlib.sha256(part.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy
    addresses = Read(text).all_of("href") + Read(text).all_of("src")
    assert all(address.startswith(("#", "data:")) for address in addresses)
    assert " style=" not in text


def test_hostile_names_stay_text() -> None:
    run = hostile_run()
    read = Read(page_of(run, "x/<b>.jsonl"))
    assert not {name for name, _ in read.elements} & {"img", "b.jsonl"}
    assert not [key for _, attrs in read.elements for key in attrs if key.startswith("on")]
    assert sum(name == "script" for name, _ in read.elements) == 3
    assert "<b>.jsonl" in read.texts
    for name in HOSTILE[:2]:
        assert name in read.texts
    assert not set("\u202e\x00\ud800") & set(page_of(run))


def test_equal_runs_give_equal_bytes(tmp_path: Path) -> None:
    for name in ("a.html", "b.html"):
        run = hostile_run()
        write_page(run_page(run, summarize(run), "t"), tmp_path / name)
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.html", "b.html"]


def test_every_figure_of_the_summary_that_is_shown_is_there() -> None:
    run = simulate(Trace([Session("s", (Call("a", 500, 20), Call("b", 300, 9, after=("a",))))]))
    system = build_system(Config())
    summary = summarize(run, system.cost.parts)
    said = " ".join(Read(page_text(run_page(run, summary, "t"))).texts)
    for value in (f"{summary.tokens.prompt:,} tokens", f"{summary.kv.usable_blocks:,} blocks"):  # type: ignore[union-attr]
        assert value in said
    for one in run.assumptions:
        assert str(one["name"]) in said
        assert str(one["source"]) in said


def test_a_run_without_a_call_has_a_report() -> None:
    assert "0 calls of 1 agent" in page_of(made([], [], [session("s", 0, 0)]))


def test_the_causes_of_a_waterfall_stand_in_a_table_too() -> None:
    causes = [Cause("cache", -60.0, 2.0), Cause("<b>", 10.0, 1.0, "0 to 20")]
    drawn, listed = waterfall(
        "runtime", ("before", 100.0), causes, ("after", 50.0), unit="s", write=lambda v: f"{v:g}"
    )
    label = next(a["aria-label"] for n, a in Read(drawn).elements if n == "svg")
    assert label == "runtime. before 100; cache \u221260; <b> +10; after 50"
    cells = [text for text in Read(listed).texts if text]
    assert cells == ["runtime", "cause", "s", "standard error", "least to most",
                     "before", "100", "-", "cache", "\u221260", "2",
                     "<b>", "+10", "1", "0 to 20", "after", "50", "-"]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "why"),
    [("r.htmlx", "ends in .html or .htm"), ("no/r.html", "no such folder"), ("r.pdf", "ends in")],
)
def test_files_that_cannot_be_reports(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, why: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=why):
        check_report(name, force=False)
