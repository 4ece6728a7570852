"""A replay is ended only when its objective is lost for certain."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentsim.domain.config import load_config
from agentsim.domain.records import Served
from agentsim.simulator import simulate
from agentsim.study.figures import Measured
from agentsim.study.objectives import read_objective
from agentsim.study.watch import Lost, Watcher
from study.loads import agents

FIGURES = ("p50 ttft", "p95 ttft", "max ttft", "mean ttft", "mean e2e", "p90 e2e", "p90 tpot",
           "p50 session", "max session", "runtime")  # fmt: skip


@given(
    figure=st.sampled_from(FIGURES),
    factor=st.floats(0.5, 2.0),
    number=st.integers(1, 5),
    seqs=st.integers(1, 4),
    sign=st.sampled_from(("<", "<=")),
)
def test_only_a_run_that_misses_its_objective_is_ended(
    figure: str, factor: float, number: int, seqs: int, sign: str
) -> None:
    """Not even by a hair."""
    trace = agents(number, calls=2, output=8)
    config = load_config(sets=[f"engine.max_num_seqs={seqs}"])
    run = simulate(trace, config)
    value = read_objective(f"{figure} < 1s").figure.of(Measured(run))
    assert value is not None
    objective = read_objective(f"{figure} {sign} {factor * value!r}s")
    watcher = Watcher([objective], trace.num_calls, len(trace))
    try:
        simulate(trace, config, watch=watcher)
    except Lost as lost:
        assert lost.objective is objective
        assert not objective.is_met(value)
        assert 0 < lost.share <= 1


def test_a_hopeless_run_is_short() -> None:
    trace = agents(6, calls=4)
    watcher = Watcher([read_objective("p95 ttft < 1us")], trace.num_calls, len(trace))
    with pytest.raises(Lost) as lost:
        simulate(trace, watch=watcher)
    assert lost.value.share == 3 / 24  # two of 24 values may be above their p95
    assert str(lost.value) == "p95 ttft < 1us is lost after 12% of the calls"


@pytest.mark.parametrize("figure", FIGURES)
def test_every_figure_it_knows_ends_a_run(figure: str) -> None:
    trace = agents(6, calls=4)
    watcher = Watcher([read_objective(f"{figure} < 1us")], trace.num_calls, len(trace))
    with pytest.raises(Lost):
        simulate(trace, watch=watcher)


def call(session: int, end_s: float) -> Served:
    ns = round(end_s * 1e9)
    return Served(session, 0, ns - 10**9, ns - 5 * 10**8, ns, 2)


def test_a_session_counts_once_however_many_calls_are_late() -> None:
    watcher = Watcher([read_objective("p50 session < 10s")], 9, 3)
    for _ in range(3):
        watcher(call(0, 11.0))
    watcher(call(1, 9.0))
    with pytest.raises(Lost):
        watcher(call(2, 12.0))
