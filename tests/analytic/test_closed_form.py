"""Runs whose times can be written down."""

from __future__ import annotations

import numpy as np
import pytest

from agentsim.domain.batch import BatchShape
from agentsim.domain.trace import Call, Session, Trace
from agentsim.machine.system import build_system, read_config
from agentsim.simulator import simulate


def alone(prompt: int, output: int) -> Trace:
    one = Call(id="0", input_tokens=prompt, output_tokens=output, delay_ns=0, finish="length")
    return Trace([Session(id="s", calls=(one,))])


@pytest.mark.parametrize("is_async", ["true", "false"])
def test_one_request_is_its_chunks_and_its_decodes(is_async: str) -> None:
    """Prefill in chunks of the budget, then one step for each further token."""
    config, _ = read_config(
        sets=["engine.max_num_batched_tokens=2048", f"engine.async_scheduling={is_async}"]
    )
    system = build_system(config)
    expected = 0
    for before, new in ((0, 2048), (2048, 2048), (4096, 904)):
        pairs = new * before + new * (new + 1) // 2
        context = before + new
        shape = BatchShape(
            new, 1, int(context == 5000), new, pairs, context, 0, pairs, context, 0
        )  # fmt: skip
        expected += system.cost.step_ns(shape)
    for i in range(1, 40):
        shape = BatchShape(
            1, 1, 1, decode_context=5000 + i, window_decode_context=5000 + i
        )  # fmt: skip
        expected += system.cost.step_ns(shape)
    assert simulate(alone(5000, 40), config).makespan_ns == expected


def test_littles_law_holds_of_the_requests_at_the_server() -> None:
    """Mean number there = rate of arrivals times mean time there, on any run."""
    sessions = [
        Session(id=f"{i:03}", calls=alone(200 + i, 30).sessions[0].calls) for i in range(120)
    ]
    config, _ = read_config(sets=["agents.arrival=poisson:2"])
    run = simulate(Trace(sessions), config)
    start, end = run.requests["submitted_ns"], run.requests["finished_ns"]
    edges = np.sort(np.concatenate([start, end]))
    there = (start[:, None] <= edges[:-1]) & (end[:, None] > edges[:-1])
    mean_number = (there.sum(axis=0) * np.diff(edges)).sum() / (edges[-1] - edges[0])
    rate = len(start) / (edges[-1] - edges[0])
    assert mean_number == pytest.approx(rate * (end - start).mean(), rel=1e-9)


def test_at_low_load_a_call_takes_as_long_as_alone() -> None:
    """Far apart, nobody waits for anybody."""
    config, _ = read_config(sets=["agents.arrival=poisson:0.001"])
    sessions = [Session(id=f"{i}", calls=alone(800, 25).sessions[0].calls) for i in range(5)]
    together = simulate(Trace(sessions), config)
    took = together.requests["finished_ns"] - together.requests["submitted_ns"]
    single = simulate(alone(800, 25), read_config()[0]).makespan_ns
    assert took.tolist() == [single] * 5
