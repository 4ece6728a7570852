"""``agentsim inspect``: what is in a trace, before anything is simulated."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from agentsim.workload.inspect import Inspection

_HEADS = ("p10", "p50", "p90", "p99", "mean")


@click.command("inspect", short_help="Show what is in a trace: calls, tokens, reuse, tools.")
@click.argument("trace", metavar="TRACE")
@click.option("--format", "trace_format", metavar="NAME", default="auto", help="Format of TRACE.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of text.")
def inspect_command(trace: str, trace_format: str, as_json: bool) -> None:
    """Show what is in TRACE: sessions, calls, tokens, possible prefix reuse, tool times.

    How much a prefix cache finds depends on its size: the table says how much at which.

    \b
    agentsim inspect traces/itbench-sre.jsonl
    """
    import json

    import msgspec

    from agentsim.cli.screen import emit, is_ascii, wants_colour
    from agentsim.workload.formats import read_trace
    from agentsim.workload.inspect import inspect

    found = inspect(read_trace(trace, format=trace_format))
    if as_json:
        emit(json.dumps(msgspec.to_builtins(found), sort_keys=True, indent=2) + "\n")
    else:
        emit(_as_text(found, colour=wants_colour(), ascii_only=is_ascii()))


def _as_text(found: Inspection, *, colour: bool, ascii_only: bool) -> str:
    from rich.text import Text

    from agentsim.cli.inspect_plots import LABELS, cache_table, shape_table, unknown_text
    from agentsim.report.durations import count, percent
    from agentsim.report.layout import on_screen, plain_table

    tokens = f"{count(found.prompt_tokens, 'prompt token')} ({percent(found.prefill_share)})"
    head = (
        f"{count(found.calls, 'call')} in {count(found.sessions, 'session')}: {tokens} and "
        f"{found.output_tokens:,} output tokens."
    )
    table = plain_table(("Distribution", *_HEADS, "values"))
    for column in table.columns[1:]:
        column.justify, column.min_width = "right", 7
    for field, label in LABELS.items():
        values = getattr(found, field)
        known = [getattr(values, name) for name in _HEADS] if values.count else []
        cells = [_number(value) for value in known] or ["-"] * len(_HEADS)
        table.add_row(f"  {label}", *cells, f"{values.count:,}")
    facts = plain_table(("Reuse", "if nothing were ever evicted"))
    for label, line in _lines(found):
        facts.add_row(label, Text(line))
    parts = (
        Text(head, style="bold"),
        table,
        shape_table(found, ascii_only=ascii_only),
        facts,
        cache_table(found, ascii_only=ascii_only),
        unknown_text(found),
    )
    return "\n".join(on_screen(part, colour=colour) for part in parts if part)


def _lines(found: Inspection) -> Iterator[tuple[str, str]]:
    from agentsim.report.durations import percent

    causes = found.causes
    for label, tokens, what in (
        ("  tokens", found.reused_tokens, "of all prompt tokens were seen before"),
        ("  blocks", found.reused_block_tokens, "in whole blocks of 16"),
        ("  prompts", found.reused_prompt_tokens, "without answers sent back"),
        ("  own history", causes.own_history, "sent by the session itself"),
        ("  shared heads", causes.shared_head, "system prompts and tools of others"),
        ("  others", causes.other_sessions, "sent by others, behind the head"),
    ):
        share = percent(tokens / found.prompt_tokens if found.prompt_tokens else 0)
        yield label, f"{share} {what} ({tokens:,})"
    yield "Longest prompt", f"{found.longest_prompt_tokens:,} tokens"
    kinds = {
        "sub-agent": found.sub_agents,
        "join": found.joins,
        "call without prompt": found.empty_calls,
        "call without output": found.prefill_only_calls,
    }
    said = [_plural(number, name) for name, number in kinds.items() if number]
    if said:
        yield "Shape", ", ".join(said)
    yield "Identity", ", ".join(f"{n:,} by {name}" for name, n in found.identities.items())
    yield "Triggers", ", ".join(f"{n:,} {name}" for name, n in found.triggers.items())
    for note, number in sorted(found.notes.items()):
        yield "Note", f"{note}: {number:,}"


def _plural(number: int, name: str) -> str:
    from agentsim.report.durations import count

    first, _, rest = name.partition(" ")
    return f"{count(number, first)} {rest}".rstrip()


def _number(value: float) -> str:
    from agentsim.report.durations import significant

    return f"{value:,.0f}" if value == int(value) else significant(value)
