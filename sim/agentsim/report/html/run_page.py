"""The report of one run: `run_page`."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from agentsim.domain.records import Run
from agentsim.report.bill_text import bill_assumptions
from agentsim.report.document import plain_facts
from agentsim.report.durations import count, dollars, duration, energy, percent, significant
from agentsim.report.figures import Bands, Interval, Intervals, Summary
from agentsim.report.html.latency import latency_curves, latency_table
from agentsim.report.html.mark import Html, short, tag
from agentsim.report.html.money import money
from agentsim.report.html.over_time import over_time
from agentsim.report.html.page import Page, Section, card, cards, figure, folded, page_name
from agentsim.report.html.plot import Plot, Point, across, key, upward
from agentsim.report.html.scales import from_zero
from agentsim.report.html.tables import table
from agentsim.report.html.timeline import timeline
from agentsim.report.html.trust import assumptions, limits, settings
from agentsim.report.html.where import where_parts
from agentsim.report.html.worst import slowest
from agentsim.report.prefill import prefill_curves
from agentsim.report.text import headline

_NO_BANDS = Bands(None, None, None, None)
#: Where no intervals were asked for.
_NONE = Intervals(0.0, 0, None, None, None, _NO_BANDS, _NO_BANDS, _NO_BANDS, _NO_BANDS)
#: Rows of the table of prefill by turn.
_TURNS = 12


def run_page(run: Run, summary: Summary, subject: str) -> Page:
    """Everything a report says of a run.

    Parameters
    ----------
    summary : Summary
        `summarize(run, ...)`.
    subject : str
        Where the run comes from: the name of the trace.
    """
    return Page(
        "replay",
        page_name(subject),
        headline(run, summary),
        (cards(*_key_figures(summary)), tag("p", _sureness(summary), class_="about")),
        tuple(_sections(run, summary)),
    )


def _key_figures(summary: Summary) -> Iterator[Html]:
    sure, bill, latency = summary.intervals or _NONE, summary.bill, summary.latency
    yield card("Runtime", duration(summary.runtime_s), _between(sure.runtime_s))
    if bill and (hosted := bill.self_hosted):
        price = f"{hosted.gpu_hour.kind} {hosted.gpu_hour.date}".rstrip()
        yield card("Rent of this run", dollars(hosted.run_usd),
                   _between(sure.run_usd, dollars), price)  # fmt: skip
    for label, name, share in (
        ("p90 TTFT", "ttft", "p90"), ("p50 TPOT", "tpot", "p50"), ("p90 E2E", "e2e", "p90"),
    ):  # fmt: skip
        value = getattr(getattr(latency, name), share)
        if value is not None:
            yield card(label, duration(value), _between(getattr(getattr(sure, name), share)))
    rate = summary.rates.output_tokens_per_s
    if rate is not None:
        yield card("Output tokens a second", significant(rate),
                   _between(sure.output_tokens_per_s, significant))  # fmt: skip
    if summary.tokens.cached_share is not None:
        yield card("Prompt from the cache", percent(summary.tokens.cached_share),
                   f"of {count(summary.tokens.prompt, 'token')}")  # fmt: skip
    if summary.kv:
        yield card("KV cache at most", percent(summary.kv.peak_share),
                   f"of {count(summary.kv.usable_blocks, 'block')}")  # fmt: skip
    if summary.preemptions.count:
        yield card("Preemptions", f"{summary.preemptions.count:,}",
                   f"of {count(summary.preemptions.requests, 'call')}")  # fmt: skip
    if bill and bill.energy:
        yield card("Energy", energy(bill.energy.kwh), f"GPUs alone, {bill.energy.kind}")


def _between(band: Interval | None, write: Callable[[float], str] = duration) -> str:
    return f"{write(band.low)} to {write(band.high)}" if band else ""


def _sureness(summary: Summary) -> str:
    sure = summary.intervals
    if sure is None:
        return (
            "No intervals were asked for (--samples N). Figures without one are exact in the model."
        )
    return (
        f"Below a value: its {100 * sure.level:g} % interval, from {sure.samples} sets of cost "
        "factors. Counts and shares are exact in the model."
    )


def _sections(run: Run, summary: Summary) -> Iterator[Section]:
    yield Section("Where the time went", where_parts(summary), is_wide=False)
    if run.requests.num_rows:
        yield Section("Timeline", (timeline(run),))
        yield Section("Latency", (latency_table(summary), _grid(latency_curves(run))))
    drawn, about = over_time(run)
    if run.steps.num_rows:
        yield Section("Over time", drawn, about, is_wide=False)
    if (prefill := _prefill(run)) is not None:
        yield prefill
    if summary.bill is not None:
        sure = summary.intervals.run_usd if summary.intervals else None
        yield Section("Cost", money(summary.bill, sure))
    if run.sessions.num_rows:
        yield Section("Slowest", slowest(run), "Where to look first.")
    made = (*run.assumptions, *(bill_assumptions(summary.bill) if summary.bill else ()))
    yield assumptions(made)
    yield settings(run.config, plain_facts(run.facts))
    yield limits(run.notes)


def _grid(parts: tuple[Html, ...]) -> Html:
    return tag("div", *parts, class_="grid")


def _prefill(run: Run) -> Section | None:
    """Prompt tokens of the longest session, as computed and without a prefix cache."""
    chunks = run.requests.chunks("prompt_tokens")
    if not any((chunk["prompt_tokens"] > 0).any() for chunk in chunks):
        return None
    curves = prefill_curves(run)
    num_turns = len(curves.turns)
    if num_turns < 2:
        return None
    rows = [curves.whole.tolist(), curves.computed.tolist()]
    plot = Plot(across(1.0, float(num_turns)), upward(from_zero(float(rows[0][-1]), 0, 1)))
    plot.axes("call of the session")
    for kind, values in enumerate(rows):
        plot.curve([Point(turn, value) for turn, value in enumerate(values, 1)], kind)
    shown = sorted({round(at * (num_turns - 1) / (_TURNS - 1)) for at in range(_TURNS)})
    cells = [(f"{at + 1}", f"{rows[0][at]:,}", f"{rows[1][at]:,}") for at in shown]
    names = ("without a cache", "computed here")
    ratio = rows[0][-1] / max(1, rows[1][-1])
    label = f"Prompt tokens up to each call: {rows[0][-1]:,} without a cache, {rows[1][-1]:,} here"
    listed = table(("call", *names), cells, caption="Prompt tokens up to a call")
    values = folded("Values", listed, is_printed=False)
    drawn = figure("Prompt tokens, added up", plot.svg(label), values, legend=key(names))
    about = (
        f"Session {short(curves.session, 64)}, the one with the most calls: the prefix cache saves "
        f"{significant(ratio)} times the prefill."
    )
    return Section("Prefill with and without the cache", (drawn,), about, is_wide=False)
