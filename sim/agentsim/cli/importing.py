"""``agentsim import``: logs that people have, as a trace."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from agentsim.errors import ConfigError

if TYPE_CHECKING:
    from agentsim.workload.importers.assemble import Options
    from agentsim.workload.importers.report import ImportReport


@click.command("import", short_help="Turn logs you have into a trace.")
@click.argument("paths", metavar="PATH...", nargs=-1, required=True)
@click.option("-o", "--out", metavar="FILE", required=True, help="The trace; .gz packs it.")
@click.option("--format", "log_format", metavar="NAME", default="auto", help="See 'list imports'.")
@click.option(
    "--human",
    metavar="HOW",
    default="keep",
    help="Waits for a human: keep (default), drop, or the most seconds.",
)
@click.option(
    "--map-model",
    "models",
    metavar="PATTERN=NAME",
    multiple=True,
    help="Rename models; repeatable.",
)
@click.option("--tokenizer", metavar="NAME|FILE", help="Counts text: o200k_base, a tokenizer.json.")
@click.option("--tokens-scale", metavar="X", default="1", help="Multiply all token counts by X.")
@click.option("--salt", metavar="TEXT", help="Key of hashed names; default: from the content.")
@click.option("--redact", is_flag=True, help="Hash names of sessions, agents, tools, tenants.")
@click.option("--skip-bad", is_flag=True, help="Leave out and count what cannot be read.")
@click.option("--json", "as_json", is_flag=True, help="The report as one JSON object.")
@click.option("--force", is_flag=True, help="Replace FILE.")
def import_command(
    *,
    paths: tuple[str, ...],
    out: str,
    log_format: str,
    human: str,
    models: tuple[str, ...],
    tokenizer: str | None,
    tokens_scale: str,
    salt: str | None,
    redact: bool,
    skip_bad: bool,
    as_json: bool,
    force: bool,
) -> None:
    """Read logs in PATHs (files, folders, patterns, or -) and write them as one trace.

    No text of a log is kept: what prompts share is said by lengths and hashes. 'agentsim replay'
    reads the same files directly.

    \b
    agentsim import ~/.claude/projects -o mine.jsonl.gz
    agentsim import 'gateway-*.jsonl' -o mine.jsonl.gz --human 300
    """
    from pathlib import Path

    from agentsim.cli.screen import emit
    from agentsim.workload.importers.reading import import_logs
    from agentsim.workload.write import write_trace

    if Path(out).exists() and not force:
        raise ConfigError(f"{out}: exists already; --force replaces it")
    options = _options(human, models, tokens_scale, salt, redact=redact)
    with _progress() as progress:
        trace, report = import_logs(
            paths,
            format=log_format,
            options=options,
            tokenizer=tokenizer,
            skip_bad=skip_bad,
            progress=progress,
        )
        write_trace(trace, out)
    emit(_json(report) if as_json else _text(report, out))


def _options(
    human: str, models: tuple[str, ...], tokens_scale: str, salt: str | None, *, redact: bool
) -> Options:
    from agentsim.domain.units import seconds_to_ns
    from agentsim.workload.importers.assemble import Options

    most_ns = None
    if human != "keep":
        seconds = _number("--human", "0" if human == "drop" else human, "keep, drop or seconds")
        most_ns = seconds_to_ns(seconds)
    pairs = []
    for text in models:
        pattern, equals, name = text.partition("=")
        if not (pattern and equals and name):
            raise ConfigError(f"--map-model {text!r}: expected PATTERN=NAME, such as 'claude-*=m'")
        pairs.append((pattern, name))
    scale = _number("--tokens-scale", tokens_scale, "a number above 0")
    if not scale:
        raise ConfigError(f"--tokens-scale: expected a number above 0, got {tokens_scale!r}")
    key = b"" if salt is None else salt.encode()[:64]
    return Options(
        most_human_ns=most_ns, tokens_scale=scale, models=tuple(pairs), redact=redact, key=key
    )


def _number(option: str, text: str, expected: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1e9:
        raise ConfigError(f"{option}: expected {expected}, got {text!r}")
    return value


@contextmanager
def _progress() -> Iterator[Callable[[str, int], None]]:
    """Bytes read and the file at hand, on stderr, for terminals only."""
    from rich.console import Console
    from rich.progress import DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = (TextColumn("import: {task.description}"), DownloadColumn(), TransferSpeedColumn())
    silent = not sys.stderr.isatty()
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=silent) as shown:
        task = shown.add_task("", total=None)
        yield lambda name, size: shown.update(task, description=name, advance=size)


def _json(report: ImportReport) -> str:
    import msgspec

    from agentsim.cli.screen import json_text

    plain = {**msgspec.to_builtins(report), "explained_share": report.explained_share}
    return json_text(plain)


def _text(report: ImportReport, out: str) -> str:
    """What was read, field by field how much of it is measured, and every warning once."""
    from textwrap import fill

    from agentsim.report.durations import count, percent
    from agentsim.report.layout import on_screen, plain_table
    from agentsim.workload.importers.report import STANDINGS

    files = ", ".join(
        f"{count(number, 'file')} of {name}" for name, number in report.formats.items()
    )
    agents = f" and {count(report.sub_agents, 'sub-agent')}" if report.sub_agents else ""
    who = f"{count(report.calls, 'call')} in {count(report.sessions, 'session')}{agents}"
    tokens = f"{count(report.input_tokens, 'prompt token')}, {report.output_tokens:,} of output"
    head = f"{who} from {files}: {tokens}. Written to {out}."
    table = plain_table(("Field", *STANDINGS))
    for column in table.columns[1:]:
        column.justify = "right"
    for name, counts in report.standing.items():
        shares = [percent(counts[s] / report.calls if report.calls else 0) for s in STANDINGS]
        table.add_row(name.replace("_", " "), *shares)
    lines = [fill(head, 80) + "\n", on_screen(table)]
    if report.explained_share is not None:
        timed = count(report.timed_sessions, "session")
        share = percent(report.explained_share)
        lines.append(f"{share} of the time of {timed} with times is measured.\n")
    if report.tokenizer is not None:
        text = f"Tokens of text are counted by {report.tokenizer}, with 4 more for each message."
        lines.append(fill(text, 80) + "\n")
    for kind, warned in report.warnings.items():
        text = f"{warned.count:,} {kind}: {warned.example}"
        lines.append(fill(text, 80, subsequent_indent="  ") + "\n")
    return "\n".join(lines[:2]) + "".join(lines[2:])
