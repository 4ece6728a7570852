"""What speculation gained or lost: the same sessions without it, and with one part of it at a time.

Start at `compare`. The runs between "without" and "with" differ in one thing each, so their
differences are the causes and add up:

1. without speculation;
2. with the scheduling that the method forces (synchronous, for those vLLM cannot overlap);
3. with the KV cache that weights and KV of the drafter leave;
4. drafts accepted, but each step as long as if it had computed one token a sequence;
5. and verification takes its time;
6. and so does proposing: the run itself.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from agentsim.domain.batch import BatchShape
from agentsim.domain.config import Config
from agentsim.domain.records import Run
from agentsim.domain.speculation import SpeculationConfig
from agentsim.domain.trace import Trace
from agentsim.domain.units import NS_PER_S
from agentsim.engine.replica import StepCost
from agentsim.machine.speculative import SpeculativeCost
from agentsim.machine.system import System, build_system
from agentsim.simulator import simulate

#: Output tokens up to which a run is compared unasked: two more runs as long as itself.
COMPARED_TOKENS = 20_000


class PlainSteps:
    """Steps as long as if no draft had been in them.

    Parameters
    ----------
    base : StepCost
        Of a system without speculation.
    """

    def __init__(self, base: StepCost) -> None:
        self._base = base

    def step_ns(self, shape: BatchShape) -> int:
        """Duration of the step without its drafts."""
        drafts = shape.num_drafts
        return self._base.step_ns(
            shape._replace(
                num_tokens=shape.num_tokens - drafts,
                num_sampled=shape.num_sampled - drafts,
                decode_context=shape.decode_context - drafts,
                window_decode_context=shape.window_decode_context - drafts,
                num_drafts=0,
            )
        )

    def decode_steps_ns(
        self, shape: BatchShape, num_steps: int, window_growth: int
    ) -> npt.NDArray[np.int64]:
        """As the system without speculation; a group of decodes holds no draft."""
        return self._base.decode_steps_ns(shape, num_steps, window_growth)


def is_cheap(run: Run) -> bool:
    """Whether the runs of a comparison take no more than a moment."""
    return int(run.requests["output_tokens"].sum()) <= COMPARED_TOKENS


def compare(trace: Trace, config: Config, run: Run, system: System, *, exact: bool = False) -> Run:
    """`run` with what its speculation gained or lost among its facts; as it is if it has none.

    Parameters
    ----------
    trace, config, system
        What `run` was made of.
    exact : bool
        As for `run`; the result is the same.

    Returns
    -------
    Run
        With the fact ``without_speculation``: seconds. ``runtime_s`` of the run without,
        ``gained_s`` by speculation (negative: lost), and its parts, of which what takes time is
        positive: ``synchronous_s``, ``memory_s``, ``accepted_s``, ``verification_s``,
        ``proposal_s``.
    """
    if not isinstance(system.cost, SpeculativeCost):
        return run

    def makespan(other: System, settings: Config) -> int:
        return simulate(trace, settings, exact=exact, system=other).makespan_ns

    engine = msgspec.structs.replace(
        config.engine,
        speculative_method="none",
        num_speculative_tokens=0,
        max_model_len=system.engine.max_model_len,
    )
    plain = msgspec.structs.replace(config, engine=engine, speculation=SpeculationConfig())
    none = build_system(plain)
    ends = [makespan(none, plain)]
    base = none
    for name in ("async_scheduling", "num_gpu_blocks"):
        wanted = getattr(system.engine, name)
        if getattr(base.engine, name) == wanted:
            ends.append(ends[-1])
            continue
        engine = msgspec.structs.replace(engine, **{name: wanted})
        plain = msgspec.structs.replace(plain, engine=engine)
        base = build_system(plain)
        ends.append(makespan(base, plain))
    for cost in (PlainSteps(base.cost), system.cost.without_proposal()):
        ends.append(makespan(_with_cost(system, cost), config))
    ends.append(run.makespan_ns)
    names = ("synchronous_s", "memory_s", "accepted_s", "verification_s", "proposal_s")
    parts = {
        name: (after - before) / NS_PER_S
        for name, before, after in zip(names, ends, ends[1:], strict=False)
    }
    told: dict[str, Any] = {
        "runtime_s": ends[0] / NS_PER_S,
        "gained_s": (ends[0] - ends[-1]) / NS_PER_S,
        **parts,
    }
    return dataclasses.replace(run, facts={**run.facts, "without_speculation": told})


def _with_cost(system: System, cost: Any) -> System:
    """`system`, its steps as long as `cost` says."""
    return dataclasses.replace(system, cost=cost)
