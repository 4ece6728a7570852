"""Histograms of many values in a few bins, equally wide in their logarithms."""

from __future__ import annotations

import math

import msgspec
import numpy as np
import numpy.typing as npt

BINS = 40


class Histogram(msgspec.Struct, frozen=True):
    """Counts of the values above 0, between `least` and `most`, and how many are 0."""

    least: float
    most: float
    counts: tuple[int, ...]
    zeros: int


def histogram(values: npt.NDArray[np.float64]) -> Histogram:
    """Count values in `BINS` bins; values below 0 are left out."""
    positive = values[values > 0]
    zeros = int(np.count_nonzero(values == 0))
    if not len(positive):
        return Histogram(0.0, 0.0, (), zeros)
    least, most = float(positive.min()), float(positive.max())
    if least == most:
        return Histogram(least, most, (len(positive),), zeros)
    counts, _ = np.histogram(np.log(positive), BINS, (math.log(least), math.log(most)))
    return Histogram(least, most, tuple(counts.tolist()), zeros)
