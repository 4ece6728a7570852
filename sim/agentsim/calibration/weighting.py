"""What an observation counts in a fit: spreads of sources and regimes, and what these share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from agentsim.calibration.observations import FloatArray, Observations

#: Relative error of an observation before anything is known, and the least that is believed.
FIRST_SPREAD, LEAST_SPREAD = 0.05, 0.005
#: So many observations of `FIRST_SPREAD` are added where a spread is estimated: two or three
#: residuals that a fit can pass through are not without error.
_ADDED = 4
#: Spreads from which a run's error counts no more.
_FARTHEST = 3.0
#: Share of the squared error that observations of one source and regime have in common.
_IN_COMMON = 0.001


def spreads_of(item: Observations, gap: FloatArray) -> FloatArray:
    """Robust standard deviation about zero of each observation's regime."""
    spreads = np.empty(len(item))
    for regime in set(item.regimes.tolist()):
        mine = item.regimes == regime
        count = int(mine.sum())
        seen = max(LEAST_SPREAD, float(1.4826 * np.median(np.abs(gap[mine]))))
        spreads[mine] = np.sqrt((count * seen**2 + _ADDED * FIRST_SPREAD**2) / (count + _ADDED))
    return spreads


def run_spread_of(observations: Sequence[Observations], gaps: Sequence[FloatArray]) -> float:
    """What whole runs are off by: of runs their ITL and E2E, of step files their sums."""
    runs = [
        gap[item.regimes != "prefill"]
        for item, gap in zip(observations, gaps, strict=True)
        if item.is_simulated
    ]
    sums = [
        np.log([np.sum(item.seconds * np.exp(gap)) / np.sum(item.seconds)])
        for item, gap in zip(observations, gaps, strict=True)
        if set(item.regimes.tolist()) <= {"prefill", "decode", "mixed"}
    ]
    off = np.concatenate([*(runs or sums), np.full(_ADDED, FIRST_SPREAD)])
    most = _FARTHEST * 1.4826 * float(np.median(np.abs(off)))
    return float(np.sqrt(np.mean(np.minimum(np.abs(off), most) ** 2)))


def weights_of(item: Observations) -> FloatArray:
    """What an observation counts, where those of one regime share a part of their error."""
    weights = np.empty(len(item))
    for regime in set(item.regimes.tolist()):
        mine = item.regimes == regime
        weights[mine] = 1.0 / (1.0 + (int(mine.sum()) - 1) * _IN_COMMON)
    return weights
