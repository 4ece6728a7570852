"""How much a factor differs from one data set to another: `between_sets`.

The standard error of a fit holds for the data that were fitted. Another model on the same GPU may
need another value; the difference between the sets that were measured says how far. Each set is
given the shift of the factors that suits it best, on the straight lines about the common fit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from agentsim.calibration.certainty import jacobian
from agentsim.calibration.fit import IDENTIFIED, Fit
from agentsim.calibration.nearby import log_model
from agentsim.calibration.observations import FloatArray, Observations
from agentsim.calibration.parameters import PARAMETERS
from agentsim.calibration.weighting import spreads_of, weights_of

#: What a factor differs by where fewer than two sets say anything of it.
USUAL_DIFFERENCE = 0.04


def between_sets(
    sets: Sequence[Sequence[Observations]], fit: Fit, *, usual: float = USUAL_DIFFERENCE
) -> FloatArray:
    """Standard deviation of each factor's logarithm between data sets.

    Parameters
    ----------
    sets : sequence of sequence of Observations
        What belongs together: one model's runs, one table of kernels.
    fit : Fit
        Of all of them.
    usual : float
        For a factor that fewer than two sets identify.

    Returns
    -------
    ndarray of float64, shape (factors,)

    Notes
    -----
    The mean square of the shifts less what their own errors explain (DerSimonian and Laird, 1986,
    about a known mean), at least a quarter of `usual`.
    """
    found = [_shift(items, fit) for items in sets]
    result = np.empty(len(fit.factors))
    for i, factor in enumerate(fit.factors):
        known = [
            (float(shift[i]), float(error[i]))
            for shift, error in found
            if error[i] < IDENTIFIED * PARAMETERS[factor.name].spread
        ]
        result[i] = _difference(known) if len(known) > 1 else usual
    floor: FloatArray = np.maximum(result, usual / 4)
    return floor


def _difference(known: Sequence[tuple[float, float]]) -> float:
    shifts, errors = np.array(known).T
    weights = 1.0 / (errors**2 + USUAL_DIFFERENCE**2)
    excess = float(np.sum(weights * (shifts**2 - errors**2)) / weights.sum())
    return float(np.sqrt(max(excess, 0.0)))


def _shift(items: Sequence[Observations], fit: Fit) -> tuple[FloatArray, FloatArray]:
    """The factors' logarithms that suit a set best, less those of the fit, and their errors."""
    names = [factor.name for factor in fit.factors]
    at = np.array([np.log(factor.value / factor.prior) for factor in fit.factors])
    middle = np.array([factor.prior for factor in fit.factors])
    highest = np.log([PARAMETERS[name].high for name in names]) - np.log(middle)

    def values(theta: FloatArray) -> Mapping[str, float]:
        return dict(zip(names, (middle * np.exp(theta)).tolist(), strict=True))

    lines = [log_model(item, values, at, highest) for item in items]
    gaps = [line(at) - np.log(item.seconds) for line, item in zip(lines, items, strict=True)]
    slopes = jacobian(lambda theta: [line(theta) for line in lines], at)
    curvature = np.diag([PARAMETERS[name].spread ** -2.0 for name in names])
    pull = np.zeros(len(names))
    for item, gap, slope in zip(items, gaps, slopes, strict=True):
        weight = weights_of(item) / (spreads_of(item, gap) ** 2 + gap**2)
        curvature += slope.T @ (slope * weight[:, None])
        pull -= slope.T @ (weight * gap)
    covariance = np.linalg.inv(curvature)
    return covariance @ pull, np.sqrt(np.diag(covariance))
