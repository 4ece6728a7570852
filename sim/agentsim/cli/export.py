"""``agentsim export``: a trace in the formats of other tools."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from agentsim.errors import ConfigError

if TYPE_CHECKING:
    from agentsim.workload.exporters.report import ExportReport


@click.command("export", short_help="Write a trace in the format of another tool.")
@click.argument("trace", metavar="TRACE")
@click.option("--to", "target", metavar="NAME", required=True, help="mooncake, aiperf, ...")
@click.option("-o", "--out", metavar="FILE", required=True, help="The file; .gz packs it.")
@click.option("--format", "trace_format", metavar="NAME", default="auto", help="Format of TRACE.")
@click.option("--block-size", type=int, default=512, help="Tokens of a hashed block: 512.")
@click.option("--json", "as_json", is_flag=True, help="The report as one JSON object.")
@click.option("--force", is_flag=True, help="Replace FILE.")
def export_command(
    *,
    trace: str,
    target: str,
    out: str,
    trace_format: str,
    block_size: int,
    as_json: bool,
    force: bool,
) -> None:
    """Write TRACE as mooncake, aiperf, agentic-mooncake or tracelab-csv.

    So that the same load can be sent to a real server or to another simulator. The report says what
    the format cannot hold.

    \b
    agentsim export mine.jsonl.gz --to aiperf -o load.jsonl
    agentsim export mine.jsonl.gz --to agentic-mooncake -o graph.jsonl
    """
    from pathlib import Path

    from agentsim.cli.screen import emit
    from agentsim.workload.exporters.targets import TARGETS, export
    from agentsim.workload.formats import read_trace

    name = TARGETS.name_of(target)
    TARGETS[name]  # an unknown name is told before the trace is read
    if Path(out).exists() and not force:
        raise ConfigError(f"{out}: exists already; --force replaces it")
    report = export(read_trace(trace, format=trace_format), name, out, block_size=block_size)
    emit(_json(report) if as_json else _text(report, name, out))


def _json(report: ExportReport) -> str:
    from agentsim.cli.screen import json_text

    return json_text(report)


def _text(report: ExportReport, name: str, out: str) -> str:
    """What was written, and what was lost, most often first."""
    from textwrap import fill

    from agentsim.report.durations import count

    calls, sessions = count(report.calls, "call"), count(report.sessions, "session")
    lines = [f"{calls} in {sessions} written to {out} as {name}."]
    if report.lost:
        lines.append(f"What {name} cannot hold:")
    ranked = sorted(report.lost.items(), key=lambda item: (-item[1], item[0]))
    lines += [f"  {number:,} {kind}" for kind, number in ranked]
    rest = [fill(line, 80, subsequent_indent="    ") for line in lines[1:]]
    return "\n".join([lines[0], *rest]) + "\n"
