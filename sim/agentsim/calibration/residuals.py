"""How far a model with given factors is from observations: `residuals_of`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from agentsim.calibration.observations import Observations


@dataclass(frozen=True, slots=True)
class Residuals:
    """How far the model is from one source's observations of one regime.

    Attributes
    ----------
    mape : float
        Mean of |simulated / measured - 1|.
    bias, median : float
        Mean and median of simulated / measured - 1.
    total : float
        Sum of simulated over sum of measured times, less 1.
    """

    source: str
    regime: str
    num_observations: int
    mape: float
    bias: float
    median: float
    total: float


def residuals_of(
    observations: Sequence[Observations], values: Mapping[str, float]
) -> list[Residuals]:
    """How far the model with `values` is from the observations, by source and regime."""
    found = []
    for item in observations:
        simulated = item.predict(values)
        ratio = simulated / item.seconds - 1.0
        for regime in sorted(set(item.regimes.tolist())):
            mine = item.regimes == regime
            gap = ratio[mine]
            total = simulated[mine].sum() / item.seconds[mine].sum() - 1.0
            found.append(
                Residuals(
                    item.source, regime, len(gap), float(np.abs(gap).mean()), float(gap.mean()),
                    float(np.median(gap)), float(total),
                )
            )  # fmt: skip
    return found
