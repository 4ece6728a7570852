"""What a deployment must keep: ``"p95 ttft < 2s"``, and what it may cost: ``"$2/h"``.

Start at `read_objective` and `read_budget`; `check_together` refuses what contradicts itself.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from agentsim.errors import ConfigError, UserError
from agentsim.study.figures import Figure, Values, read_figure

_OPERATOR = re.compile(r"<=|>=|<|>|=")
_QUANTITY = re.compile(r"(?P<dollar>\$?)\s*(?P<number>\d+(\.\d*)?|\.\d+)\s*(?P<unit>[^\s\d]*)")
#: unit of a figure -> units that can be typed, and how many of the figure's unit they are
_UNITS: dict[str, dict[str, float]] = {
    "s": {"us": 1e-6, "ms": 1e-3, "s": 1, "min": 60, "h": 3600, "d": 86_400},
    "share": {"": 1, "%": 0.01},
    "$": {"": 1, "$": 1},
    "$/h": {"": 1, "/h": 1},
    "kWh": {"kWh": 1, "Wh": 1e-3},
}
_BUDGET = re.compile(r"\$?\s*(?P<number>\d+(\.\d*)?|\.\d+)\s*/\s*(?P<per>[a-z]+)")
_HOURS = {"h": 1.0, "hour": 1.0, "day": 24.0, "week": 168.0, "month": 730.0}
_QUANTILE = re.compile(r"p(\d+(\.\d+)?) (\w+)")


@dataclass(frozen=True, slots=True)
class Objective:
    """A bound on a figure.

    Attributes
    ----------
    text : str
        As the user wrote it.
    limit : float
        In the figure's unit.
    """

    text: str
    figure: Figure
    limit: float
    is_strict: bool

    @property
    def is_upper(self) -> bool:
        """Whether the figure must stay below the limit."""
        return self.figure.better == "lower"

    def is_met(self, value: float | None) -> bool:
        """Whether a value keeps the bound; a figure that does not exist keeps none."""
        if value is None:
            return False
        if value == self.limit:
            return not self.is_strict
        return value < self.limit if self.is_upper else value > self.limit

    def ratio(self, value: float | None) -> float:
        """How far a value uses the bound up: at most 1 keeps it; infinite if there is none."""
        if value is None:
            return math.inf
        high, low = (value, self.limit) if self.is_upper else (self.limit, value)
        if low > 0:
            return high / low
        return 1.0 if high == low else math.inf


def read_objective(text: str) -> Objective:
    """An objective from ``FIGURE < QUANTITY`` (or ``<=``, ``>``, ``>=``).

    Raises
    ------
    ConfigError
        With the column at which it goes wrong and what was expected there.
    """
    found = _OPERATOR.search(text)
    if found is None or found[0] == "=":
        at = found.start() if found else len(text.rstrip())
        raise _wrong(text, at, "expected <, <=, > or >= and a quantity, such as 'p95 ttft < 2s'")
    name = text[: found.start()]
    try:
        figure = read_figure(name)
    except UserError as error:
        words = name.split()
        at = text.find(words[-1]) if words else 0
        raise _wrong(text, at, str(error).removeprefix(f"{name.strip()!r}: ")) from None
    if (found[0][0] == "<") != (figure.better == "lower"):
        turned = "<" if figure.better == "lower" else ">"
        why = f"{figure.label} is better {figure.better}: expected {turned}"
        raise _wrong(text, found.start(), why)
    return Objective(
        text.strip(), figure, _quantity(text, found.end(), figure), is_strict=len(found[0]) == 1
    )


def _quantity(text: str, start: int, figure: Figure) -> float:
    """The number behind the operator, in the unit of the figure."""
    start += len(text[start:]) - len(text[start:].lstrip())
    units = _UNITS.get(figure.unit, {"": 1.0, figure.unit: 1.0})
    known = ", ".join(unit for unit in units if unit)
    found = _QUANTITY.fullmatch(text[start:].rstrip())
    if found is None:
        raise _wrong(text, start, f"expected a number with a unit ({known})")
    if found["dollar"] and not figure.unit.startswith("$"):
        raise _wrong(text, start, f"{figure.label} is in {figure.unit}: expected {known}, got $")
    if found["unit"] not in units:
        at = start + found.start("unit")
        got = f"got {found['unit']!r}" if found["unit"] else "got none"
        raise _wrong(text, at, f"expected a unit of {known}, {got}")
    return float(found["number"]) * units[found["unit"]]


def _wrong(text: str, at: int, what: str) -> ConfigError:
    return ConfigError(f"--slo {text!r}: column {at + 1}: {what}")


def read_budget(text: str) -> float:
    """A rent in $ an hour: ``$2/h``, ``$40/day``, ``$500/week``, ``$1500/month`` (730 hours).

    Raises
    ------
    ConfigError
        If it is none, or 0.
    """
    found = _BUDGET.fullmatch(text.strip().lower())
    if found is None or found["per"] not in _HOURS:
        raise ConfigError(f"--budget {text!r}: expected such as $2/h, $40/day or $1500/month")
    usd = float(found["number"]) / _HOURS[found["per"]]
    if not usd:
        raise ConfigError(f"--budget {text!r}: nothing can be rented for $0: expected more")
    return usd


def check_together(objectives: Sequence[Objective]) -> None:
    """Refuse objectives that exclude one another, or that nothing can meet.

    Raises
    ------
    ConfigError
        Naming them.
    """
    for one in objectives:
        if one.is_upper and (one.limit == 0 and one.is_strict) and one.figure.unit != "share":
            raise ConfigError(f"--slo {one.text!r}: nothing is below 0")
        if one.figure.unit == "share" and not one.is_upper and not one.is_met(1.0):
            raise ConfigError(f"--slo {one.text!r}: no share is above 100 %")
    for first, second in _pairs(objectives):
        if first.figure.name == second.figure.name:
            raise ConfigError(
                f"--slo {first.text!r} and --slo {second.text!r}: two bounds on "
                f"{first.figure.label}: leave one out"
            )
        if _is_implied(first, second):
            raise ConfigError(
                f"--slo {first.text!r} and --slo {second.text!r}: {first.figure.label} is never "
                f"above {second.figure.label}, so the first says nothing: leave it out"
            )


def _is_implied(first: Objective, second: Objective) -> bool:
    """Whether the first bounds a lower quantile of the same latency, and less tightly."""
    low, high = _quantile(first.figure), _quantile(second.figure)
    if low is None or high is None or low[1] != high[1]:
        return False
    return low[0] < high[0] and second.limit < first.limit


def _pairs(objectives: Sequence[Objective]) -> list[tuple[Objective, Objective]]:
    return [(a, b) for a in objectives for b in objectives if a is not b]


def _quantile(figure: Figure) -> tuple[float, str] | None:
    found = _QUANTILE.fullmatch(figure.label)
    return (float(found[1]), found[3]) if found else None


def worst(objectives: Sequence[Objective], values: Values) -> tuple[float, Objective]:
    """How far the objective that binds is used up, and which one it is."""
    return max(((o.ratio(values.get(o.figure.name)), o) for o in objectives), key=lambda p: p[0])


def all_met(objectives: Sequence[Objective], values: Mapping[str, float | None]) -> bool:
    """Whether every objective is kept."""
    return all(one.is_met(values.get(one.figure.name)) for one in objectives)
