"""``agentsim validate``: measured runs of vLLM beside their simulation."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from agentsim.errors import UserError

if TYPE_CHECKING:
    from agentsim.validation import Comparison, Row, Score, Validation

#: Metric -> its label, and whether it is a time.
_METRICS = {
    "ttft": ("TTFT", True),
    "itl": ("ITL", True),
    "gap": ("token gap", True),
    "e2e": ("E2E", True),
    "output_rate": ("output token/s", False),
    "total_rate": ("all token/s", False),
    "request_rate": ("request/s", False),
    "makespan": ("makespan", True),
    "failed": ("failed", False),
    "cached_tokens": ("cached tokens", False),
    "kv_blocks": ("KV blocks", False),
}
_STATISTICS = ("mean", "p50", "p90", "p95", "p99")


@click.command("validate", short_help="Measured runs of vLLM beside their simulation.")
@click.argument("runs_dir", metavar="RUNS_DIR")
@click.option("--logged-blocks", is_flag=True, help="Take the KV blocks vLLM logged.")
@click.option("--profile", metavar="NAME|FILE", help="Profile for the runs on its GPU.")
@click.option(
    "--samples",
    type=click.IntRange(0, 1000),
    metavar="N",
    default=5,
    help="Parameter sets for the 90 % intervals; default 5, 0: none.",
)
@click.option(
    "--jobs", type=click.IntRange(min=1), metavar="N", help="Simulations at a time; default: cores."
)
@click.option("--summary", "is_short", is_flag=True, help="The errors by source alone.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of text.")
def validate_command(
    *,
    runs_dir: str,
    logged_blocks: bool,
    profile: str | None,
    samples: int,
    jobs: int | None,
    is_short: bool,
    as_json: bool,
) -> None:
    """Simulate the measured runs in RUNS_DIR and show the error of each figure.

    RUNS_DIR is a folder of measured runs or a folder of such folders; docs/validation.md has the
    layouts. What a source hides is drawn, several times; each figure has a 90 % interval.

    \b
    agentsim validate measured
    agentsim validate measured/my-runs --json
    """
    from pathlib import Path

    from agentsim.cli.screen import emit
    from agentsim.validation import validate

    with _progress() as progress:
        found = validate(
            Path(runs_dir),
            profile=profile,
            logged_blocks=logged_blocks,
            samples=samples,
            jobs=jobs,
            progress=progress,
        )
    emit(_json(found) if as_json else _text(found, has_intervals=samples > 0, is_short=is_short))
    if not found.comparisons:
        raise UserError(f"{runs_dir}: no run could be simulated; the reasons are above")


@contextmanager
def _progress() -> Iterator[Callable[[int, int], None]]:
    """Simulations done of all, on stderr, for terminals only."""
    from rich.console import Console
    from rich.progress import MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("validate:"),
        MofNCompleteColumn(),
        TextColumn("simulations,"),
        TimeRemainingColumn(),
        TextColumn("left"),
    )
    console = Console(stderr=True)
    silent = not sys.stderr.isatty()
    with Progress(*columns, console=console, transient=True, disable=silent) as shown:
        task = shown.add_task("", total=None)
        yield lambda done, total: shown.update(task, completed=done, total=total)


def _json(found: Validation) -> str:
    from agentsim.cli.screen import json_text

    plain: dict[str, Any] = {
        "runs": [_plain(row) for each in found.comparisons for row in each.rows],
        "stages": [
            {**_plain(row), "stage": row.stage} for each in found.comparisons for row in each.stages
        ],
        "summary": found.summary(),
        "by_source": {source: found.summary(source) for source in found.sources()},
        "not_simulated": [
            {"run_id": left.run_id, "reason": left.reason} for left in found.not_simulated
        ],
        "assumptions": {each.run_id: each.assumptions for each in found.comparisons},
    }
    return json_text(plain)


def _plain(row: Row) -> dict[str, Any]:
    import msgspec

    return {name: value for name, value in msgspec.structs.asdict(row).items() if name != "stage"}


def _text(found: Validation, *, has_intervals: bool, is_short: bool) -> str:
    from textwrap import fill

    between = "90 %" if has_intervals else "spread"
    parts = [] if is_short else [_run_text(each, between) for each in found.comparisons]
    parts.append(_summary_text(found, has_intervals=has_intervals))
    if found.not_simulated:
        reasons: dict[tuple[str, str], list[str]] = {}
        for left in found.not_simulated:
            reasons.setdefault((left.source, left.reason), []).append(left.run_id)
        lines = [f"Not simulated: {len(found.not_simulated)}"]
        for (_, reason), names in reasons.items():
            which = names[0] if len(names) == 1 else f"{names[0]} to {names[-1]} ({len(names)})"
            lines.append(
                fill(f"{which}: {reason}", 80, initial_indent="  ", subsequent_indent="    ")
            )
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def _run_text(each: Comparison, between: str) -> str:
    """A table of a run: each metric measured, simulated and how far off; then its stages."""
    from agentsim.report.layout import on_screen, plain_table

    statistics = [name for name in _STATISTICS if any(row.statistic == name for row in each.rows)]
    table = plain_table(("", "", *(statistics or ["value"])))
    for column in table.columns[2:]:
        column.justify = "right"
    for metric in dict.fromkeys(row.metric for row in each.rows):
        rows = {row.statistic: row for row in each.rows if row.metric == metric}
        if "value" in rows:
            rows = {(statistics or ["value"])[0]: rows["value"]}
        label, is_time = _METRICS[metric]
        mine = [rows.get(name) for name in statistics or ["value"]]
        shown = _Shown.for_rows([row for row in mine if row is not None], is_time=is_time)
        table.add_row(label, "measured", *(_cell(row, shown.measured) for row in mine))
        table.add_row("", "simulated", *(_cell(row, shown.simulated) for row in mine))
        spreads = [_cell(row, _spread) for row in mine]
        if any(spreads):
            table.add_row("", between, *spreads)
        table.add_row("", "error", *(_cell(row, _error) for row in mine))
    head = f"{each.run_id}\n{each.model} on {each.gpu}\n"
    return head + on_screen(table) + _stages_text(each) + _assumed_text(each)


class _Shown:
    """How the figures of one metric are written: in one unit."""

    def __init__(self, unit: str, factor: float) -> None:
        self.unit, self.factor = unit, factor

    @classmethod
    def for_rows(cls, rows: list[Row], *, is_time: bool) -> _Shown:
        from agentsim.report.durations import unit_for

        if not is_time:
            return cls("", 1.0)
        unit, factor = unit_for(max((row.measured for row in rows), default=1.0))
        return cls(f" {unit}", factor)

    def measured(self, row: Row) -> str:
        from agentsim.report.durations import significant

        return f"{significant(row.measured * self.factor)}{self.unit}"

    def simulated(self, row: Row) -> str:
        from agentsim.report.durations import significant

        return f"{significant(row.simulated * self.factor)}{self.unit}"


def _cell(row: Row | None, write: Callable[[Row], str]) -> str:
    return "" if row is None else write(row)


def _spread(row: Row) -> str:
    """Both ends from the simulated figure, in percent; nothing below 0.1 %."""
    if not row.simulated or row.high - row.low < 0.001 * row.simulated:
        return ""
    below, above = (100 * (end / row.simulated - 1) for end in (row.low, row.high))
    return f"{below:+.0f} {above:+.0f} %"


def _error(row: Row) -> str:
    return "-" if row.error is None else f"{100 * row.error:+.1f} %".replace("-0.0", "+0.0")


def _stages_text(each: Comparison) -> str:
    """The errors of the means, stage by stage."""
    lines = []
    for stage in dict.fromkeys(row.stage for row in each.stages):
        means = {
            row.metric: row for row in each.stages if row.stage == stage and row.statistic == "mean"
        }
        said = [f"{_METRICS[name][0]} {_error(row)}" for name, row in means.items()]
        lines.append(f"stage {stage}, error of the means: {', '.join(said)}\n")
    return "".join(lines)


def _assumed_text(each: Comparison) -> str:
    """What was assumed of the run itself, not of the machine."""
    from textwrap import fill

    return "".join(
        fill(f"assumed: {name} = {value} ({source})", 80, subsequent_indent="  ") + "\n"
        for name, value, source in each.assumed
    )


def _summary_text(found: Validation, *, has_intervals: bool) -> str:
    from agentsim.report.layout import on_screen, plain_table

    names = ("E2E", "TTFT", "ITL")
    within = " (within)" if has_intervals else ""
    table = plain_table((f"error of means, %{within}", *names, "runs"))
    for column in table.columns[1:]:
        column.justify = "right"
    for source in (*found.sources(), None):
        scores = found.summary(source)
        cells = [_score(score, has_intervals=has_intervals) for score in scores.values()]
        mine = [each for each in found.comparisons if source in (None, each.source)]
        table.add_row(source or "all", *cells, f"{len(mine)}")
    return on_screen(table)


def _score(score: Score, *, has_intervals: bool) -> str:
    if score.mape_of_means is None:
        return "-"
    if not has_intervals:
        return f"{score.mape_of_means:.1f}"
    return f"{score.mape_of_means:.1f} ({score.inside} of {score.runs})"
