"""Energy: power by hand in three seconds of a run, and between idle and TDP always."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentsim.domain.records import Run
from agentsim.machine.catalog import gpus
from agentsim.report.bill import Energy, Quoted
from agentsim.report.energy import PowerModel, default_grid, energy_of, power_model
from report.runs import request, run, session, step


def quoted(value: float) -> Quoted:
    return Quoted(value, "", "given", "", "test")


MODEL = PowerModel(quoted(100.0), quoted(300.0), quoted(1.0), quoted(0.5))
GRID = quoted(500.0)


def energy(made: Run, compute: list[float], memory: list[float], num_gpus: int = 1) -> Energy:
    parts = {"compute_s": np.array(compute), "memory_s": np.array(memory)}
    return energy_of(made, lambda _: parts, num_gpus, MODEL, GRID)


def ten_seconds(*steps: dict[str, object]) -> Run:
    calls = [request("s", "a", (0, 0, 1, 10))]
    return run(calls, list(steps), [session("s", 0, 10)])


def test_a_prefill_a_decode_and_a_wait_draw_what_they_draw_on_paper() -> None:
    """2 s of arithmetic at 300 W, 4 s of memory at 200 W, 4 s idle at 100 W: 1800 J."""
    made = ten_seconds(step(0, 2), step(3, 7))
    used = energy(made, compute=[2.0, 0.0], memory=[0.0, 4.0])
    assert used.kwh == pytest.approx(1800 / 3.6e6)
    assert used.mean_w == pytest.approx(180.0)
    assert used.wh_per_session == pytest.approx(0.5)
    assert used.co2_g == pytest.approx(0.25)


def test_units_that_are_busy_half_the_step_draw_half_of_it() -> None:
    assert energy(ten_seconds(step(0, 10)), [5.0], [0.0]).mean_w == pytest.approx(200.0)
    assert energy(ten_seconds(step(0, 10)), [5.0], [5.0]).mean_w == pytest.approx(250.0)


def test_each_gpu_of_a_replica_draws_the_same() -> None:
    made = ten_seconds(step(0, 10))
    assert energy(made, [5.0], [5.0], 4).kwh == pytest.approx(4 * energy(made, [5.0], [5.0]).kwh)


def test_a_replica_idles_while_another_works() -> None:
    made = ten_seconds(step(0, 10), step(0, 0.001, replica=1))
    used = energy(made, [10.0, 0.0], [0.0, 0.0], num_gpus=2)
    assert used.mean_w == pytest.approx((300 + 100) / 2)


def test_what_runs_beyond_the_last_answer_does_not_count() -> None:
    used = energy(ten_seconds(step(0, 10), step(10, 11)), [10.0, 1.0], [0.0, 0.0])
    assert used.mean_w == pytest.approx(300.0)


def test_a_run_of_nothing_uses_nothing() -> None:
    used = energy(run([], [], []), [], [])
    assert (used.kwh, used.mean_w, used.wh_per_session) == (0.0, None, None)


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1)), max_size=10))
def test_energy_lies_between_idle_and_tdp_times_time(
    pieces: list[tuple[float, float, float]],
) -> None:
    steps = [step(i, i + share) for i, (share, _, _) in enumerate(pieces)]
    used = energy(
        ten_seconds(*steps),
        [share * busy for share, busy, _ in pieces],
        [share * busy for share, _, busy in pieces],
    )
    assert used.mean_w is not None
    assert 100.0 - 1e-6 <= used.mean_w <= 300.0 + 1e-6


def test_every_gpu_idles_below_its_tdp_and_says_why() -> None:
    for name, gpu in gpus().items():
        model = power_model(name, gpu.tdp_w, gpu.source)
        assert 0 < model.idle_w.value < gpu.tdp_w
        assert model.idle_w.source
        assert model.idle_w.source != power_model("unheard-of", 100.0, "").idle_w.source


def test_an_unknown_gpu_idles_at_a_share_of_its_tdp() -> None:
    assert power_model("unheard-of", 500.0, "mine").idle_w.value == 100.0


def test_the_grid_is_dated() -> None:
    grid = default_grid()
    assert (grid.value, grid.date, grid.kind) == (473.0, "2024", "published")
