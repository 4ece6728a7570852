"""The logarithms of what is predicted, as functions of the factors: `log_model`.

A step is predicted anew for every trial of the fit. Whole runs are simulated: dear, and in small
jumps as the scheduler decides otherwise. Of these only the straight line about a point is used,
from one simulation there and one beside it for each factor; the fit asks for a new line where it
has moved away from the last.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from agentsim.calibration.observations import FloatArray, Observations

#: Relative change of a factor for a difference: well above the jumps of a scheduler.
_STEP = 0.05

LogModel = Callable[[FloatArray], FloatArray]
Values = Callable[[FloatArray], Mapping[str, float]]


def log_model(item: Observations, values: Values, at: FloatArray, highest: FloatArray) -> LogModel:
    """Logarithms of the predicted seconds: exact, or the straight line about `at` for simulations.

    Parameters
    ----------
    values : callable
        From logarithms of the factors, relative to their priors, to the factors by name.
    highest : ndarray of float64, shape (factors,)
        Upper bounds of these logarithms.
    """

    def exact(theta: FloatArray) -> FloatArray:
        result: FloatArray = np.log(item.predict(values(theta)))
        return result

    if not item.is_simulated:
        return exact
    middle = exact(at)
    slopes = np.empty((len(item), len(at)))
    for i in range(len(at)):
        step = np.zeros_like(at)
        step[i] = _STEP if at[i] + _STEP <= highest[i] else -_STEP
        slopes[:, i] = (exact(at + step) - middle) / step[i]

    def line(theta: FloatArray) -> FloatArray:
        result: FloatArray = middle + slopes @ (theta - at)
        return result

    return line
