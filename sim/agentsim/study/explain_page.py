"""The report of an explanation: `explain_page`."""

from __future__ import annotations

from collections.abc import Iterator

from agentsim.report.durations import percent
from agentsim.report.html.mark import Html
from agentsim.report.html.page import Page, Section, page_name
from agentsim.report.html.tables import Cell, table
from agentsim.report.html.trust import limits, value_text
from agentsim.report.html.waterfall import Cause, waterfall
from agentsim.study.explanation import Explanation, MechanismEffect
from agentsim.study.waterfall import Scale, headline, method_text, scale_of


def explain_page(found: Explanation, subject: str) -> Page:
    """Everything a report says of an explanation.

    Parameters
    ----------
    subject : str
        Where the trace comes from.
    """
    return Page("explain", page_name(subject), f"{headline(found)}.", (), tuple(_sections(found)))


def _sections(found: Explanation) -> Iterator[Section]:
    scale = scale_of(found)
    if found.second is not None:
        causes = [
            Cause(each.mechanism, each.value, each.error, _span(scale, each))
            for each in found.effects
        ]
        parts = waterfall(
            found.figure.label,
            (found.first.name, found.first.value),
            causes,
            (found.second.name, found.second.value),
            unit=scale.unit,
            write=scale.amount,
        )
        yield Section("What each mechanism adds", parts, method_text(found),
                      is_wide=False)  # fmt: skip
        yield Section("What was switched", (_switched(found.effects),))
    if found.bounds:
        about = (
            "Proven: no way of serving the same calls with the same hits is better in this model. "
            "Idealised: the same simulation with one thing free."
        )
        yield Section("Left to gain", (_bounds(found, scale),), about)
    yield limits()


def _span(scale: Scale, effect: MechanismEffect) -> str:
    if effect.low == effect.high:
        return "always"
    return " to ".join(map(scale.change, (effect.low, effect.high)))


def _switched(effects: list[MechanismEffect]) -> Html:
    rows = [
        (each.mechanism if at == 0 else "", name, value_text(before), value_text(after))
        for each in effects
        for at, (name, (before, after)) in enumerate(each.settings.items())
    ]
    heads = ("mechanism", "setting", "from", "to")
    return table(heads, rows, caption="What was switched", words=range(4), is_titled=False)


def _bounds(found: Explanation, scale: Scale) -> Html:
    rows = [
        (
            each.name,
            Cell("-") if each.value is None else Cell(scale.amount(each.value), each.value),
            Cell("-") if each.gain is None else Cell(_share(each.gain), each.gain),
            f"{each.prefilled_tokens:,}",
            each.kind,
            each.meaning,
        )
        for each in found.bounds
    ]
    heads = ("bound", scale.title, "to gain", "prompt tokens computed", "kind", "meaning")
    return table(heads, rows, caption="Left to gain", words=(0, 4, 5), is_titled=False)


def _share(gain: float) -> str:
    return percent(gain) if gain >= 0 else f"-{percent(-gain)}"
