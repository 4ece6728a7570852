"""An `Explanation` as text of 80 columns: a waterfall, and what is left to gain.

A bar stands from where the figure was to where the mechanism takes it; ``-`` bars lower it, ``+``
bars raise it, so that nothing is told by colour alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from textwrap import fill
from typing import Any

from agentsim.report.durations import count, percent, significant, unit_for
from agentsim.report.layout import WIDTH, on_screen, plain_table
from agentsim.study.bounds import Bound
from agentsim.study.explanation import Explanation, MechanismEffect
from agentsim.study.words import short_name

#: Columns of the bars on the screen.
_LEAST_BAR, _MOST_BAR = 8, 26

#: A row of the waterfall: label, from where to where, and the effect; none for the two ends.
Row = tuple[str, float, float, MechanismEffect | None]


@dataclass(frozen=True, slots=True)
class Scale:
    """How values of a figure are shown, all in one unit.

    Attributes
    ----------
    factor : float
        How many of `unit` one of the figure's own unit has.
    digits : int or None
        Decimals of every value; None: three significant digits.
    """

    title: str
    unit: str
    factor: float = 1.0
    digits: int | None = None

    def amount(self, value: float) -> str:
        """A value without its unit."""
        if self.digits is not None:
            return f"{value * self.factor:,.{self.digits}f}"
        return significant(value * self.factor)

    def change(self, value: float) -> str:
        """A value with its sign; nothing is 0."""
        sign = "-" if value < 0 else "+"
        return f"{sign}{self.amount(abs(value))}" if value else "0"


def scale_of(found: Explanation) -> Scale:
    """The unit and the digits in which the larger end reads best."""
    unit, factor, digits = found.figure.unit, 1.0, None
    largest = max(end.value for end in (found.first, found.second) if end is not None)
    if unit == "s":
        unit, factor = unit_for(largest)
    elif unit.startswith("$"):
        digits = max(2, 3 - math.floor(math.log10(largest))) if largest > 0 else 2
    return Scale(f"{found.figure.label}, {unit}", unit, factor, digits)


def rows_of(found: Explanation) -> Iterator[Row]:
    """The first configuration, the mechanisms, the second configuration."""
    assert found.second is not None
    at = found.first.value
    yield found.first.name, 0.0, at, None
    for effect in found.effects:
        yield effect.mechanism, at, at + effect.value, effect
        at += effect.value
    yield found.second.name, 0.0, found.second.value, None


def short(text: str, most: int) -> str:
    """The end of a text, where configurations differ, in at most so many characters."""
    text = short_name(text)
    return text if len(text) <= most else f"...{text[3 - most :]}"


def explanation_text(found: Explanation, *, ascii_only: bool = False) -> str:
    """The waterfall, what differs, and the bounds."""
    parts = []
    if found.second is not None:
        parts += [_filled(headline(found)), _waterfall(found, ascii_only=ascii_only)]
        parts += [_filled(method_text(found)), _differences(found.effects)]
    else:
        parts.append(f"{headline(found)}\n")
    if found.bounds:
        parts.append(_bounds_table(found))
    return "\n".join(parts)


def _filled(text: str) -> str:
    return fill(text, WIDTH) + "\n"


def headline(found: Explanation) -> str:
    """Both ends and how far they are apart; of one alone its figure."""
    scale = scale_of(found)
    if found.second is None:
        named = f"{found.first.name}: " if found.first.name else ""
        return f"{named}{found.figure.label} {scale.amount(found.first.value)} {scale.unit}"
    ends = found.first.value, found.second.value
    values = [scale.amount(value) for value in ends]
    told = "the same"
    if min(ends) > 0 and ends[0] != ends[1]:
        ratio = max(ends) / min(ends)
        times = f"{ratio:,.1f} times" if ratio >= 2 else percent(abs(ends[1] / ends[0] - 1))
        told = f"{times} {'less' if ends[1] < ends[0] else 'more'}"
    names = f"{found.first.name} to {found.second.name}"
    return f"{names}: {found.figure.label} {values[0]} to {values[1]} {scale.unit}, {told}"


def _waterfall(found: Explanation, *, ascii_only: bool) -> str:
    from rich.text import Text

    scale, rows = scale_of(found), list(rows_of(found))
    is_sampled = any(effect.error != 0 for effect in found.effects)
    heads = ("", scale.title, *(["+-"] if is_sampled else []), "least to most")
    cells = [heads, *(_cells(scale, row, with_error=is_sampled) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    room = max(_LEAST_BAR, min(_MOST_BAR, WIDTH - sum(widths) - 2 * len(widths)))
    marks = [mark for _, start, end, _ in rows for mark in (start, end)]
    least, whole = min(0.0, *marks), max(0.0, *marks) - min(0.0, *marks)
    table = plain_table((*heads[:-1], "", heads[-1]))
    for column in table.columns[1:]:
        column.justify = "right"
        column.no_wrap = True
    table.columns[-2].justify = "left"
    for row, told in zip(rows, cells[1:], strict=True):
        _, start, end, effect = row
        edges = [(at - least) / whole if whole else 0.0 for at in sorted((start, end))]
        bar = Text(_bar(edges, effect, room, ascii_only=ascii_only))
        table.add_row(*told[:-1], bar, told[-1])
    return on_screen(table)


def _cells(scale: Scale, row: Row, *, with_error: bool) -> tuple[str, ...]:
    """Label, value, its error where there are any, and what it is at least and at most."""
    label, _, end, effect = row
    if effect is None:
        return short(label, 18), scale.amount(end), *([""] if with_error else []), ""
    error = "-" if effect.error is None else scale.amount(effect.error)
    span = " to ".join(map(scale.change, (effect.low, effect.high)))
    return (
        short(label, 18),
        scale.change(effect.value),
        *([error] if with_error else []),
        "always" if effect.low == effect.high else span,
    )


def _bar(
    edges: Sequence[float], effect: MechanismEffect | None, room: int, *, ascii_only: bool
) -> str:
    """A bar between two places, shares of the room; at least a column where there is an effect."""
    low, high = (round(room * edge) for edge in edges)
    if effect is None:
        return ("#" if ascii_only else "█") * max(high - low, int(edges[1] > 0))
    if effect.value and low == high:
        low, high = min(low, room - 1), min(low, room - 1) + 1
    return " " * low + ("-" if effect.value < 0 else "+") * (high - low)


def method_text(found: Explanation) -> str:
    """How the effects were found, and how to read them."""
    method = found.method
    assert method is not None
    simulations = count(method.simulations, "simulation")
    if len(found.effects) == 1:
        return f"Nothing else differs ({simulations})."
    if method.kind == "exact":
        said = f"Each effect is the mean over all {count(method.orders, 'order')} of switching"
        said += f" the mechanisms ({simulations}), so no order is favoured; they add up."
    else:
        said = (
            f"Each effect is the mean over {count(method.orders, 'order')} of switching the "
            f"mechanisms, drawn in pairs ({simulations}); +- is its standard error. They add up."
        )
    said += " Least to most: what a mechanism adds depends on what is there already."
    if method.orders_left_out:
        said += (
            f" {count(method.orders_left_out, 'more order')} would pass a configuration that "
            f"cannot be run ({method.impossible[0]}) and are left out."
        )
    return said


def _differences(effects: Sequence[MechanismEffect]) -> str:
    lines = []
    for effect in effects:
        told = ", ".join(
            f"{name} {_plain(before)} -> {_plain(after)}"
            for name, (before, after) in effect.settings.items()
        )
        lines.append(fill(f"{effect.mechanism}: {told}", WIDTH - 2, subsequent_indent="  "))
    return "Switched\n" + "".join(f"  {line}\n" for text in lines for line in text.split("\n"))


def _plain(value: Any) -> str:
    if value is None:
        return "default"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _bounds_table(found: Explanation) -> str:
    scale, end = scale_of(found), found.second or found.first
    heads = ("Left to gain", scale.title, "to gain", "prefilled", "")
    table = plain_table(heads)
    for column in table.columns[1:4]:
        column.justify = "right"
    table.add_row(short(f"{end.name or 'this run'}", 24), scale.amount(end.value))
    for bound in found.bounds:
        table.add_row(f"  {bound.name}", *_bound_cells(bound, scale))
    told = (
        "proven: no way of serving the same calls with the same hits is better in this model. "
        "idealised: the same simulation with one thing free; with several sessions at once, who "
        "meets whom can change too. prefilled: prompt tokens that the cache did not hold. --json "
        "says what each means."
    )
    return f"{on_screen(table)}{fill(told, WIDTH)}\n"


def _bound_cells(bound: Bound, scale: Scale) -> tuple[str, ...]:
    value = "-" if bound.value is None else scale.amount(bound.value)
    gain = "-" if bound.gain is None else _share(bound.gain)
    return value, gain, f"{bound.prefilled_tokens:,}", bound.kind


def _share(gain: float) -> str:
    """A share of any size and sign as a percentage."""
    told = percent(abs(gain)) if abs(gain) <= 1 else f"{100 * abs(gain):,.0f} %"
    return f"-{told}" if gain < 0 else told
