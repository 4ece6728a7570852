"""``agentsim inspect``: what is in a trace, before anything is simulated."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from agentsim.workload.inspect import Inspection

#: Rows of the table of distributions: field of `Inspection`, label.
_DISTRIBUTIONS = {
    "calls_per_session": "calls a session",
    "prompt": "prompt tokens",
    "appended": "appended tokens",
    "output": "output tokens",
    "delay_s": "wait for tool, s",
}
_HEADS = ("p10", "p50", "p90", "p99", "mean")


@click.command("inspect", short_help="Show what is in a trace: calls, tokens, reuse, tools.")
@click.argument("trace", metavar="TRACE")
@click.option("--format", "trace_format", metavar="NAME", default="auto", help="Format of TRACE.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of text.")
def inspect_command(trace: str, trace_format: str, as_json: bool) -> None:
    """Show what is in TRACE: sessions, calls, tokens, possible prefix reuse, tool times.

    \b
    agentsim inspect traces/itbench-sre.jsonl
    """
    import json

    import msgspec

    from agentsim.cli.screen import emit, wants_colour
    from agentsim.workload.formats import read_trace
    from agentsim.workload.inspect import inspect

    found = inspect(read_trace(trace, format=trace_format))
    if as_json:
        emit(json.dumps(msgspec.to_builtins(found), sort_keys=True, indent=2) + "\n")
    else:
        emit(_as_text(found, colour=wants_colour()))


def _as_text(found: Inspection, *, colour: bool) -> str:
    from rich.text import Text

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
    for field, label in _DISTRIBUTIONS.items():
        values = getattr(found, field)
        known = [getattr(values, name) for name in _HEADS] if values.count else []
        cells = [_number(value) for value in known] or ["-"] * len(_HEADS)
        table.add_row(f"  {label}", *cells, f"{values.count:,}")
    facts = plain_table(("Reuse", "if nothing were ever evicted"))
    for label, line in _lines(found):
        facts.add_row(label, Text(line))
    parts = (Text(head, style="bold"), table, facts)
    return "\n".join(on_screen(part, colour=colour) for part in parts)


def _lines(found: Inspection) -> Iterator[tuple[str, str]]:
    from agentsim.report.durations import percent

    for label, share, tokens, what in (
        ("  tokens", found.reuse, found.reused_tokens, "of all prompt tokens were seen before"),
        ("  blocks", found.block_reuse, found.reused_block_tokens, "in whole blocks of 16"),
        ("  prompts", found.prompt_reuse, found.reused_prompt_tokens, "without answers sent back"),
    ):
        yield label, f"{percent(share)} {what} ({tokens:,})"
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
    guesses = {
        "waits unknown": found.unknown_delays,
        "prompts estimated": found.estimated_inputs,
        "outputs estimated": found.estimated_outputs,
    }
    for note, number in sorted({**guesses, **found.notes}.items()):
        if number:
            yield "Note", f"{note}: {number:,}"


def _plural(number: int, name: str) -> str:
    from agentsim.report.durations import count

    first, _, rest = name.partition(" ")
    return f"{count(number, first)} {rest}".rstrip()


def _number(value: float) -> str:
    from agentsim.report.durations import significant

    return f"{value:,.0f}" if value == int(value) else significant(value)
