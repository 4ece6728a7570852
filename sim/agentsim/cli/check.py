"""``agentsim check``: a running vLLM's metrics beside those of a simulated run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from agentsim.cli.settings import configure, setting_options, shorthands
from agentsim.errors import ConfigError, UserError

if TYPE_CHECKING:
    from agentsim.report.against_server import Comparison
    from agentsim.report.server_metrics import Bounds, Snapshot

#: Seconds within which a server must answer.
_PATIENCE_S = 30.0


@click.command("check", short_help="A running vLLM's metrics beside a simulated run.")
@click.argument("trace", metavar="TRACE")
@click.option(
    "--metrics",
    "sources",
    metavar="URL|FILE",
    multiple=True,
    required=True,
    help="What /metrics says; twice: before and after the load.",
)
@setting_options
@shorthands
@click.option("--format", "trace_format", metavar="NAME", default="auto", help="Format of TRACE.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of text.")
def check_command(
    *, trace: str, sources: tuple[str, ...], trace_format: str, as_json: bool, **settings: Any
) -> None:
    """Compare the metrics of a vLLM that has served TRACE with a simulated run of it.

    The server knows quantiles by histogram buckets only, so these are bounds.

    \b
    agentsim check trace.jsonl --metrics http://127.0.0.1:8000 --gpu h100
    agentsim check trace.jsonl --metrics before.txt --metrics after.txt
    """
    from agentsim.cli.screen import Ticker, emit
    from agentsim.machine.system import build_system
    from agentsim.report.against_server import compare
    from agentsim.report.summary import summarize
    from agentsim.simulator import simulate
    from agentsim.uncertainty import default_samples, predict_intervals
    from agentsim.workload.formats import read_trace

    config, assumptions = configure(**settings)
    snapshot = _read_all(sources)
    system = build_system(config, assumptions)
    sessions = read_trace(trace, format=trace_format)
    with Ticker("check") as tick:
        run = simulate(sessions, config, progress=tick, system=system)
    intervals = None
    if samples := default_samples(sessions):
        with Ticker("intervals") as tick:
            intervals = predict_intervals(
                sessions, config, run, system, samples=samples, progress=tick
            )
    found = compare(snapshot, run, summarize(run, system.cost.parts, intervals=intervals))
    emit(_json(found) if as_json else _text(found))


def _read_all(sources: tuple[str, ...]) -> Snapshot:
    if len(sources) > 2:
        raise ConfigError(f"--metrics: expected one, or before and after, got {len(sources)}")
    first, *others = [_read(source) for source in sources]
    return others[0].since(first) if others else first


def _read(source: str) -> Snapshot:
    from agentsim.report.server_metrics import parse_metrics

    is_url = source.startswith(("http://", "https://"))
    return parse_metrics(_fetch(source) if is_url else _load(source), source)


def _load(source: str) -> str:
    from pathlib import Path

    try:
        return Path(source).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8"
        raise UserError(f"{source}: cannot be read: {reason}") from error


def _fetch(url: str) -> str:
    from http.client import HTTPException
    from urllib.error import HTTPError
    from urllib.request import urlopen

    place = url if url.rstrip("/").endswith("/metrics") else f"{url.rstrip('/')}/metrics"
    try:
        with urlopen(place, timeout=_PATIENCE_S) as answer:
            data: bytes = answer.read()
    except HTTPError as error:
        error.close()
        raise UserError(f"{place}: HTTP {error.code}") from error
    except (OSError, HTTPException, ValueError) as error:
        raise UserError(f"{place}: cannot be read: {getattr(error, 'reason', error)}") from error
    return data.decode("utf-8", "replace")


def _json(found: Comparison) -> str:
    import msgspec

    from agentsim.cli.screen import json_text

    plain = msgspec.to_builtins(found)
    return json_text(plain)


def _text(found: Comparison) -> str:
    """A table of latencies, one of totals, and why they may not be of the same load."""
    from textwrap import fill

    from agentsim.report.durations import span
    from agentsim.report.layout import on_screen, plain_table

    table = plain_table(("Latency", "server", "simulated", "90 % interval", "difference"))
    for column in table.columns[1:]:
        column.justify = "right"
    for row in found.latencies:
        for name in ("mean", "p50", "p90", "p99"):
            said, simulated = getattr(row.server, name), getattr(row.simulated, name)
            sure = getattr(row.intervals, name, None)
            between = span(sure.low, sure.high) if sure is not None else "-"
            server, shown, off = _cells(said, simulated)
            table.add_row(f"{row.metric} {name}", server, shown, between, off)
    totals = plain_table(("Total", "server", "simulated", "difference"))
    for column in totals.columns[1:]:
        column.justify = "right"
    for total in found.totals:
        counts = [
            "-" if v is None else f"{round(v, 1):,.10g}" for v in (total.server, total.simulated)
        ]
        totals.add_row(total.name, *counts, _difference(total.server, total.simulated))
    notes = [fill(note, 80, subsequent_indent="  ") for note in found.notes]
    return "\n".join([on_screen(table), on_screen(totals), *(f"{note}\n" for note in notes)])


def _cells(said: float | Bounds | None, simulated: float | None) -> tuple[str, str, str]:
    from agentsim.report.durations import duration

    shown = "-" if simulated is None else duration(simulated)
    if said is None or simulated is None:
        return "-" if said is None else _said(said), shown, "-"
    if isinstance(said, float):
        return duration(said), shown, _difference(said, simulated)
    if said.holds(simulated):
        return _said(said), shown, "within"
    return _said(said), shown, "below" if simulated < said.low else "above"


def _said(value: float | Bounds) -> str:
    from math import isinf

    from agentsim.report.durations import duration

    if isinstance(value, float):
        return duration(value)
    if isinf(value.high):
        return f"above {duration(value.low)}"
    return f"{duration(value.low)} to {duration(value.high)}"


def _difference(said: float | None, simulated: float | None) -> str:
    if said is None or simulated is None:
        return "-"
    if not said:
        return "same" if not simulated else "-"
    return f"{100 * (simulated / said - 1):+.1f} %".replace("-0.0", "+0.0")
