"""A result on one screen of 80 columns: the answer first, then why.

Start at `to_text`. Whoever prints it decides on colour, which only repeats what position and words
say.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from agentsim.domain.records import Run
from agentsim.report.bill import Bill
from agentsim.report.bill_text import api_part, bill_assumptions, bill_lines
from agentsim.report.cost import gpus_of
from agentsim.report.durations import (
    count,
    dollars,
    duration,
    percent,
    significant,
    span,
    unit_for,
)
from agentsim.report.figures import Intervals, Quantiles, Summary
from agentsim.report.layout import WIDTH, on_screen
from agentsim.report.speculation import speculation_text

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

_BAR = 9
_LABEL = 15
#: Row label, field of GpuTime, field of AgentTime, colour of the bar.
_ROWS = (
    ("front end", None, "api_s", "yellow"),
    ("queue", None, "queue_s", "yellow"),
    ("prefill", "prefill_s", "prefill_s", "cyan"),
    ("decode", "decode_s", "decode_s", "green"),
    ("recomputation", "recomputation_s", "recomputation_s", "red"),
    ("overhead", "overhead_s", None, "magenta"),
    ("tool waits", "idle_tools_s", "tools_s", "blue"),
    ("idle, nobody", "idle_nobody_s", None, "blue"),
    ("idle, other", "idle_between_steps_s", None, "magenta"),
)
#: Rows that are shown even where they are 0.
_ALWAYS = ("queue", "prefill", "decode", "overhead", "tool waits")
_LATENCIES = {"ttft": "TTFT", "tpot": "TPOT", "itl": "ITL", "e2e": "E2E", "session": "session"}
#: Least share of the time that the headline mentions.
_WORTH_SAYING = 0.01
#: From this share of time without any agent on, a note says why.
_EMPTY = 0.5
#: Assumptions named on the screen; `--assumptions` lists all.
_NAMED = 2


def to_text(run: Run, summary: Summary, *, colour: bool = False, ascii_only: bool = False) -> str:
    """The result as text, at most 80 columns wide, with a newline at its end.

    Parameters
    ----------
    run, summary
        `summary` is `summarize(run, ...)`.
    colour : bool
        With ANSI styles, for a terminal.
    ascii_only : bool
        Bars of ``#`` instead of blocks.
    """
    from rich.text import Text

    parts: list[RenderableType] = [
        Text(_filled(headline(run, summary)), style="bold"),
        _where(summary, ascii_only=ascii_only),
        _latencies(summary),
        _facts(run, summary),
    ]
    if summary.bill is not None and summary.bill.apis:
        parts.append(api_part(summary.bill))
    return "\n".join(on_screen(part, colour=colour) for part in parts)


def assumptions_text(run: Run, bill: Bill | None = None) -> str:
    """Every assumption: its kind, name and value, and below them where it comes from."""
    from textwrap import fill

    lines = []
    for made in (*run.assumptions, *(bill_assumptions(bill) if bill else ())):
        value = f"{made['value']} {made.get('unit', '')}".rstrip()
        if made.get("error"):
            value += f" (standard error {percent(made['error'])})"
        for first, text in (
            (f"{made['kind']:<11}", f"{made['name']} = {value}"),
            (" " * 11, str(made["source"])),
        ):
            lines.append(fill(text, WIDTH, initial_indent=first, subsequent_indent=" " * 13))
    return "".join(f"{line}\n" for line in lines)


def headline(run: Run, summary: Summary) -> str:
    """The answer in a sentence, and what the GPU did in another."""
    calls = sum(summary.calls.values())
    num_gpus = gpus_of(run, summary.replicas)
    machine = f"{'one' if num_gpus == 1 else f'{num_gpus:,}'} {run.facts.get('gpu', 'GPU')}"
    model = f" with {run.facts['model']}" if "model" in run.facts else ""
    takes = "takes" if calls == 1 else "take"
    who = f"{count(calls, 'call')} of {count(summary.agents, 'agent')}"
    first = f"{who} {takes} {duration(summary.runtime_s)} on {machine}{model}."
    gpu = summary.gpu
    spent = {
        "decodes": gpu.decode_s,
        "prefills": gpu.prefill_s,
        "recomputes": gpu.recomputation_s,
        "waits for tools": gpu.idle_tools_s,
        "is idle": gpu.idle_s - gpu.idle_tools_s,
    }
    shares = {verb: seconds / gpu.total_s for verb, seconds in spent.items() if gpu.total_s}
    order = sorted(shares, key=lambda verb: -shares[verb])
    said = [f"{verb} {percent(shares[verb])}" for verb in order if shares[verb] >= _WORTH_SAYING]
    if not said:
        return first
    said[0] += " of that time"
    listed = f"{', '.join(said[:-1])} and {said[-1]}" if len(said) > 1 else said[0]
    return f"{first} The GPU {listed}."


def _filled(text: str) -> str:
    """Lines of at most `WIDTH` columns that keep a number and its % together."""
    from textwrap import fill

    return fill(text.replace(" %", "\xa0%"), WIDTH).replace("\xa0", " ")


def _where(summary: Summary, *, ascii_only: bool) -> Table:
    from rich.text import Text

    who = "session" if summary.sessions == 1 else "per session"
    table = _table("Time")
    for head in ("GPU", who):
        table.add_column(head, justify="right", no_wrap=True, width=11)
        table.add_column("", justify="right", no_wrap=True, width=6)
        table.add_column("", no_wrap=True, width=_BAR)
    gpu, agent = summary.gpu, summary.agent
    for label, on_gpu, in_session, colour in _ROWS:
        spent = getattr(gpu, on_gpu) if on_gpu else None
        lived = getattr(agent, in_session) if in_session else None
        if not (spent or lived or label in _ALWAYS):
            continue
        row = []
        for seconds, total in ((spent, gpu.total_s), (lived, agent.total_s)):
            time, share, bar = _share(seconds, total, ascii_only)
            row += [Text(time), Text(share), Text(bar, style=colour)]
        table.add_row(f"  {label}", *row)
    table.add_row("  total", duration(gpu.total_s), "", "", duration(agent.total_s), "", "")
    return table


def _share(spent: float | None, total: float, ascii_only: bool) -> tuple[str, str, str]:
    """Time, percentage and bar; dashes where the row does not apply."""
    if spent is None:
        return "-", "", ""
    share = spent / total if total else 0.0
    return duration(spent), percent(share), _bar(share, ascii_only=ascii_only)


def _bar(share: float, *, ascii_only: bool) -> str:
    """A bar of at most `_BAR` columns, in eighths of a column where the terminal has them."""
    if ascii_only:
        return "#" * round(share * _BAR)
    whole, eighths = divmod(round(share * _BAR * 8), 8)
    return "█" * whole + " ▏▎▍▌▋▊▉"[eighths].strip()


def _latencies(summary: Summary) -> Table:
    table = _table("Latency")
    for head in ("p50", "p90", "p99", "mean", "values"):
        table.add_column(head, justify="right", no_wrap=True, width=10)
    for name, label in _LATENCIES.items():
        values: Quantiles = getattr(summary.latency, name)
        cells = [values.p50, values.p90, values.p99, values.mean]
        unit, factor = unit_for(max((c for c in cells if c is not None), default=1.0))
        shown = ["-" if c is None else f"{significant(c * factor)} {unit}" for c in cells]
        table.add_row(f"  {label}", *shown, f"{values.count:,}")
    return table


def _table(title: str) -> Table:
    """A table without lines, its first column for labels."""
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    table.add_column(title, no_wrap=True, width=_LABEL)
    return table


def _facts(run: Run, summary: Summary) -> Table:
    """What one line says each: cache, memory, preemptions, tokens, assumptions, notes."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, show_header=False)
    table.add_column(style="bold", no_wrap=True, min_width=_LABEL)
    table.add_column(overflow="fold")
    for label, line in _lines(run, summary):
        table.add_row(label, Text(line))
    return table


def _lines(run: Run, summary: Summary) -> Iterator[tuple[str, str]]:
    if summary.intervals:
        yield from _interval_lines(summary.intervals)
    tokens = summary.tokens
    if tokens.cached_share is not None:
        cached = f"{percent(tokens.cached_share)} of {count(tokens.prompt, 'prompt token')}"
        yield "Prefix cache", f"served {cached}; {tokens.computed:,} were computed"
    if summary.kv:
        kv = summary.kv
        use = f"peak {percent(kv.peak_share)}, mean {percent(kv.mean_share)}"
        yield "KV cache", f"{use} of {count(kv.usable_blocks, 'block')} of {kv.block_tokens} tokens"
    for line in run.facts.get("kv_log", ()):
        yield "", str(line).replace(", ", ",\n")
    lost = summary.preemptions
    if lost.count:
        again = f"{count(tokens.recomputed, 'token')} computed again"
        yield "Preemptions", f"{lost.count:,}, of {count(lost.requests, 'call')}; {again}"
    if summary.speculation:
        yield "Speculation", speculation_text(summary.speculation)
    if summary.rates.output_tokens_per_s is not None:
        rate = significant(summary.rates.output_tokens_per_s)
        yield "Output", f"{count(tokens.output, 'token')}, {rate} a second"
    if summary.batching.mean_seqs is not None:
        batch = summary.batching
        seqs = f"{batch.mean_seqs:.1f} sequences (mean), {batch.peak_running:,} running at most"
        yield "Batching", f"{count(batch.steps, 'step')} of {seqs}"
    if summary.bill is not None:
        yield from bill_lines(summary.bill)
    calls = ", ".join(f"{number:,} {status}" for status, number in summary.calls.items())
    yield "Calls", calls if lost.count or not calls else f"{calls}, none preempted"
    if run.assumptions:
        yield "Assumed", _assumed(run, summary)
    for note, number in sorted(run.notes.items()):
        yield "Note", f"{note}: {number:,}"
    is_open = run.config.get("agents", {}).get("num_agents") is None
    if is_open and summary.gpu.idle_nobody_s > _EMPTY * summary.gpu.total_s:
        yield (
            "Note",
            "mostly nobody is there: sessions start when the trace says; --agents N: N at once",
        )


def _interval_lines(sure: Intervals) -> Iterator[tuple[str, str]]:
    """The intervals of runtime and cost, and those of the mean latencies."""
    said = []
    if sure.runtime_s:
        low, high = duration(sure.runtime_s.low), duration(sure.runtime_s.high)
        said.append(f"runtime {low} to {high}")
    if sure.run_usd:
        said.append(f"cost {dollars(sure.run_usd.low)} to {dollars(sure.run_usd.high)}")
    means = [
        f"{label} {span(band.low, band.high)}"
        for label, band in (("TTFT", sure.ttft.mean), ("E2E", sure.e2e.mean))
        if band
    ]
    lines = [", ".join(said), f"mean {', '.join(means)}" if means else ""]
    head = f"{100 * sure.level:g} % interval"
    for line in filter(None, lines):
        yield head, line
        head = ""


def _assumed(run: Run, summary: Summary) -> str:
    weakest = [str(made["name"]) for made in run.assumptions if made["kind"] == "assumed"]
    named = ", ".join([*weakest[:_NAMED], *(["..."] if len(weakest) > _NAMED else [])])
    said = [
        f"{number} {kind}" + (f" ({named})" if kind == "assumed" else "")
        for kind, number in summary.assumed.items()
    ]
    return f"{', '.join(said)}; --assumptions lists all"
