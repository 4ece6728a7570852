"""`agentsim case-study`: the measured study beside the simulator."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from agentsim.case_study import Row

_TITLES = {
    "itbench": "ITBench SRE agent (one incident, 93 requests)",
    "swe": "SWE-agent (20 instances, strictly one after the other)",
}
_END_TO_END = ("runtime_s", "ms_per_token", "minus_serial_s")
_MEMORY = ("weights_gb", "waste_fraction", "max_context_tokens")


@click.command("case-study", short_help="The measured study, row by row, beside the simulator.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of text.")
def case_study_command(*, as_json: bool) -> None:
    """Simulate the study this project started from, and show where it is right.

    One L4, Qwen2.5-14B-AWQ, two agents, four serving set-ups. Each row says whether the simulated
    figure was fitted to the measured one, predicted, or explained.

    \b
    agentsim case-study
    agentsim case-study --json
    """
    from agentsim.case_study import case_study
    from agentsim.cli.screen import emit

    rows = case_study()
    emit(_json(rows) if as_json else _text(rows))


def _json(rows: list[Row]) -> str:
    import msgspec

    from agentsim.cli.screen import json_text

    plain = []
    for row in rows:
        item = msgspec.structs.asdict(row)
        plain.append({**item, "error": row.error, "within": row.is_met})
    return json_text({"rows": plain})


def _text(rows: list[Row]) -> str:
    parts = [
        "Measured on one L4, and simulated.\nFitted rows are no evidence, predicted ones are.\n"
    ]
    for workload, title in _TITLES.items():
        mine = [r for r in rows if r.workload == workload and r.metric in _END_TO_END]
        parts.append(_table(title, mine))
    parts.append(_table("Memory", [r for r in rows if r.metric in _MEMORY]))
    others = [r for r in rows if r.metric not in _END_TO_END + _MEMORY]
    parts.append(_table("Tokens and cost, ITBench", others))
    notes = dict.fromkeys(f"{r.configuration} {r.metric}: {r.note}" for r in rows if r.note)
    wrapped = ["\n".join(textwrap.wrap(note, 80, subsequent_indent="  ")) for note in notes]
    parts.append("\n".join(["Notes", *wrapped]) + "\n")
    predicted = [r for r in rows if r.is_met is not None and r.metric == "runtime_s"]
    met = sum(bool(r.is_met) for r in predicted)
    parts.append(
        f"{met} of {len(predicted)} predicted runtimes are within the study's +- (10 % where it\n"
        "gives none). Another model would have taken other turns.\n"
    )
    return "\n".join(parts)


def _table(title: str, rows: list[Row]) -> str:
    from agentsim.report.layout import on_screen, plain_table

    table = plain_table(("", "figure", "measured", "simulated", "error", "kind"))
    for column in table.columns[2:5]:
        column.justify = "right"
    for row in rows:
        error = "" if row.error is None else f"{row.error:+.1%}".replace("-0.0%", "+0.0%")
        mark = {True: "", False: " (missed)", None: ""}[row.is_met]
        table.add_row(
            row.configuration, row.metric, _measured(row), _number(row.simulated), error,
            row.kind + mark,
        )  # fmt: skip
    return f"{title}\n{on_screen(table)}"


def _measured(row: Row) -> str:
    if row.stated:
        return " / ".join(_number(value) for value in row.stated)
    spread = f" ± {_number(row.plus_minus)}" if row.plus_minus else ""
    return _number(row.measured) + spread


def _number(value: float) -> str:
    if value and abs(value) < 1:
        return f"{value:.3g}"
    return f"{value:,.0f}" if abs(value) >= 1000 or value == int(value) else f"{value:,.1f}"
