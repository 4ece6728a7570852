"""Robust least squares on the factors of the step-time model: `fit`.

The unknowns are the logarithms of the factors. A residual is the logarithm of simulated over
measured time, divided by the spread of its source, which is estimated from the residuals
themselves; large ones count by their distance alone (soft L1). Each factor has a prior, so that one
that no observation touches stays where it was.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from agentsim.calibration.certainty import covariance, group_of, jacobian, knowledge
from agentsim.calibration.observations import FloatArray, Observations
from agentsim.calibration.parameters import PARAMETERS
from agentsim.calibration.residuals import Residuals, residuals_of
from agentsim.errors import ConfigError

#: Relative error of an observation before anything is known, and the least that is believed.
FIRST_SPREAD, LEAST_SPREAD = 0.05, 0.005
_ROUNDS = 4
#: A factor is identified if the data leave less than this share of its prior's spread.
IDENTIFIED = 0.5
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
        Relative spread of the residuals of each source.
    """

    factors: tuple[Fitted, ...]
    covariance: FloatArray
    residuals: tuple[Residuals, ...]
    spreads: dict[str, float]

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
        If there are fewer observations than factors, or none is identified.
    """
    count = sum(len(item) for item in observations)
    if count < len(names):
        raise ConfigError(
            f"{count} observations cannot identify {len(names)} factors: give more, or name fewer "
            "with --fit"
        )
    middle = np.array([priors[name] for name in names])
    prior_spread = np.array([PARAMETERS[name].spread for name in names])
    measured = [np.log(item.seconds) for item in observations]

    def gaps(theta: FloatArray) -> list[FloatArray]:
        values = dict(zip(names, (middle * np.exp(theta)).tolist(), strict=True))
        return [
            np.log(item.predict(values)) - known
            for item, known in zip(observations, measured, strict=True)
        ]

    theta = np.zeros(len(names))
    bounds = (
        np.log([PARAMETERS[name].low for name in names]) - np.log(middle),
        np.log([PARAMETERS[name].high for name in names]) - np.log(middle),
    )
    spreads = [FIRST_SPREAD] * len(observations)
    for _ in range(_ROUNDS):
        theta = _solve(gaps, spreads, prior_spread, theta, bounds)
        spreads = [_spread(gap) for gap in gaps(theta)]
    known = knowledge(observations, jacobian(gaps, theta), gaps(theta), spreads)
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
    values = {factor.name: factor.value for factor in factors}
    left = tuple(residuals_of(observations, values))
    by_source = {item.source: spread for item, spread in zip(observations, spreads, strict=True)}
    return Fit(tuple(factors), spread_of, left, by_source)


def _solve(
    gaps: Callable[[FloatArray], list[FloatArray]],
    spreads: Sequence[float],
    prior_spread: FloatArray,
    start: FloatArray,
    bounds: tuple[FloatArray, FloatArray],
) -> FloatArray:
    """The logarithms, relative to the priors' middles, that leave the least residuals."""
    try:
        from scipy.optimize import least_squares
    except ImportError as error:
        raise ConfigError("a fit needs scipy: pip install 'agentsim[calibration]'") from error

    def residuals(theta: FloatArray) -> FloatArray:
        scaled = [gap / spread for gap, spread in zip(gaps(theta), spreads, strict=True)]
        return np.concatenate([*scaled, theta / prior_spread])

    inside = np.clip(start, bounds[0] + 1e-9, bounds[1] - 1e-9)
    found = least_squares(
        residuals,
        inside,
        bounds=bounds,
        loss=lambda squares: _soft(squares, len(start)),
        x_scale=prior_spread,
    )
    result: FloatArray = found.x
    return result


def _soft(z: FloatArray, num_priors: int) -> FloatArray:
    """Soft L1 of squared residuals, with its two derivatives; priors count squared."""
    root = np.sqrt(1.0 + z)
    rho = np.array([2.0 * (root - 1.0), 1.0 / root, -0.5 / root**3])
    rho[0, -num_priors:] = z[-num_priors:]
    rho[1, -num_priors:] = 1.0
    rho[2, -num_priors:] = 0.0
    return rho


def _spread(gap: FloatArray) -> float:
    """Robust standard deviation about zero."""
    return max(LEAST_SPREAD, float(1.4826 * np.median(np.abs(gap))))
