"""What ``agentsim explain`` finds, and its JSON Schema: `Explanation`."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from agentsim.report.document import schema_of
from agentsim.study.bounds import Bound


class Shown(msgspec.Struct, frozen=True):
    """The figure that is explained."""

    name: str
    label: str
    unit: str
    better: Literal["lower", "higher"]


class End(msgspec.Struct, frozen=True):
    """One of the two configurations, and its figure."""

    name: str
    value: float


class MechanismEffect(msgspec.Struct, frozen=True):
    """What a mechanism adds to the figure.

    Attributes
    ----------
    settings : dict
        Name -> [value in the first, value in the second configuration].
    value : float
        In the figure's unit; the mean over the orders. All of them add up to the difference.
    low, high : float
        Least and most that it adds in any order.
    error : float or None
        Standard error of `value`: 0 if all orders were looked at; None: not known.
    """

    mechanism: str
    settings: dict[str, tuple[Any, Any]]
    value: float
    low: float
    high: float
    error: float | None


class Method(msgspec.Struct, frozen=True):
    """How the effects were found.

    Attributes
    ----------
    kind : str
        ``exact``: all orders. ``sampled``: some, in pairs of an order and its reverse.
    orders, orders_left_out : int
        Over which the means are; which passed a configuration that cannot be run.
    impossible : list of str
        Why some cannot, each reason once.
    simulations : int
        Different servers that were simulated.
    seed : int
        Of the sampled orders.
    """

    kind: Literal["exact", "sampled"]
    orders: int
    orders_left_out: int
    impossible: list[str]
    simulations: int
    seed: int


class Explanation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What ``agentsim explain --json`` prints.

    Attributes
    ----------
    second : End or None
        None where there was nothing to compare the first with: it has what the second has.
    bounds : list of Bound
        Of the second configuration, or of the only one.
    """

    schema_version: Literal[1]
    agentsim_version: str
    figure: Shown
    first: End
    second: End | None
    effects: list[MechanismEffect]
    method: Method | None
    bounds: list[Bound]


def explanation_schema() -> dict[str, Any]:
    """The JSON Schema of `Explanation`, as published."""
    return schema_of(Explanation)
