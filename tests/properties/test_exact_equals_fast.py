"""Taking many equal steps at once changes nothing: the same columns, bit for bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from agentsim.domain.batch import BatchShape
from agentsim.domain.config import AgentsConfig, Config
from agentsim.domain.trace import Call, Session, Trace
from agentsim.engine import replica
from agentsim.engine.rules import Rules
from agentsim.engine.simulation import Simulation
from agentsim.simulate import _request_columns, _session_columns
from hypothesis import given, settings
from hypothesis import strategies as st


class GridCost:
    """Step times on a coarse grid, so that many things happen at the same nanosecond."""

    def __init__(self, grid: int, slope: int) -> None:
        self.grid = grid
        self.slope = slope

    def step_ns(self, shape: BatchShape) -> int:
        work = shape.num_tokens + (shape.decode_context + shape.window_decode_context) // self.slope
        return self.grid * (1 + work // 16)

    def decode_steps_ns(
        self, shape: BatchShape, num_steps: int, window_growth: int
    ) -> np.ndarray[Any, np.dtype[np.int64]]:
        shapes = [
            shape._replace(
                decode_context=shape.decode_context + i * shape.num_seqs,
                window_decode_context=shape.window_decode_context + i * window_growth,
            )
            for i in range(num_steps)
        ]
        return np.array([self.step_ns(s) for s in shapes], dtype=np.int64)


@st.composite
def rules(draw: st.DrawFn) -> Rules:
    block_size = draw(st.sampled_from([1, 4, 16]))
    budget = draw(st.sampled_from([8, 16, 64, 512]))
    is_async = draw(st.booleans())
    drafts = 0 if is_async else draw(st.sampled_from([0, 0, 0, 3]))
    return Rules(
        block_size=block_size,
        num_gpu_blocks=1 + draw(st.integers(300, 1200)) // block_size,
        max_num_seqs=draw(st.sampled_from([1, 2, 4, 16])),
        max_num_batched_tokens=budget,
        max_model_len=256,
        enable_prefix_caching=draw(st.booleans()),
        long_prefill_token_threshold=draw(st.sampled_from([0, 0, 5, 24])),
        policy=draw(st.sampled_from(["fcfs", "priority"])),
        watermark=draw(st.sampled_from([0.0, 0.1])),
        scheduler_reserve_full_isl=draw(st.booleans()),
        num_speculative_tokens=drafts if budget > 4 else 0,
        async_scheduling=is_async,
    )


@st.composite
def sessions(draw: st.DrawFn) -> list[Session]:
    grid = draw(st.sampled_from([1, 10]))
    time = st.integers(0, 40).map(lambda n: n * grid)
    made = []
    for number in range(draw(st.integers(1, 5))):
        calls: list[Call] = []
        total = draw(st.integers(0, 30))
        for turn in range(draw(st.integers(1, 4))):
            output = draw(st.integers(0, 40))
            if calls and draw(st.booleans()):
                base = draw(st.sampled_from(calls))
                longest = base.input_tokens + base.output_tokens
                keep = draw(st.integers(0, longest))
                tokens = min(200, max(1, keep + draw(st.integers(0, 30))))
                identity: dict[str, Any] = {"extends": base.id, "keep": min(keep, tokens)}
            else:
                own = draw(st.integers(1, 60))
                tokens = total + own
                identity = {"segments": (("sys", total), (f"own{number % 3}", own))}
            after = (calls[-1].id,) if calls and draw(st.booleans()) else ()
            calls.append(
                Call(
                    id=f"c{turn}",
                    input_tokens=tokens,
                    output_tokens=output,
                    after=after,
                    delay_ns=draw(time),
                    finish=draw(st.sampled_from([None, "length"])),
                    priority=draw(st.integers(0, 2)),
                    **identity,
                )
            )
        made.append(Session(id=f"s{number}", calls=tuple(calls), at_ns=draw(time)))
    return made


def run(trace: Trace, rule: Rules, cost: GridCost, **options: Any) -> dict[str, Any]:
    """All columns of a run."""
    config = Config(agents=AgentsConfig(num_agents=options.pop("num_agents"), acceptance=0.4))
    simulation = Simulation(trace, config, rule, cost, check=True, **options)
    simulation.run()
    gaps, weights = simulation.replica.steps.gaps()
    return {
        "requests": _request_columns(simulation),
        "steps": simulation.replica.steps.columns(),
        "sessions": _session_columns(simulation),
        "gaps": {"ns": gaps, "weight": weights},
    }


@given(
    sessions(),
    rules(),
    st.sampled_from([1, 10]),
    st.sampled_from([7, 64, 10**9]),
    st.sampled_from([None, 40, 90]),
    st.sampled_from([None, None, 1, 2]),
    st.sampled_from([1, 3, 1 << 14]),
)
@settings(max_examples=300, deadline=None)
def test_strides_of_any_length_change_nothing(
    made: list[Session],
    rule: Rules,
    grid: int,
    slope: int,
    window: int | None,
    num_agents: int | None,
    longest: int,
) -> None:
    """Every column of requests, steps, sessions and token gaps agrees."""
    cost = GridCost(grid, slope)
    exact = run(Trace(made), rule, cost, exact=True, window=window, num_agents=num_agents)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(replica, "MAX_STRIDE", longest)
        fast = run(Trace(made), rule, cost, window=window, num_agents=num_agents)
    for table, columns in exact.items():
        for name, column in columns.items():
            assert column.tolist() == fast[table][name].tolist(), f"{table}.{name}"
