"""Times in another unit than they are taken for: `check_scale`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from agentsim.calibration.observations import Observations
from agentsim.errors import ConfigError

#: A model off by more than this at its priors was given times in another unit.
_ABSURD = 200.0


def check_scale(observations: Sequence[Observations], priors: dict[str, float]) -> None:
    """Raise where measured times are hundreds of times off: milliseconds taken for seconds.

    Raises
    ------
    ConfigError
        Naming the source.
    """
    for item in observations:
        ratio = float(np.median(item.seconds / item.predict(priors)))
        if not 1 / _ABSURD < ratio < _ABSURD:
            raise ConfigError(
                f"{item.source}: measured times are {ratio:.3g} times those of the model: in "
                "another unit, or of another GPU or model?"
            )
