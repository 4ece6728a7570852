"""Least squares with soft L1 and priors: `solve`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from agentsim.calibration.observations import FloatArray
from agentsim.errors import ConfigError

#: How far from the bounds a round starts.
_MARGIN = 0.01


def solve(
    gaps: Callable[[FloatArray], list[FloatArray]],
    spreads: Sequence[FloatArray],
    weights: Sequence[FloatArray],
    prior_spread: FloatArray,
    *,
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

    counted = np.concatenate([*weights, np.ones(len(start))])
    # not nearer: the first steps of least_squares are as long as the start is far from 0
    inside = np.clip(start, bounds[0] + _MARGIN, bounds[1] - _MARGIN)
    found = least_squares(
        residuals,
        inside,
        bounds=bounds,
        loss=lambda squares: counted * _soft(squares, len(start)),
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
