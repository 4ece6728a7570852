"""What a result rests on: assumptions with their provenance, settings, what is not modelled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from agentsim.domain.settings import flatten
from agentsim.report.durations import percent
from agentsim.report.html.mark import short
from agentsim.report.html.page import Section, bullets, folded
from agentsim.report.html.tables import Cell, table

#: Kinds of values, the weakest first.
KINDS = ("assumed", "published", "fitted", "datasheet", "list price", "measured", "given")
_LIMITS = (
    "Not modelled: pipeline, expert and data parallelism, LoRA weights, vision encoders, changes "
    "of the clock within a run, networks between client and server.",
    "An interval follows from the errors of the cost factors. It holds no error of "
    "prices, of the trace, or of what is not modelled.",
    "TTFT is the least sure of the latencies; TPOT, E2E and runtimes are surer, and a ratio of "
    "two configurations on one GPU is surer than either of them.",
    "docs/accuracy.md has the errors against public measurements of vLLM, GPU by GPU; "
    "docs/model.md has the model with its sources.",
)


def assumptions(made: Sequence[Mapping[str, Any]]) -> Section:
    """All assumptions, the weakest and least sure first."""
    order = {kind: at for at, kind in enumerate(KINDS)}

    def rank(one: Mapping[str, Any]) -> tuple[int, float, str]:
        return order.get(str(one["kind"]), len(KINDS)), -float(one.get("error") or 0), one["name"]

    rows = [
        (
            one["name"],
            f"{short(value_text(one['value']))} {one.get('unit', '')}".rstrip(),
            Cell(one["kind"], order.get(str(one["kind"]), len(KINDS))),
            Cell(percent(one["error"]) if one.get("error") else "-", float(one.get("error") or 0)),
            one["source"],
        )
        for one in sorted(made, key=rank)
    ]
    heads = ("name", "value", "kind", "error", "source")
    caption = "Assumptions, the weakest first; error: standard error of the logarithm"
    shown = table(
        heads, rows, caption=caption, words=(0, 1, 2, 4), is_sorted=True,
        is_filtered=True, is_titled=False,
    )  # fmt: skip
    about = "Every value that the result rests on, the weakest first; error: its standard error."
    return Section("Assumptions", (shown,), about)


def settings(config: Mapping[str, Any], facts: Mapping[str, Any]) -> Section:
    """The whole configuration, and what followed from it."""
    parts = []
    for title, found in (("Every setting", config), ("What followed from them", facts)):
        if not found:
            continue
        rows = [
            (name, short(value_text(value), 300)) for name, value in sorted(flatten(found).items())
        ]
        parts.append(folded(title, table(("name", "value"), rows, caption=title, words=(0, 1))))
    return Section("Configuration", tuple(parts))


def limits(notes: Mapping[str, int] | None = None) -> Section:
    """How far to trust a result."""
    told = [f"{note}: {number:,}" for note, number in sorted((notes or {}).items())]
    return Section("How far to trust this", (bullets([*told, *_LIMITS]),))


def value_text(value: object) -> str:
    """A setting as people write it."""
    if value is None:
        return "default"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.6g}"
    return f"{value:,}" if isinstance(value, int) and value > 99_999 else str(value)
