"""The scores of a run as text of 80 columns."""

from __future__ import annotations

from textwrap import fill

from agentsim.report.durations import dollars, percent, significant, unit_for
from agentsim.report.figures import Quantiles
from agentsim.report.layout import WIDTH, on_screen, plain_table
from agentsim.study.score import NO_OUTCOMES
from agentsim.study.score_document import Part, Scores


def scores_text(found: Scores) -> str:
    """Scores, what 0 and 1 mean, task metrics, and what the study asks to be reported."""
    parts = [_headline(found), _sums(found), _meanings(found), _task(found), _reported(found)]
    return "\n".join(parts)


def _headline(found: Scores) -> str:
    if found.efficiency is not None:
        return f"Efficiency {_score(found.efficiency)}\n"
    missing = [one for one in found.sums if one.score is None and one.weight]
    why = "; ".join(
        f"{one.name} is not known: {next(p.why for p in one.parts if p.score is None and p.weight)}"
        for one in missing
    )
    said = f"Efficiency is not known. {why}."
    if found.efficiency_known is not None:
        known = [one.name for one in found.sums if one.score is not None and one.weight]
        said += (
            f" Of {' and '.join(known)} alone, weights scaled from {found.weight_known:.3g} to 1: "
            f"{_score(found.efficiency_known)}."
        )
    return fill(said, WIDTH) + "\n"


def _sums(found: Scores) -> str:
    table = plain_table(("Score, 0 to 1", "", "weight", "this run", "reference"))
    for column in table.columns[1:]:
        column.justify = "right"
        column.no_wrap = True
    for one in found.sums:
        table.add_row(one.name, _score(one.score), f"{one.weight:.3g}")
        for part in one.parts:
            values = (_value(part, part.actual), _value(part, part.reference))
            table.add_row(f"  {part.name}", _score(part.score), f"{part.weight:.3g}", *values)
    return on_screen(table)


def _meanings(found: Scores) -> str:
    lines = [
        fill(f"  {part.name}: 0: {part.zero}; 1: {part.one}", WIDTH, subsequent_indent="    ")
        for one in found.sums
        for part in one.parts
    ]
    return "What 0 and 1 mean\n" + "".join(f"{line}\n" for line in lines)


def _task(found: Scores) -> str:
    task = found.task
    if task is None:
        return f"TaskEfficacy, Adaptivity: not known, {NO_OUTCOMES}\n"
    graded, perturbed = (
        f"{number:,} session{'s' if number != 1 else ''}"
        for number in (task.graded, task.perturbed)
    )
    return (
        f"TaskEfficacy {_score(task.efficacy)} ({graded}; Accuracy {_score(task.accuracy)}, "
        f"Usefulness {_score(task.usefulness)})\n"
        f"Adaptivity {_score(task.adaptivity)} ({perturbed})\n"
    )


def _reported(found: Scores) -> str:
    told = found.reported
    table = plain_table(("Reported", "mean", "p50", "p90", "p99", "values"))
    for column in table.columns[1:]:
        column.justify = "right"
        column.no_wrap = True
    for label, values in (
        ("time to solution", told.time_to_solution),
        ("queue of a call", told.queue),
        ("prefill of a call", told.prefill),
        ("decode of a call", told.decode),
    ):
        table.add_row(f"  {label}", *_times(values), f"{values.count:,}")
    cost = "no price" if told.usd is None else dollars(told.usd)
    if told.usd_per_session is not None:
        cost += f", {dollars(told.usd_per_session)} a session"
    reuse = "-" if told.prefix_reuse is None else percent(told.prefix_reuse)
    return f"{on_screen(table)}  cost                 {cost}\n  prefix reuse         {reuse}\n"


def _times(values: Quantiles) -> list[str]:
    cells = [values.mean, values.p50, values.p90, values.p99]
    unit, factor = unit_for(max((cell for cell in cells if cell is not None), default=1.0))
    return ["-" if cell is None else f"{significant(cell * factor)} {unit}" for cell in cells]


def _score(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _value(part: Part, value: float | None) -> str:
    if value is None:
        return "-"
    if part.unit == "share":
        return percent(value)
    if part.unit.startswith("$"):
        return f"{dollars(value)}{part.unit[1:]}"
    return f"{significant(value)} {part.unit}"
