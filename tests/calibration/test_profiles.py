"""The profiles that ship: fitted again from the same measurements they come out the same."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import numpy as np
import pytest

from agentsim.calibration.between import between_sets
from agentsim.calibration.fit import Fit, Fitted
from agentsim.calibration.observations import FloatArray, Observations
from agentsim.calibration.profile import profile_of, profile_toml, write_profile
from agentsim.machine.catalog import factor_table, find_gpu, gpus
from agentsim.machine.profiles import find_profile, profile_names

sys.path.append(str(Path(__file__).parents[2] / "calibration"))

import fit_profiles
from recipes import ESTIMATED, RECIPES

MADE = [*RECIPES, *ESTIMATED]


@pytest.mark.parametrize("gpu", ["rtx4090", "rtxpro6000", "l40s", "a100", "h100", "cpu"])
def test_rates_that_are_fitted_again_are_those_that_ship(shared: Path, gpu: str) -> None:
    """Within the errors that the profile states, which are larger than those of its fit."""
    again = fit_profiles.fit_rates(gpu, shared / "measured")
    shipped = find_profile(gpu).factors
    assert {factor.name for factor in again.factors} <= set(shipped)
    for factor in again.factors:
        row = shipped[factor.name]
        assert row.error is not None
        assert abs(math.log(factor.value / row.value)) < row.error
        assert row.error >= 0.9 * factor.error


@pytest.mark.parametrize("gpu", MADE)
def test_each_profile_says_what_it_rests_on(gpu: str) -> None:
    profile = find_profile(gpu)
    assert find_gpu(gpu).profile == profile
    assert profile.standing == ("estimated" if gpu in ESTIMATED else "fitted")
    assert profile.source
    for name, row in profile.factors.items():
        assert name in factor_table()["general"]
        assert row.source
        assert row.error is not None
    recipe = RECIPES[ESTIMATED.get(gpu, gpu)]
    if gpu in RECIPES:
        assert all(name in profile.source for name in recipe.runs)  # no fit without saying so


def test_every_profile_is_made_by_the_script() -> None:
    assert set(profile_names()) == set(MADE)
    assert set(MADE) <= set(gpus())


@pytest.mark.parametrize("gpu", ESTIMATED)
def test_what_is_estimated_is_less_certain_than_what_it_is_from(gpu: str) -> None:
    own, other = find_profile(gpu), find_profile(ESTIMATED[gpu])
    assert own.spread > other.spread
    for name, row in own.factors.items():
        assert row.kind == "assumed"
        assert (row.error or 0.0) > (other.factors[name].error or 0.0)


def test_a_written_profile_is_read_as_it_was(tmp_path: Path) -> None:
    """Correlations too, which stay those of a covariance."""
    covariance = np.array([[0.01, 0.0199, 0.0], [0.0199, 0.04, 0.0], [0.0, 0.0, 0.2]])
    names = ("bandwidth_efficiency", "layer_overhead_s", "step_overhead_s")
    factors = tuple(
        Fitted(name, 0.5, float(covariance[i, i] ** 0.5), 0.4, 0.3, i < 2, ("a/b, decode",))
        for i, name in enumerate(names)
    )
    made = profile_of(Fit(factors, covariance, (), {}, 0.07), "l4", 'of "two" files')
    write_profile(tmp_path / "mine.toml", profile_toml(made, ["a remark"]))
    read = find_profile(str(tmp_path / "mine.toml"))
    assert read.factors == made.factors
    assert set(read.factors) == set(names[:2])
    assert (read.gpu, read.source, read.spread) == ("l4", 'of "two" files', 0.07)
    np.linalg.cholesky(np.array(read.correlation.rows))
    assert [path.name for path in tmp_path.iterdir()] == ["mine.toml"]


def constant(source: str, value: float, count: int, scale: float) -> Observations:
    """Times in proportion to a factor, `scale` times what it gives at 0.5."""

    def predict(values: object) -> FloatArray:
        share = values["bandwidth_efficiency"]  # type: ignore[index]
        return np.full(count, value / share)

    measured = np.full(count, scale * value / 0.5)
    return Observations(source, np.full(count, "decode"), measured, predict)


def test_factors_that_differ_between_sets_are_less_certain() -> None:
    """Two sets, 10 % either way of the fit: a standard deviation of about 10 %."""
    factor = Fitted("bandwidth_efficiency", 0.5, 0.01, 0.5, 0.3, True, ())
    fit = Fit((factor,), np.array([[1e-4]]), (), {})
    apart = [[constant("a", 1.0, 50, 0.9)], [constant("b", 1.0, 50, 1.1)]]
    assert between_sets(apart, fit)[0] == pytest.approx(0.1, rel=0.2)
    alike = [[constant("a", 1.0, 50, 1.0)], [constant("b", 1.0, 50, 1.0)]]
    assert between_sets(alike, fit)[0] == pytest.approx(0.01)
    assert between_sets(apart[:1], fit)[0] == pytest.approx(0.04)
