"""Reports in a real browser: what it renders, and that it can be used without a mouse."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agentsim.domain.trace import Call, Session, Trace
from agentsim.report.html.page import write_page
from agentsim.report.html.run_page import run_page
from agentsim.report.summary import summarize
from agentsim.simulator import simulate

HOSTILE = ("</script><script>alert(1)</script>", "<img src=x onerror=alert(2)>", "a\u202egpj.exe")
PHONE = {"width": 390, "height": 800}


@pytest.fixture(scope="session")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three agents with hostile names."""
    sessions = [
        Session(
            name,
            (Call("a", 900, 40), Call("b", 1500, 60, after=("a",), delay_ns=2 * 10**9)),
        )
        for name in HOSTILE
    ]
    run = simulate(Trace(sessions))
    path = tmp_path_factory.mktemp("browser") / "report.html"
    write_page(run_page(run, summarize(run), "<b>trace</b>.jsonl"), path)
    return path


def test_the_page_shows_its_key_figures(look: Any, report: Path) -> None:
    page = look(report)
    assert page.locator("h1").inner_text().startswith("6 calls of 3 agents take ")
    cards = dict(zip(page.locator("dt").all_inner_texts(),
                     page.locator(".card .value").all_inner_texts(), strict=True))  # fmt: skip
    assert cards["Runtime"].endswith(" s")
    assert cards["Prompt from the cache"].endswith(" %")
    drawings = page.locator("figure svg[role=img]")
    assert drawings.count() >= 8
    for at in range(drawings.count()):
        box = drawings.nth(at).bounding_box()
        assert box["width"] > 100
        assert box["height"] > 15


def test_hostile_names_stay_text_in_the_page_and_in_the_tip(look: Any, report: Path) -> None:
    page = look(report)
    shown = page.locator("bdi").all_inner_texts()
    assert HOSTILE[0] in shown
    assert HOSTILE[1] in shown
    assert page.locator("img").count() == 0
    assert page.locator("main script").count() == 1  # the data, which is not run
    canvas = page.locator("#timeline")
    canvas.scroll_into_view_if_needed()
    canvas.hover(position={"x": 300, "y": 12})
    assert HOSTILE[0] in page.locator("#timeline-tip").inner_text()


def drawn(page: Any) -> str:
    made: str = page.evaluate("document.getElementById('timeline').toDataURL()")
    return made


def test_the_timeline_zooms_and_moves_by_keys_and_buttons(look: Any, report: Path) -> None:
    page = look(report)
    told = page.locator("#timeline-range")
    whole, first = told.inner_text(), drawn(page)
    page.locator("#timeline").focus()
    ranges = []
    for key in ("+", "+", "ArrowRight", "ArrowLeft", "-"):
        before = told.inner_text()
        page.keyboard.press(key)
        page.wait_for_function("text => text !== document.getElementById('timeline-range')"
                               ".textContent", arg=before)  # fmt: skip
        ranges.append(told.inner_text())
    assert ranges[1] == ranges[3]
    assert ranges[0] == ranges[4]
    assert drawn(page) != first
    page.keyboard.press("Home")
    page.wait_for_function("text => text === document.getElementById('timeline-range')"
                           ".textContent", arg=whole)  # fmt: skip
    assert drawn(page) == first
    page.get_by_role("button", name="Zoom in").click()
    page.wait_for_function("text => text !== document.getElementById('timeline-range')"
                           ".textContent", arg=whole)  # fmt: skip


def test_the_wheel_scrolls_the_page_unless_it_is_to_zoom(look: Any, report: Path) -> None:
    page = look(report)
    whole = page.locator("#timeline-range").inner_text()
    page.locator("#timeline").hover()
    before = page.evaluate("scrollY")
    page.mouse.wheel(0, 50)
    page.wait_for_function("before => scrollY > before", arg=before)
    assert page.locator("#timeline-range").inner_text() == whole
    page.keyboard.down("Control")
    page.mouse.wheel(0, -50)
    page.wait_for_function(
        "text => text !== document.getElementById('timeline-range').textContent", arg=whole
    )


def test_every_stop_of_the_tab_key_can_be_seen_and_has_a_name(look: Any, report: Path) -> None:
    """The way to the answer comes first."""
    page = look(report)
    names = []
    for _ in range(60):
        page.keyboard.press("Tab")
        name = page.evaluate(
            "(({tagName, ariaLabel, textContent, labels}) => tagName === 'BODY' ? null :"
            " (ariaLabel || textContent || labels?.[0]?.textContent || '').trim())"
            "(document.activeElement)"
        )
        if name is None:
            break
        names.append(name)
    assert names[0] == "Skip to the answer"
    assert all(names)
    for wanted in ("Dark", "Zoom in", "Show rows with", "Every setting"):
        assert wanted in names
    assert names.index("Dark") < names.index("Zoom in") < names.index("Every setting")


def test_the_theme_follows_the_system_and_the_button(look: Any, report: Path) -> None:
    ground = "getComputedStyle(document.body).backgroundColor"
    page = look(report, color_scheme="dark")
    assert page.evaluate(ground) == "rgb(20, 23, 26)"
    first = drawn(page)
    page.get_by_role("button", name="Light").click()
    assert page.evaluate(ground) == "rgb(255, 255, 255)"
    assert drawn(page) != first
    assert look(report, color_scheme="light").evaluate(ground) == "rgb(255, 255, 255)"


def test_tables_are_sorted_and_filtered(look: Any, report: Path) -> None:
    page = look(report)
    table = page.locator("table[data-filter]")
    shown = "rows => rows.filter(row => !row.hidden).map(row => row.cells[0].textContent)"
    names = table.locator("tbody tr").evaluate_all(shown)
    page.get_by_label("Show rows with").fill("datasheet")
    some = table.locator("tbody tr").evaluate_all(shown)
    assert 0 < len(some) < len(names)
    page.get_by_label("Show rows with").fill("")
    table.get_by_role("button", name="name").click()
    assert table.locator("th[aria-sort=ascending]").inner_text().startswith("name")
    up = table.locator("tbody tr").evaluate_all(shown)
    table.get_by_role("button", name="name").click()
    assert table.locator("tbody tr").evaluate_all(shown) == up[::-1]
    assert sorted(up) == sorted(names)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_on_a_phone_nothing_is_wider_than_the_page(look: Any, report: Path, scheme: str) -> None:
    page = look(report, viewport=PHONE, color_scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
    row = page.locator("table[data-filter] tbody tr").first
    cells = [row.locator("td").nth(at).bounding_box() for at in range(2)]
    assert cells[0]["x"] == cells[1]["x"]
    assert cells[0]["y"] < cells[1]["y"]


def test_in_print_all_is_open_and_nothing_is_to_be_clicked(look: Any, report: Path) -> None:
    """On white, whatever the theme."""
    page = look(report, color_scheme="dark")
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert not page.locator("button:visible, nav:visible, input:visible, summary:visible").count()
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("details[open]").count() == page.locator("details:not(.unprinted)").count()
    assert page.get_by_text("engine.max_num_seqs", exact=True).first.is_visible()
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.locator("details[open]").count() == 0
    assert page.pdf()[:4] == b"%PDF"


def test_without_scripts_everything_but_the_timeline_is_there(look: Any, report: Path) -> None:
    page = look(report, java_script_enabled=False)
    assert page.get_by_text("The drawing needs JavaScript").is_visible()
    assert page.locator("h1").is_visible()
    assert not page.locator("canvas").is_visible()
    assert page.get_by_role("button", name="Dark").count() == 0
