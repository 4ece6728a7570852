"""How long an agent waits before a call: as the trace says, scaled or drawn."""

from __future__ import annotations

import math
from collections.abc import Mapping
from statistics import NormalDist

from agentsim.domain.chance import uniform
from agentsim.domain.config import AgentsConfig
from agentsim.domain.trace import Call, Session
from agentsim.engine.session import SessionRun

ASSUMED_ZERO = "waits not in the trace, taken as 0"
FROM_TIMES = "waits worked out from recorded times"
LATE = "calls sent later than recorded: what they wait for was not done"

_NORMAL = NormalDist()


class Waits:
    """The wait before each call.

    Parameters
    ----------
    agents : AgentsConfig
    seed : int

    Attributes
    ----------
    notes : dict of str to int
        What was assumed, and for how many calls.
    """

    def __init__(self, agents: AgentsConfig, seed: int) -> None:
        self._agents = agents
        self._seed = seed
        self._recorded = agents.arrival == "recorded"
        self.notes: dict[str, int] = {}

    def wait_ns(self, run: SessionRun, call: Call) -> int:
        """Nanoseconds from now to the submission of a call whose `after` are answered."""
        if self._recorded and call.at_ns is not None:
            wait_ns = run.started_ns + call.at_ns - run.env.now_ns
            if wait_ns < 0:
                self._note(LATE)
            return max(0, wait_ns)
        wait_ns = self._closed_loop_ns(run.session, call)
        if self._recorded or not wait_ns or not call.after:
            return wait_ns
        return round(wait_ns * self._agents.tool_time_scale * self._factor(f"{run.name}/{call.id}"))

    def _closed_loop_ns(self, session: Session, call: Call) -> int:
        if call.delay_ns is not None:
            return call.delay_ns
        if not call.after:
            return call.at_ns or 0
        done_ns = _recorded_end_ns({other.id: other for other in session.calls}, call)
        if call.at_ns is None or done_ns is None:
            self._note(ASSUMED_ZERO)
            return 0
        self._note(FROM_TIMES)
        return max(0, call.at_ns - done_ns)

    def _factor(self, key: str) -> float:
        """What a wait is multiplied by: 1, or a draw of mean 1."""
        kind, _, sigma_text = self._agents.tool_time.partition(":")
        if kind == "trace":
            return 1.0
        chance = uniform(self._seed, "tool", key, 0)
        if kind == "exponential":
            return -math.log1p(-chance)
        sigma = float(sigma_text)
        draw = _NORMAL.inv_cdf(min(max(chance, 1e-12), 1 - 1e-12))
        return math.exp(sigma * draw - sigma * sigma / 2)

    def _note(self, text: str) -> None:
        self.notes[text] = self.notes.get(text, 0) + 1


def _recorded_end_ns(calls: Mapping[str, Call], call: Call) -> int | None:
    """When the last of the calls waited for was answered as recorded, since the session's start."""
    ends = []
    for name in call.after:
        base = calls[name]
        if base.at_ns is None or base.measured is None or base.measured.e2e_ns is None:
            return None
        ends.append(base.at_ns + base.measured.e2e_ns)
    return max(ends)
