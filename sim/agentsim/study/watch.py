"""Ends a replay as soon as it cannot keep an objective any more.

`Watcher` sees each call as it is answered and counts only what is certain: a quantile is lost when
more values are above its limit than the whole run may have, a mean when the sum so far is above the
limit times all calls, a runtime when its time is up. So no run that would meet its objectives is
ever stopped, and a hopeless one is short.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from agentsim.domain.records import Served
from agentsim.domain.units import NS_PER_S
from agentsim.errors import AgentSimError
from agentsim.study.objectives import Objective

_FIGURE = re.compile(r"(?P<statistic>p(?P<percent>[\d.]+)|median|max|mean) (?P<metric>\w+)")


class Lost(AgentSimError):
    """An objective cannot be met any more.

    Parameters
    ----------
    objective : Objective
    share : float
        Of the calls answered until then.
    """

    def __init__(self, objective: Objective, share: float) -> None:
        super().__init__(f"{objective.text} is lost after {share:.0%} of the calls")
        self.objective = objective
        self.share = share


class Watcher:
    """Sees the calls of one run as they are answered: a `watch` of `simulate`.

    Parameters
    ----------
    objectives : sequence of Objective
        Those it cannot judge before the end are left to whoever reads the figures.
    num_calls, num_sessions : int
        In the whole run, at most.
    """

    def __init__(self, objectives: Sequence[Objective], num_calls: int, num_sessions: int) -> None:
        self._num_calls = num_calls
        self._answered = 0
        found = (_bound(one, num_calls, num_sessions) for one in objectives)
        self._bounds = [bound for bound in found if bound is not None]

    def __call__(self, call: Served) -> None:
        """A call that was served.

        Raises
        ------
        Lost
        """
        self._answered += 1
        for bound in self._bounds:
            if bound.is_lost_with(call):
                raise Lost(bound.objective, self._answered / max(self._num_calls, 1))


def _ttft(call: Served) -> float | None:
    return (
        (call.first_token_ns - call.submitted_ns) / NS_PER_S if call.first_token_ns >= 0 else None
    )


def _e2e(call: Served) -> float | None:
    return (call.finished_ns - call.submitted_ns) / NS_PER_S


def _tpot(call: Served) -> float | None:
    if call.first_token_ns < 0 or call.output_tokens < 2:
        return None
    return (call.finished_ns - call.first_token_ns) / NS_PER_S / (call.output_tokens - 1)


def _session(call: Served) -> float | None:
    return (call.finished_ns - call.started_ns) / NS_PER_S


def _runtime(call: Served) -> float | None:
    return call.finished_ns / NS_PER_S


#: metric -> its value of a call; of a session, what it has taken so far
_VALUES: dict[str, Callable[[Served], float | None]] = {
    "ttft": _ttft,
    "e2e": _e2e,
    "tpot": _tpot,
    "session": _session,
}


class _Count:
    """At most so many values may be above the limit; a session counts once."""

    def __init__(
        self, objective: Objective, value: Callable[[Served], float | None], allowed: int
    ) -> None:
        self.objective = objective
        self._value = value
        self._left = allowed
        self._by_session = value is _session
        self._lost: set[int] = set()

    def is_lost_with(self, call: Served) -> bool:
        value = self._value(call)
        if value is None or self.objective.is_met(value):
            return False
        if self._by_session:
            if call.session in self._lost:
                return False
            self._lost.add(call.session)
        self._left -= 1
        return self._left < 0


class _Sum:
    """The sum of all values may reach so much, but for rounding."""

    def __init__(
        self, objective: Objective, value: Callable[[Served], float | None], most: float
    ) -> None:
        self.objective = objective
        self._value = value
        self._left = most * (1 + 1e-9)

    def is_lost_with(self, call: Served) -> bool:
        self._left -= self._value(call) or 0.0
        return self._left < 0


def _bound(objective: Objective, num_calls: int, num_sessions: int) -> _Count | _Sum | None:
    """What watches an objective, if anything can before the end."""
    if objective.figure.label == "runtime":
        return _Count(objective, _runtime, 0)
    found = _FIGURE.fullmatch(objective.figure.label)
    if found is None or found["metric"] not in _VALUES:
        return None
    value = _VALUES[found["metric"]]
    number = num_sessions if value is _session else num_calls
    if found["statistic"] == "mean":
        # a session's value is known when it has ended: what is certain before is no sum
        return None if value is _session else _Sum(objective, value, objective.limit * number)
    share = {"median": 0.5, "max": 1.0}.get(found["statistic"])
    if share is None:
        share = float(found["percent"]) / 100
    # the value at rank floor(share * (n - 1)) bounds the quantile from below
    return _Count(objective, value, max(number - 1 - int(share * (number - 1)), 0))
