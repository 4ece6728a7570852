"""Runs of the engine under step times that can be added up on paper.

`serve` runs sessions and gives the columns of the run; `GridCost` makes many things happen at the
same nanosecond.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from agentsim.domain.batch import BatchShape
from agentsim.domain.config import AgentsConfig, ClusterConfig, Config
from agentsim.domain.records import Columns
from agentsim.domain.speculation import SpeculationConfig
from agentsim.domain.table import Table
from agentsim.domain.trace import Session, Trace
from agentsim.engine.ledger import Ledger
from agentsim.engine.replica import StepCost
from agentsim.engine.rules import Rules
from agentsim.engine.simulation import Simulation
from agentsim.machine.api_server import NO_SERVER, ApiServer
from agentsim.machine.host_memory import HostMemory
from agentsim.policies.evictions import EvictionOrder

IntArray = npt.NDArray[np.int64]


class _EachStep:
    """Steps of a stride, each by itself."""

    def step_ns(self, shape: BatchShape) -> int:
        raise NotImplementedError

    def decode_steps_ns(self, shape: BatchShape, num_steps: int, window_growth: int) -> IntArray:
        shapes = (
            shape._replace(
                decode_context=shape.decode_context + i * shape.num_seqs,
                window_decode_context=shape.window_decode_context + i * window_growth,
            )
            for i in range(num_steps)
        )
        return np.array([self.step_ns(s) for s in shapes], dtype=np.int64)


@dataclass(frozen=True)
class LinearCost(_EachStep):
    """So many nanoseconds for a step, for each of its tokens, and for each token of context."""

    step: int = 100
    token: int = 1
    context: int = 0

    def step_ns(self, shape: BatchShape) -> int:
        context = shape.decode_context + shape.prefill_context
        return self.step + self.token * shape.num_tokens + self.context * context


@dataclass(frozen=True)
class GridCost(_EachStep):
    """Step times on a coarse grid."""

    grid: int
    slope: int

    def step_ns(self, shape: BatchShape) -> int:
        work = shape.num_tokens + (shape.decode_context + shape.window_decode_context) // self.slope
        return self.grid * (1 + work // 16)


@dataclass(frozen=True)
class Served:
    """What a run did.

    Attributes
    ----------
    gaps : dict of str to ndarray
        ``ns``: the gaps between tokens; ``weight``: how many saw each.
    """

    requests: Table
    steps: Table
    sessions: Table
    gaps: Columns
    simulation: Simulation

    def tables(self) -> dict[str, dict[str, list[Any]]]:
        """All columns, as lists."""
        tables = {
            "requests": self.requests,
            "steps": self.steps,
            "sessions": self.sessions,
            "gaps": self.gaps,
        }
        return {
            table: {name: column.tolist() for name, column in columns.items()}
            for table, columns in tables.items()
        }

    def request(self, session: str, call: str) -> dict[str, Any]:
        """The row of one call."""
        names = zip(self.requests["session"], self.requests["call"], strict=True)
        row = list(names).index((session, call))
        return {name: column[row] for name, column in self.requests.items()}

    def session(self, name: str) -> dict[str, Any]:
        """The row of one session."""
        row = list(self.sessions["session"]).index(name)
        return {name: column[row] for name, column in self.sessions.items()}


def serve(
    sessions: Iterable[Session],
    rules: Rules | None = None,
    cost: StepCost | None = None,
    *,
    seed: int = 0,
    window: int | None = None,
    exact: bool = False,
    check: bool = True,
    acceptance: float = 0.0,
    api: ApiServer = NO_SERVER,
    host: HostMemory | None = None,
    eviction: EvictionOrder | None = None,
    prepare: Callable[[Any], None] = lambda server: None,
    replicas: int = 1,
    routing: str = "round-robin",
    **agents: Any,
) -> Served:
    """Run sessions; `agents` are fields of `AgentsConfig`. `check`: every law at every step.

    `prepare` may change each server before anything arrives.
    """
    ledger = Ledger()
    simulation = Simulation(
        Trace(sessions),
        Config(
            seed=seed,
            agents=AgentsConfig(**agents),
            cluster=ClusterConfig(replicas=replicas, routing=routing),
            speculation=SpeculationConfig(rate=acceptance),
        ),
        rules or Rules(),
        cost or LinearCost(),
        window,
        exact=exact,
        check=check,
        api=api,
        host=host,
        eviction=eviction,
        ledger=ledger,
    )
    for server in simulation.servers:
        prepare(server)
    simulation.run()
    ledger.check_complete(simulation.num_calls)
    return Served(
        **ledger.close(),
        gaps={"ns": ledger.gaps.values, "weight": ledger.gaps.weights},
        simulation=simulation,
    )
