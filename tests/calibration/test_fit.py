"""The fit finds what made the data, says how well, and names what it cannot know."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from agentsim.calibration.fit import Fit, fit
from agentsim.calibration.observations import Observations, observe_steps
from agentsim.calibration.parameters import PARAMETERS, chosen, prior_values
from agentsim.calibration.residuals import residuals_of
from agentsim.calibration.steps import shape_of_work
from agentsim.domain.batch import BatchShape
from agentsim.domain.config import Config, EngineConfig
from agentsim.errors import ConfigError, UnknownName

CONFIG = Config(gpu="l4", model="qwen2.5-3b", engine=EngineConfig(max_model_len=8192))
TRUE = {
    "bandwidth_efficiency": 0.7,
    "compute_efficiency": 0.5,
    "attention_bandwidth_efficiency": 0.6,
    "attention_compute_efficiency": 0.35,
}


def sweep() -> list[BatchShape]:
    """Decodes of 1 to 64 sequences at short and long contexts, prefills of 16 to 4096 tokens."""
    decodes = [
        shape_of_work([(context, 1, True)] * batch, None)
        for batch in (1, 2, 4, 8, 16, 32, 64)
        for context in (100, 1000, 4000, 8000)
    ]
    prefills = [
        shape_of_work([(start, count, False)], None)
        for start in (0, 2000, 4000)
        for count in (16, 64, 256, 1024, 4096)
    ]
    return decodes + prefills


def measured(noise: float, seed: int, shapes: Sequence[BatchShape]) -> Observations:
    """Steps of a GPU whose factors are `TRUE`, each off by a lognormal error."""
    exact = observe_steps("made up", CONFIG, shapes, [1.0] * len(shapes)).predict(TRUE)
    errors = np.random.default_rng(seed).normal(0.0, noise, len(shapes))
    return observe_steps("made up", CONFIG, shapes, (exact * np.exp(errors)).tolist())


def fitted(noise: float, seed: int) -> Fit:
    return fit([measured(noise, seed, sweep())], list(TRUE), prior_values(CONFIG))


def test_factors_are_found_again_without_noise() -> None:
    found = fitted(0.0, 0)
    for name, value in TRUE.items():
        assert found.values[name] == pytest.approx(value, rel=0.01)
    assert all(row.mape < 0.005 for row in found.residuals)
    assert {row.regime for row in found.residuals} == {"decode", "prefill"}


def test_a_prior_at_its_bound_does_not_hold_the_fit() -> None:
    """A share of 1 is a common prior; the fit leaves it if the data say so."""
    priors = prior_values(CONFIG) | {"bandwidth_efficiency": 1.0}
    found = fit([measured(0.0, 0, sweep())], list(TRUE), priors)
    assert found.values["bandwidth_efficiency"] == pytest.approx(0.7, rel=0.01)


def test_standard_errors_cover_the_truth_as_often_as_they_say() -> None:
    """Within two standard errors in about 95 % of cases."""
    inside, total = 0, 0
    for seed in range(15):
        for factor in fitted(0.03, seed).factors:
            gap = abs(np.log(factor.value / TRUE[factor.name]))
            inside += bool(gap <= 2 * factor.error)
            total += 1
    assert 0.85 <= inside / total <= 1.0


def test_more_noise_means_larger_standard_errors() -> None:
    quiet, loud = fitted(0.01, 1), fitted(0.1, 1)
    assert all(a.error < b.error for a, b in zip(quiet.factors, loud.factors, strict=True))


def test_a_few_wild_observations_change_little() -> None:
    good = measured(0.01, 2, sweep())
    seconds = good.seconds.copy()
    seconds[::12] *= 5
    wild = Observations(good.source, good.regimes, seconds, good.predict)
    found = fit([wild], list(TRUE), prior_values(CONFIG))
    for name, value in TRUE.items():
        assert found.values[name] == pytest.approx(value, rel=0.1)


def test_a_factor_that_nothing_touches_keeps_its_prior_and_is_named() -> None:
    decodes = [shape for shape in sweep() if not shape.prefill_tokens]
    names = ["bandwidth_efficiency", "attention_compute_efficiency"]
    priors = prior_values(CONFIG)
    found = fit([measured(0.01, 3, decodes)], names, priors)
    known, unknown = found.factors
    assert known.is_identified
    assert not unknown.is_identified
    assert unknown.value == pytest.approx(priors["attention_compute_efficiency"], rel=1e-3)
    assert unknown.error == pytest.approx(unknown.prior_error, rel=0.01)


def test_what_fixed_a_factor_is_said() -> None:
    by_name = {factor.name: factor for factor in fitted(0.01, 4).factors}
    assert by_name["attention_compute_efficiency"].fixed_by[0] == "made up, prefill"
    assert by_name["attention_bandwidth_efficiency"].fixed_by[0] == "made up, decode"


def test_the_factors_to_fit_are_those_that_matter() -> None:
    decodes = [shape for shape in sweep() if not shape.prefill_tokens]
    priors = prior_values(CONFIG)
    names = chosen(None, [measured(0.0, 0, decodes)], priors)
    assert "bandwidth_efficiency" in names
    assert "attention_compute_efficiency" not in names  # nothing prefills
    assert "allreduce_latency_s" not in names  # one GPU
    assert "format_bandwidth_ratio" not in names  # 16 bits
    assert chosen("overlap_loss, link_efficiency", [], priors) == [
        "overlap_loss",
        "link_efficiency",
    ]
    with pytest.raises(UnknownName, match="did you mean 'overlap_loss'"):
        chosen("overlap_los", [], priors)


def test_fewer_observations_than_factors_are_refused() -> None:
    with pytest.raises(ConfigError, match="3 observations cannot identify 4 factors"):
        fit([measured(0.0, 0, sweep()[:3])], list(TRUE), prior_values(CONFIG))


def test_priors_lie_within_the_bounds() -> None:
    for gpu in ("l4", "h100", "a100", "rtx4090", "cpu"):
        config = Config(gpu=gpu, model="qwen2.5-3b")
        for name, value in prior_values(config).items():
            assert PARAMETERS[name].low <= value <= PARAMETERS[name].high


def test_residuals_of_the_truth_are_the_noise() -> None:
    rows = residuals_of([measured(0.05, 5, sweep())], TRUE)
    assert sum(row.num_observations for row in rows) == len(sweep())
    for row in rows:
        assert 0.02 < row.mape < 0.08
        assert abs(row.bias) < row.mape
