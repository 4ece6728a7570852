"""The pictures of ``agentsim inspect``: histograms, the cache by its size, and what is unknown."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import fill
from typing import TYPE_CHECKING

from agentsim.report.durations import duration, percent, significant
from agentsim.report.layout import WIDTH, plain_table

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

    from agentsim.workload.inspect import Inspection

#: Rows: name of the distribution in an `Inspection`, label.
LABELS = {
    "calls_per_session": "calls a session",
    "prompt": "prompt tokens",
    "appended": "appended tokens",
    "output": "output tokens",
    "delay_s": "wait, s",
}
_BLOCKS, _ASCII = " ▁▂▃▄▅▆▇█", " .:-=+*#%@"
#: Sizes of a cache on the screen, at most.
_SIZES = 8


def shape_table(found: Inspection, *, ascii_only: bool) -> Table:
    """Histograms, each between its smallest and its largest value."""
    from rich.text import Text

    table = plain_table(("Shape, logarithmic", "least", "", "most"))
    table.columns[1].justify = "right"
    for name, label in LABELS.items():
        seen = found.histograms[name]
        if seen.counts:
            bar = Text(bars(seen.counts, ascii_only=ascii_only))
            table.add_row(f"  {label}", short(seen.least), bar, short(seen.most))
    return table


def cache_table(found: Inspection, *, ascii_only: bool) -> Table:
    """What caches of several sizes find, and how many blocks are in use over time."""
    from rich.text import Text

    cache = found.cache
    table = plain_table(("Cache", f"found if the least recently used go; {cache.order} order"))
    most = cache.curve[-1].hit_rate
    worth = [size for size in cache.curve if 0.01 < size.hit_rate < most]
    grown = [*worth, next(size for size in cache.curve if size.hit_rate == most)]
    step = -(-len(grown) // _SIZES)
    for size in grown[::-1][::step][::-1]:
        bar = ("#" if ascii_only else "█") * round(24 * size.hit_rate)
        told = f"{percent(size.hit_rate):>7} {bar}"
        table.add_row(f"  {short(size.tokens):>6} tokens", Text(told))
    needed = cache.enough.get("90%", 0) * size.tokens // size.blocks
    table.add_row("Enough", f"{short(needed)} tokens find 90 % of what an endless cache finds")
    if cache.working_set:
        block = size.tokens // size.blocks
        largest = short(max(cache.working_set) * block)
        calls = f"{cache.window_calls:,} call{'s' if cache.window_calls > 1 else ''}"
        table.add_row("Working set", Text(bars(cache.working_set, ascii_only=ascii_only)))
        table.add_row("", f"at most {largest} tokens in {calls}; {duration(cache.span_s)} in all")
    return table


def unknown_text(found: Inspection) -> Text | None:
    """What the trace cannot tell; nothing if it tells all."""
    from rich.text import Text

    if not found.unknown:
        return None
    told = "; ".join(f"{name}: {count:,}" for name, count in found.unknown.items())
    return Text(fill(f"Not in the trace: {told}.", WIDTH, subsequent_indent="  "))


def bars(counts: Sequence[int], *, ascii_only: bool) -> str:
    """One character for each count; what is not 0 is seen.

    Examples
    --------
    >>> bars([0, 1, 50, 100], ascii_only=True)
    ' .+@'
    """
    signs = _ASCII if ascii_only else _BLOCKS
    most = max(counts)
    top = len(signs) - 1
    return "".join(signs[-(-count * top // most)] if most else " " for count in counts)


def short(value: float) -> str:
    """A number of any size in a few characters.

    Examples
    --------
    >>> [short(v) for v in (0.012, 3, 45.5, 1200, 15_000, 880_502, 134_217_728, 3_414_037_778)]
    ['0.012', '3', '45.5', '1,200', '15.0 k', '881 k', '134 M', '3.41 G']
    """
    for name, factor in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= max(factor, 9_999.5):
            return f"{significant(value / factor)} {name}"
    return f"{value:,.0f}" if value == int(value) else significant(value)
