"""An `Explanation` for people: a waterfall and the bounds as text of 80 columns, and as a picture.

A bar stands from where the figure was to where the mechanism takes it; ``-`` bars lower it, ``+``
bars raise it, so that nothing is told by colour alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from textwrap import fill
from typing import Any

from agentsim.errors import UserError
from agentsim.report.durations import count, percent, significant, unit_for
from agentsim.report.layout import WIDTH, on_screen, plain_table
from agentsim.study.bounds import Bound
from agentsim.study.explanation import Explanation, MechanismEffect

#: Columns of a bar on the screen.
_BAR = 24


def explanation_text(found: Explanation, *, ascii_only: bool = False) -> str:
    """The waterfall, what differs, and the bounds."""
    parts = []
    if found.second is not None:
        parts += [_headline(found), _waterfall(found, ascii_only=ascii_only), _method_text(found)]
        parts.append(_differences(found.effects))
    else:
        unit, factor = _unit(found)
        value = f"{significant(found.first.value * factor)} {unit}"
        named = f"{found.first.name}: " if found.first.name else ""
        parts.append(f"{named}{found.figure.label} {value}\n")
    if found.bounds:
        parts.append(_bounds_table(found))
    return "\n".join(parts)


def draw_waterfall(found: Explanation, path: Path) -> None:
    """Draw the waterfall into a PNG or SVG file.

    Raises
    ------
    UserError
        If there is nothing to draw, or the file cannot be written.
    """
    if found.second is None:
        raise UserError("--plot: there is no second configuration, so no waterfall to draw")
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    unit, factor = _unit(found)
    rows = list(_rows(found))
    with mpl.rc_context({"font.size": 11, "svg.hashsalt": "agentsim"}):
        size = (8.0, 1.3 + 0.42 * len(rows))
        figure, axes = plt.subplots(figsize=size, layout="constrained")
        reach = max(max(start, end) for _, start, end, _ in rows) * factor
        for place, (_, start, end, effect) in enumerate(rows):
            low, high = sorted((start * factor, end * factor))
            # Okabe and Ito's palette; what raises the figure is hatched as well
            colour = "#7F7F7F" if effect is None else "#0072B2" if end < start else "#D55E00"
            hatch = "///" if effect is not None and end > start else None
            axes.barh(place, high - low, left=low, height=0.62, color=colour, hatch=hatch,
                      edgecolor="white" if hatch else colour)  # fmt: skip
            text = significant(end * factor) if effect is None else _signed(effect, factor)
            axes.annotate(text, (high, place), xytext=(4, 0), textcoords="offset points",
                          va="center")  # fmt: skip
            if place + 1 < len(rows):
                axes.plot([end * factor] * 2, [place, place + 1], color="#7F7F7F", lw=0.8, zorder=0)
        axes.set_yticks(range(len(rows)), [_short(label, 34) for label, *_ in rows])
        axes.invert_yaxis()
        axes.set_xlim(right=reach * 1.14)
        axes.set_xlabel(f"{found.figure.label}, {unit}")
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="x", alpha=0.3)
        axes.set_axisbelow(True)
        half = path.with_name(f".{path.name}.part{path.suffix}")
        try:
            figure.savefig(half, dpi=150, metadata={"Date": None} if path.suffix == ".svg" else None)
            half.replace(path)
        except OSError as error:
            raise UserError(f"--plot {path}: cannot be written: {error.strerror}") from error
        finally:
            plt.close(figure)


def _rows(found: Explanation) -> Iterator[tuple[str, float, float, MechanismEffect | None]]:
    """Label, from where to where, and the effect; none for the two ends."""
    assert found.second is not None
    at = found.first.value
    yield found.first.name, 0.0, at, None
    for effect in found.effects:
        yield effect.mechanism, at, at + effect.value, effect
        at += effect.value
    yield found.second.name, 0.0, found.second.value, None


def _headline(found: Explanation) -> str:
    assert found.second is not None
    unit, factor = _unit(found)
    ends = found.first.value, found.second.value
    values = [f"{significant(value * factor)} {unit}" for value in ends]
    told = "the same"
    if min(ends) > 0 and ends[0] != ends[1]:
        ratio = max(ends) / min(ends)
        times = f"{ratio:,.1f} times" if ratio >= 2 else percent(abs(ends[1] / ends[0] - 1))
        told = f"{times} {'less' if ends[1] < ends[0] else 'more'}"
    names = f"{found.first.name} to {found.second.name}"
    return fill(f"{names}: {found.figure.label} {values[0]} to {values[1]}, {told}", WIDTH) + "\n"


def _waterfall(found: Explanation, *, ascii_only: bool) -> str:
    from rich.text import Text

    unit, factor = _unit(found)
    rows = list(_rows(found))
    marks = [mark for _, start, end, _ in rows for mark in (start, end)]
    least, most = min(0.0, *marks), max(0.0, *marks)
    heads = ("", f"{found.figure.label}, {unit}", "", "least to most")
    is_sampled = any(effect.error != 0 for effect in found.effects)
    table = plain_table(heads[:2] + (("+-",) if is_sampled else ()) + heads[2:])
    for column in (*table.columns[1 : 3 if is_sampled else 2], table.columns[-1]):
        column.justify = "right"
    for column in table.columns:
        column.no_wrap = True
    for label, start, end, effect in rows:
        bar = _bar(start - least, end - least, most - least, effect, ascii_only=ascii_only)
        cells: list[str | Text] = [_short(label, 20)]
        if effect is None:
            cells += [significant(end * factor), *([""] if is_sampled else []), Text(bar), ""]
        else:
            error = "-" if effect.error is None else significant(effect.error * factor)
            span = " to ".join(_plus(value * factor) for value in (effect.low, effect.high))
            cells += [_signed(effect, factor), *([error] if is_sampled else []), Text(bar)]
            cells.append("always" if effect.low == effect.high else span)
        table.add_row(*cells)
    return on_screen(table)


def _bar(
    start: float, end: float, whole: float, effect: MechanismEffect | None, *, ascii_only: bool
) -> str:
    """A bar from one place to another, at least a column long where there is an effect."""
    low, high = (round(_BAR * (at / whole)) if whole else 0 for at in sorted((start, end)))
    if effect is None:
        return ("#" if ascii_only else "█") * max(high - low, int(end > 0))
    sign = "-" if effect.value < 0 else "+"
    if effect.value and low == high:
        low, high = (low, low + 1) if low < _BAR else (low - 1, low)
    return " " * low + sign * (high - low)


def _method_text(found: Explanation) -> str:
    method = found.method
    assert method is not None
    simulations = count(method.simulations, "simulation")
    if method.kind == "exact":
        said = f"Each effect is the mean over all {count(method.orders, 'order')} of switching"
        said = said.replace("all 1 order of", "the only order of")
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
    return fill(said, WIDTH) + "\n"


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
    unit, factor = _unit(found)
    end = found.second or found.first
    heads = ("Left to gain", f"{found.figure.label}, {unit}", "to gain", "prefilled", "")
    table = plain_table(heads)
    for column in table.columns[1:4]:
        column.justify = "right"
    table.add_row(_short(f"{end.name or 'this run'}", 24), significant(end.value * factor))
    for bound in found.bounds:
        table.add_row(f"  {bound.name}", *_bound_cells(bound, factor))
    told = (
        "proven: no server can do better in this model. idealised: the same simulation with one "
        "thing free; with several sessions at once, who meets whom can change too. prefilled: "
        "prompt tokens that the cache did not hold. --json says what each means."
    )
    return f"{on_screen(table)}{fill(told, WIDTH)}\n"


def _bound_cells(bound: Bound, factor: float) -> tuple[str, ...]:
    value = "-" if bound.value is None else significant(bound.value * factor)
    if bound.gain is None:
        gain = "-"
    else:
        gain = percent(bound.gain) if bound.gain >= 0 else f"-{percent(-bound.gain)}"
    return value, gain, f"{bound.prefilled_tokens:,}", bound.kind


def _unit(found: Explanation) -> tuple[str, float]:
    """The unit of the screen, and how many of it one of the figure's has."""
    if found.figure.unit != "s":
        return found.figure.unit, 1.0
    ends = [found.first, *([found.second] if found.second else [])]
    return unit_for(max(end.value for end in ends))


def _signed(effect: MechanismEffect, factor: float) -> str:
    return _plus(effect.value * factor)


def _plus(value: float) -> str:
    """A number with its sign; nothing is 0."""
    return "0" if value == 0 else ("+" if value > 0 else "") + significant(value)


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 3]}..."
