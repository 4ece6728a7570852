"""Prediction intervals: what is drawn, and what a run under those draws gives."""

from __future__ import annotations

import dataclasses
import math
from statistics import NormalDist, fmean, stdev

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentsim.billing import bill_of, read_terms
from agentsim.domain.config import Config, EngineConfig, load_config
from agentsim.domain.records import Run
from agentsim.domain.specs import Correlation, FactorValue, Profile
from agentsim.domain.trace import Call, Session, Trace
from agentsim.machine.system import System, build_system
from agentsim.report.figures import Intervals
from agentsim.simulator import fit_trace, simulate
from agentsim.uncertainty import interval, parameter_sets, predict_intervals, with_factors

TRACE = Trace(
    [
        Session(
            "one",
            (
                Call("a", 400, 30),
                Call("b", 800, 30, after=("a",), delay_ns=10**9),
            ),
        )
    ]
)


def system(profile: Profile | None = None, **settings: object) -> System:
    """The case study's, with another profile of its GPU; its factors stay as they are."""
    found = build_system(load_config(sets=[f"{name}={value}" for name, value in settings.items()]))
    if profile is None:
        return found
    return dataclasses.replace(found, gpu=msgspec.structs.replace(found.gpu, profile=profile))


def certain(found: System) -> System:
    """The system with factors that have no error."""
    rows = tuple({**row, "error": 0.0} for row in found.assumptions)
    return dataclasses.replace(found, assumptions=rows)


def logs(sets: list[dict[str, float]], name: str, central: float) -> list[float]:
    return [math.log(values[name] / central) for values in sets]


def row(found: System, name: str) -> dict[str, float]:
    return next(row for row in found.assumptions if row["name"] == name)


def test_draws_have_the_errors_of_their_factors() -> None:
    """Without the common scale: mean 0 and the stated standard error, to what strata leave."""
    found = system(Profile(spread=0.0))
    sets = parameter_sets(found, 64)
    for name in ("layer_overhead_s", "step_overhead_s", "api_request_s"):
        made = row(found, name)
        drawn = logs(sets, name, made["value"])
        assert fmean(drawn) == pytest.approx(0.0, abs=1e-9)
        assert stdev(drawn) == pytest.approx(made["error"], rel=0.05)


def test_the_common_scale_moves_all_step_times_together() -> None:
    """Rates go down by as much as times go up; the API server is no part of a step."""
    found = system(Profile(spread=0.1))
    for values in parameter_sets(certain(found), 4):
        scale = values["layer_overhead_s"] / row(found, "layer_overhead_s")["value"]
        rate = values["attention_compute_efficiency"]
        assert rate * scale == pytest.approx(row(found, "attention_compute_efficiency")["value"])
        assert "api_request_s" not in values


def test_correlated_factors_are_drawn_together() -> None:
    names = ("layer_overhead_s", "step_overhead_s")
    profile = Profile(
        spread=0.0,
        factors={name: FactorValue(1e-5, "fitted", "a test") for name in names},
        correlation=Correlation(names, ((1.0, -0.9), (-0.9, 1.0))),
    )
    found = system(profile)
    sets = parameter_sets(found, 400)
    first, second = (logs(sets, name, row(found, name)["value"]) for name in names)
    assert np.corrcoef(first, second)[0, 1] == pytest.approx(-0.9, abs=0.03)


def test_a_factor_that_the_user_gave_is_certain() -> None:
    found = system(Profile(spread=0.0), **{"cost.layer_overhead_s": 1e-5})
    assert {values["layer_overhead_s"] for values in parameter_sets(found, 4)} == {1e-5}


def test_the_same_draws_for_another_configuration() -> None:
    """Common random numbers: what a factor is multiplied by depends on its name alone."""
    profile = Profile(spread=0.0)
    one, other = system(profile), system(profile, **{"engine.max_num_seqs": 1})
    assert parameter_sets(one, 8) == parameter_sets(other, 8)


def test_shares_stay_shares() -> None:
    for values in parameter_sets(system(Profile(spread=2.0)), 16):
        assert all(value <= 1 for name, value in values.items() if name.endswith("efficiency"))


@given(st.lists(st.floats(1e-3, 1e3), min_size=2, max_size=30), st.floats(1e-3, 1e3))
def test_an_interval_holds_the_central_value(values: list[float], central: float) -> None:
    found = interval(values, central)
    assert found is not None
    assert found.low <= central <= found.high


def test_an_interval_is_that_of_a_lognormal() -> None:
    z = NormalDist().inv_cdf(0.95)
    values = [math.exp(0.2 * NormalDist().inv_cdf((n + 0.5) / 1000)) for n in range(1000)]
    found = interval(values, 1.0)
    assert found is not None
    assert math.log(found.high) == pytest.approx(0.2 * z, rel=0.01)
    assert found.low * found.high == pytest.approx(1.0)


@pytest.mark.parametrize("values", [[1.0], [1.0, None], [1.0, 0.0]])
def test_no_interval_of_what_does_not_exist(values: list[float | None]) -> None:
    assert interval(values, 1.0) is None
    assert interval([1.0, 2.0], None) is None


def predicted(config: Config, samples: int = 8) -> tuple[Run, Intervals]:
    found = build_system(config)
    run = simulate(TRACE, config, system=found)
    bill = bill_of(run, fit_trace(TRACE, config, found), read_terms(found.gpu, apis=["none"]))
    return run, predict_intervals(TRACE, config, run, found, samples=samples, bill=bill)


def test_a_run_is_simulated_under_each_set() -> None:
    """The intervals are those of the runs that the sets give, one by one."""
    config = load_config()
    found = build_system(config)
    run, sure = predicted(config)
    runtimes = [
        simulate(TRACE, with_factors(config, values)).makespan_ns / 1e9
        for values in parameter_sets(found, 8)
    ]
    assert sure.runtime_s == interval(runtimes, run.makespan_ns / 1e9)
    assert sure.run_usd is not None
    assert sure.runtime_s is not None
    assert sure.run_usd.low / sure.runtime_s.low == pytest.approx(0.8 / 3600)


def test_tools_are_certain() -> None:
    """What the GPU takes is uncertain, the wait for a tool is not: the share of it narrows."""
    config = Config(engine=EngineConfig(max_model_len=4096))
    _, sure = predicted(config)
    slow = msgspec.structs.replace(
        config, agents=msgspec.structs.replace(config.agents, tool_time_scale=100.0)
    )
    _, diluted = predicted(slow)
    assert width(diluted) < 0.2 * width(sure)


def width(found: Intervals) -> float:
    assert found.runtime_s is not None
    return math.log(found.runtime_s.high / found.runtime_s.low)


def test_the_same_bytes_again() -> None:
    first, second = (msgspec.json.encode(predicted(load_config())[1]) for _ in range(2))
    assert first == second
