"""Robust least squares on the factors of the step-time model: `fit`.

The unknowns are the logarithms of the factors. A residual is the logarithm of simulated over
measured time, divided by the spread of its source and regime, which is estimated from the residuals
themselves; large ones count by their distance alone (soft L1). What one source says of one regime
shares a part of its error, so that ten thousand steps do not drown ten runs. Each factor has a
prior, so that one that no observation touches stays where it was.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from agentsim.calibration.certainty import covariance, group_of, jacobian, knowledge
from agentsim.calibration.nearby import LogModel, log_model
from agentsim.calibration.observations import FloatArray, Observations
from agentsim.calibration.parameters import PARAMETERS
from agentsim.calibration.residuals import Residuals, residuals_of
from agentsim.calibration.solve import solve
from agentsim.calibration.weighting import (
    FIRST_SPREAD,
    run_spread_of,
    spreads_of,
    weights_of,
)
from agentsim.errors import ConfigError

#: Most rounds, and a change of all factors after which no more are made.
_ROUNDS, _STILL = 4, 1e-3
#: Change of the logarithm of a factor up to which lines about simulations hold.
_NEAR = 0.05
#: A factor is identified if the data leave less than this share of its prior's spread.
IDENTIFIED = 0.5
#: With more than this share left they say nothing of it.
_UNTOUCHED = 0.95
#: A source fixes a factor if the standard error is so many times larger without it.
_TELLING = 1.1


@dataclass(frozen=True, slots=True)
class Fitted:
    """One factor after the fit.

    Attributes
    ----------
    error : float
        Standard error, relative: 0.05 is 5 %.
    prior, prior_error : float
        Value and relative spread before.
    is_identified : bool
        Whether the observations, not the prior, say what it is.
    fixed_by : tuple of str
        Folders and regimes without which the standard error would be a tenth larger or more, the
        most important first.
    """

    name: str
    value: float
    error: float
    prior: float
    prior_error: float
    is_identified: bool
    fixed_by: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Fit:
    """The result of `fit`.

    Attributes
    ----------
    covariance : ndarray of float64, shape (n, n)
        Of the logarithms of the factors, in the order of `factors`.
    spreads : dict of str to float
        Relative spread of the residuals of each source and regime.
    run_spread : float
        What whole runs differ by beside their factors, relative: of the means of simulated runs,
        else of the sums of step files.
    """

    factors: tuple[Fitted, ...]
    covariance: FloatArray
    residuals: tuple[Residuals, ...]
    spreads: dict[str, float]
    run_spread: float = FIRST_SPREAD

    @property
    def values(self) -> dict[str, float]:
        """The fitted values by name."""
        return {factor.name: factor.value for factor in self.factors}


def fit(
    observations: Sequence[Observations], names: Sequence[str], priors: Mapping[str, float]
) -> Fit:
    """The values of the factors `names` under which the model is nearest to the observations.

    Parameters
    ----------
    names : sequence of str
        Of `PARAMETERS`.
    priors : mapping of str to float
        Middle of each one's prior; the factors that are not named keep their own defaults.

    Raises
    ------
    ConfigError
        If there are fewer observations than factors.
    """
    _check(observations, names)
    middle = np.array([priors[name] for name in names])
    prior_spread = np.array([PARAMETERS[name].spread for name in names])
    measured = [np.log(item.seconds) for item in observations]
    weights = [weights_of(item) for item in observations]
    bounds = (
        np.log([PARAMETERS[name].low for name in names]) - np.log(middle),
        np.log([PARAMETERS[name].high for name in names]) - np.log(middle),
    )

    def values(theta: FloatArray) -> dict[str, float]:
        return dict(zip(names, (middle * np.exp(theta)).tolist(), strict=True))

    def models(theta: FloatArray) -> list[LogModel]:
        return [log_model(item, values, theta, bounds[1]) for item in observations]

    theta = np.clip(np.zeros(len(names)), *bounds)
    spreads = [np.full(len(item), FIRST_SPREAD) for item in observations]
    middle_of_lines, gaps = theta, _gaps(models(theta), measured)
    for _ in range(_ROUNDS):
        before = theta
        theta = solve(gaps, spreads, weights, prior_spread, start=theta, bounds=bounds)
        if np.abs(theta - middle_of_lines).max() > _NEAR:
            middle_of_lines, gaps = theta, _gaps(models(theta), measured)
        found = gaps(theta)
        spreads = [spreads_of(item, gap) for item, gap in zip(observations, found, strict=True)]
        if np.abs(theta - before).max() < _STILL:
            break
    known = knowledge(observations, jacobian(gaps, theta), found, spreads, weights)
    spread_of = covariance([part for *_, part in known], prior_spread)
    errors = np.sqrt(np.diag(spread_of))
    without = {}
    for group in dict.fromkeys(group_of(source, regime) for source, regime, _ in known):
        others = [part for source, regime, part in known if group_of(source, regime) != group]
        without[group] = np.sqrt(np.diag(covariance(others, prior_spread))) / errors
    factors = []
    for i, name in enumerate(names):
        telling = [group for group in without if without[group][i] > _TELLING]
        telling.sort(key=lambda group: -without[group][i])
        is_identified = bool(errors[i] < IDENTIFIED * prior_spread[i])
        value = float(middle[i] * np.exp(theta[i]))
        factors.append(
            Fitted(
                name, value, float(errors[i]), priors[name], float(prior_spread[i]),
                is_identified, tuple(telling),
            )
        )  # fmt: skip
    left = tuple(residuals_of(observations, values(theta)))
    by_regime = {
        f"{item.source}, {regime}": float(spread[item.regimes == regime][0])
        for item, spread in zip(observations, spreads, strict=True)
        for regime in sorted(set(item.regimes.tolist()))
    }
    return Fit(tuple(factors), spread_of, left, by_regime, run_spread_of(observations, found))


def _check(observations: Sequence[Observations], names: Sequence[str]) -> None:
    count = sum(len(item) for item in observations)
    if not names:
        raise ConfigError("no factor changes any of the observations: nothing to fit")
    if count < len(names):
        raise ConfigError(
            f"{count} observations cannot identify {len(names)} factors: give more, or name fewer "
            "with --fit"
        )


def fit_identified(
    observations: Sequence[Observations], names: Sequence[str], priors: Mapping[str, float]
) -> tuple[Fit, tuple[str, ...]]:
    """`fit` of as many of the factors as the observations identify, the others at their priors.

    Returns
    -------
    Fit
    tuple of str
        The factors that are not in it.

    Raises
    ------
    ConfigError
        If none is identified.
    """
    found = fit(observations, names, priors)
    while not all(factor.is_identified for factor in found.factors):
        check_identified(found, is_asked=False)
        kept = [factor.name for factor in found.factors if factor.is_identified]
        found = fit(observations, kept, priors)
    known = {factor.name for factor in found.factors}
    return found, tuple(name for name in names if name not in known)


def check_identified(fit: Fit, *, is_asked: bool) -> None:
    """Raise if the observations say too little to be a fit.

    Parameters
    ----------
    is_asked : bool
        Whether the factors were named by the user: then they must say something of each.

    Raises
    ------
    ConfigError
        Naming the factor.
    """
    for factor in fit.factors:
        if is_asked and factor.error > _UNTOUCHED * factor.prior_error:
            raise ConfigError(f"--fit {factor.name}: too few points to identify it; leave it out")
    if not any(factor.is_identified for factor in fit.factors):
        names = ", ".join(factor.name for factor in fit.factors)
        raise ConfigError(f"too few points to identify any of {names}: give more")


def _gaps(
    models: Sequence[LogModel], measured: Sequence[FloatArray]
) -> Callable[[FloatArray], list[FloatArray]]:
    """Logarithms of simulated over measured, source by source."""
    return lambda theta: [
        model(theta) - known for model, known in zip(models, measured, strict=True)
    ]
