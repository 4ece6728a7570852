"""Renting GPUs against paying an API for the same tokens: from how many calls a day it pays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agentsim.billing import bill_of, read_terms
from agentsim.machine.system import build_system
from agentsim.simulator import fit_trace, simulate
from agentsim.study.space import Option
from agentsim.study.trial import Task

_HOURS_A_DAY = 24
_S_PER_HOUR = 3600


@dataclass(frozen=True, slots=True)
class BreakEven:
    """One API beside the rented GPUs.

    Attributes
    ----------
    usd_a_day : float
        Rent of a day, idle hours included.
    usd_per_call : float
        The API's price of the mean call, its prompt cache used.
    calls_a_day : float or None
        From so many on renting is cheaper; None: the API costs nothing.
    most_calls_a_day : float
        What this load makes in the hours that are not idle.
    idle_hours : float
    """

    api: str
    usd_a_day: float
    usd_per_call: float
    calls_a_day: float | None
    most_calls_a_day: float
    idle_hours: float
    date: str

    @property
    def pays(self) -> bool:
        """Whether this load reaches the break-even."""
        return self.calls_a_day is not None and self.calls_a_day <= self.most_calls_a_day


def break_even(task: Task, what: tuple[Option, float, Mapping[str, Any]]) -> list[BreakEven]:
    """The break-even of an option with each API of the terms.

    Parameters
    ----------
    what : tuple
        ``(option, rent in $/h, arguments of billing.read_terms)``.
    """
    option, rent, prices = what
    config = option.config(task.base)
    system = build_system(config)
    terms = read_terms(system.gpu, **prices)
    run = simulate(task.trace, config, system=system)
    bill = bill_of(run, fit_trace(task.trace, config, system), terms)
    calls = run.requests.num_rows
    hours = _HOURS_A_DAY - terms.idle_hours.value
    a_day = calls / (run.makespan_ns / 1e9 / _S_PER_HOUR) * hours
    return [
        BreakEven(
            api=api.model,
            usd_a_day=rent * _HOURS_A_DAY,
            usd_per_call=api.usd / calls,
            calls_a_day=rent * _HOURS_A_DAY / (api.usd / calls) if api.usd else None,
            most_calls_a_day=a_day,
            idle_hours=terms.idle_hours.value,
            date=api.date,
        )
        for api in bill.apis
    ]
