"""How well the observations fix the factors: slopes, what each source adds, covariance."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from agentsim.calibration.observations import FloatArray, Observations

#: What a source and regime adds: curvature and noise of the soft L1 sum, in the factors.
Known = tuple[FloatArray, FloatArray]


def jacobian(gaps: Callable[[FloatArray], list[FloatArray]], at: FloatArray) -> list[FloatArray]:
    """Central differences of each source's gaps: arrays of shape (n, factors)."""
    columns = []
    for i in range(len(at)):
        step = np.zeros_like(at)
        step[i] = 1e-4
        columns.append(
            [(up - down) / 2e-4 for up, down in zip(gaps(at + step), gaps(at - step), strict=True)]
        )
    return [np.stack(column, axis=1) for column in zip(*columns, strict=True)]


def knowledge(
    observations: Sequence[Observations],
    jacobian: Sequence[FloatArray],
    gaps: Sequence[FloatArray],
    spreads: Sequence[FloatArray],
    weights: Sequence[FloatArray],
) -> list[tuple[str, str, Known]]:
    """Curvature and noise that each source and regime adds, under soft L1."""
    found = []
    parts = zip(observations, jacobian, gaps, spreads, weights, strict=True)
    for item, slopes, gap, spread, weight in parts:
        scaled, z = slopes * (np.sqrt(weight) / spread)[:, None], (gap / spread) ** 2
        for regime in sorted(set(item.regimes.tolist())):
            mine = item.regimes == regime
            rows, square = scaled[mine], z[mine]
            curvature = rows.T @ (rows * (1.0 + square)[:, None] ** -1.5)
            noise = rows.T @ (rows * (square / (1.0 + square))[:, None])
            found.append((item.source, regime, (curvature, noise)))
    return found


def group_of(source: str, regime: str) -> str:
    """Repeats of a measurement lie in one folder and are judged together."""
    folder, slash, _ = source.rpartition("/")
    return f"{folder if slash else source}, {regime}"


def covariance(known: Sequence[Known], prior_spread: FloatArray) -> FloatArray:
    """The sandwich of what is known of the factors, the priors included."""
    prior = np.diag(prior_spread**-2.0)
    curvature = prior + sum(first for first, _ in known)
    noise = prior + sum(second for _, second in known)
    inverse = np.linalg.inv(curvature)
    result: FloatArray = inverse @ noise @ inverse
    return result
