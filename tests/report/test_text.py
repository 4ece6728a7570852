"""The screen: 80 columns, about 40 lines, the answer first, no sign by colour alone."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from agentsim.domain.records import Run
from agentsim.report.durations import duration, percent
from agentsim.report.figures import Bands, Interval, Intervals
from agentsim.report.summary import summarize
from agentsim.report.text import assumptions_text, headline, to_text
from report.runs import request, run, session, step, two_turns

KV_LOG = (
    "GPU KV cache size: 50,272 tokens, Maximum concurrency for 32,768 tokens per request: 1.53x"
)


def full() -> Run:
    """Two turns with everything the screen can show."""
    made = two_turns(gpu="l4", model="qwen2.5-14b-awq", kv_log=[KV_LOG])
    made.requests["preemptions"][0] = 2
    made.requests["drafted_tokens"][0] = 10
    kinds = ("datasheet", "assumed", "assumed", "assumed", "assumed")
    assumptions: list[dict[str, object]] = [
        {"name": f"factor_{i}", "value": 0.5, "kind": kind, "source": "a long source " * 9}
        for i, kind in enumerate(kinds)
    ]
    return replace(made, assumptions=tuple(assumptions), notes={"prompts truncated": 3})


def test_the_first_line_is_the_answer() -> None:
    made = full()
    assert to_text(made, summarize(made)).startswith(
        "2 calls of 1 agent take 20.0 s on one l4 with qwen2.5-14b-awq."
    )


@pytest.mark.parametrize("ascii_only", [False, True])
def test_the_screen_fits_80_columns_and_40_lines(ascii_only: bool) -> None:
    text = to_text(full(), summarize(full()), ascii_only=ascii_only)
    lines = text.splitlines()
    assert max(map(len, lines)) <= 80
    assert len(lines) <= 40
    assert not any(line.endswith(" ") for line in lines)
    assert text.isascii() == ascii_only


def test_colour_adds_nothing_but_colour() -> None:
    made = full()
    coloured = to_text(made, summarize(made), colour=True)
    assert "\x1b[" in coloured
    stripped = re.sub(r"\x1b\[[0-9;]*m", "", coloured)
    plain = to_text(made, summarize(made))
    assert [line.rstrip() for line in stripped.splitlines()] == plain.splitlines()


def test_every_part_of_the_result_is_on_the_screen() -> None:
    text = " ".join(to_text(full(), summarize(full())).split())
    for part in (
        "prefill 6.00 s 30.0 %",
        "TTFT 3.50 s 3.90 s 3.99 s 3.50 s 2",
        "served 25.0 % of 400 prompt tokens; 300 were computed",
        "peak 50.0 %, mean 19.5 % of 100 blocks of 16 tokens",
        KV_LOG,
        "2, of 1 call",
        "kept 0 of 10 draft tokens",
        "7 tokens, 0.350 a second",
        "2 finished",
        "4 assumed (factor_1, factor_2, ...), 1 datasheet; --assumptions lists all",
        "prompts truncated: 3",
    ):
        assert part in text


def test_the_intervals_are_said_before_the_rest() -> None:
    band = Bands(Interval(0.0311, 0.0424), None, None, None)
    none = Bands(None, None, None, None)
    sure = Intervals(
        0.9, 8, Interval(18.0, 61.0), None, Interval(0.5, 0.75), band, none, none, none
    )
    made = full()
    lines = to_text(made, summarize(made, intervals=sure)).splitlines()
    said = lines.index("90 % interval    runtime 18.0 s to 1 min 1 s, cost $0.50 to $0.75")
    assert lines[said + 1].strip() == "mean TTFT 31.1 to 42.4 ms"
    assert lines[said + 2].startswith("Prefix cache")


def test_markup_in_a_name_stays_text() -> None:
    made = replace(two_turns(), notes={"[red]x[/red]": 1})
    assert "[red]x[/red]" in to_text(made, summarize(made))


def test_a_run_without_calls_still_has_a_screen() -> None:
    made = run([], [], [])
    assert "0 calls of 0 agents take 0 s" in to_text(made, summarize(made))


def test_the_headline_names_what_the_gpu_did_largest_first_and_leaves_out_what_is_tiny() -> None:
    calls = [request("s", "a", (0, 0, 1, 400))]
    made = run(calls, [step(0, 1, prefill_tokens=1), step(1, 400)], [session("s", 0, 400)])
    assert headline(made, summarize(made)).endswith("The GPU decodes 99.8 % of that time.")
    assert headline(full(), summarize(full())).endswith(
        "The GPU decodes 35.0 % of that time, prefills 30.0 %, waits for tools 30.0 % and is idle "
        "5.0 %."
    )


def test_the_headline_keeps_a_number_and_its_sign_on_one_line() -> None:
    for width in range(20):
        made = two_turns(gpu="x" * width)
        lines = to_text(made, summarize(made)).splitlines()
        assert not any(line.startswith("%") for line in lines)


def test_an_assumption_says_how_sure_it_is() -> None:
    made = full()
    made.assumptions[0]["error"] = 0.123
    assert "factor_0 = 0.5 (standard error 12.3 %)" in assumptions_text(made)


def test_all_assumptions_are_listed_with_their_source() -> None:
    text = assumptions_text(full())
    assert all(f"factor_{i}" in text for i in range(5))
    assert "a long source" in text
    assert max(map(len, text.splitlines())) <= 80


@pytest.mark.parametrize(
    ("seconds", "read"),
    [
        (0, "0 s"),
        (2.5e-7, "0.250 us"),
        (0.0042, "4.20 ms"),
        (0.99999, "1,000 ms"),
        (59.96, "60.0 s"),
        (60.9, "1 min 1 s"),
        (3599.7, "1 h 0 min"),
        (90_000, "1 d 1 h"),
    ],
)
def test_durations_read_in_their_natural_unit(seconds: float, read: str) -> None:
    assert duration(seconds) == read


def test_a_small_share_never_reads_as_nothing() -> None:
    assert [percent(s) for s in (0, 1e-9, 0.5, 0.99999, 1)] == [
        "0 %",
        "<0.1 %",
        "50.0 %",
        ">99.9 %",
        "100 %",
    ]


def test_a_run_that_is_mostly_empty_says_why() -> None:
    """Two sessions an hour apart, as their trace has it."""
    calls = [request(f"s{n}", "a", (at, at, at + 1, at + 2)) for n, at in enumerate((0, 3600))]
    steps = [step(at, at + 2) for at in (0, 3600)]
    made = run(calls, steps, [session("s0", 0, 2), session("s1", 3600, 3602)])
    assert "mostly nobody is there" in to_text(made, summarize(made))
    assert "mostly nobody is there" not in to_text(full(), summarize(full()))
