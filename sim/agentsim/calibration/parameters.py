"""What may be fitted: the factors of the step-time model with their bounds and priors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from agentsim.calibration.observations import Observations
from agentsim.domain.config import Config
from agentsim.errors import UnknownName
from agentsim.machine.catalog import find_gpu, find_model
from agentsim.machine.factors import format_class, resolve_factors


@dataclass(frozen=True, slots=True)
class Parameter:
    """One factor of the fit, on a logarithmic scale.

    Attributes
    ----------
    low, high : float
        Bounds of the value.
    floor : float
        Taken as the prior's middle where the default is smaller (a default of 0 has no logarithm).
    spread : float
        Standard deviation of the prior: 0.3 is about 30 % either way.
    """

    name: str
    low: float
    high: float
    spread: float
    floor: float = 0.0


#: Shares of a datasheet's rate lie within a factor of two of what is known of other GPUs; overheads
#: depend on the host and are known to a factor of three.
PARAMETERS = {
    parameter.name: parameter
    for parameter in (
        Parameter("bandwidth_efficiency", 0.02, 1.0, 0.3),
        Parameter("compute_efficiency", 0.02, 1.0, 0.3),
        Parameter("attention_bandwidth_efficiency", 0.02, 1.0, 0.5),
        Parameter("attention_compute_efficiency", 0.02, 1.0, 0.5),
        Parameter("mixed_decode_rows", 1.0, 256.0, 0.5),
        Parameter("overlap_loss", 1e-3, 1.0, 1.0, floor=0.02),
        Parameter("format_bandwidth_ratio", 0.1, 2.0, 0.2),
        Parameter("format_compute_ratio", 0.1, 2.0, 0.2),
        Parameter("layer_overhead_s", 1e-8, 1e-2, 0.7, floor=1e-6),
        Parameter("step_overhead_s", 1e-7, 1.0, 1.0, floor=1e-5),
        Parameter("sequence_overhead_s", 1e-8, 1e-1, 1.0, floor=1e-6),
        Parameter("piecewise_launch_s", 1e-7, 1e-2, 0.7, floor=1e-6),
        Parameter("eager_launch_s", 1e-7, 1e-2, 0.7, floor=1e-6),
        Parameter("scheduler_step_s", 1e-6, 1e-1, 0.7, floor=1e-5),
        Parameter("scheduler_sequence_s", 1e-7, 1e-2, 0.7, floor=1e-6),
        Parameter("allreduce_latency_s", 1e-7, 1e-2, 0.7, floor=1e-6),
        Parameter("link_efficiency", 0.02, 1.0, 0.5),
    )
}


def prior_values(config: Config) -> dict[str, float]:
    """The middle of each parameter's prior: what the tables and the user say of this GPU."""
    known = resolve_factors(find_gpu(config.gpu), find_model(config.model), config.cost)
    return {name: max(known[name].value, p.floor, p.low) for name, p in PARAMETERS.items()}


def chosen(
    names: str | None,
    config: Config,
    observations: Sequence[Observations],
    priors: Mapping[str, float],
) -> list[str]:
    """The factors to fit.

    Parameters
    ----------
    names : str or None
        With commas between; None: those that change any observation by a thousandth when they
        change by a tenth.

    Raises
    ------
    UnknownName
        If one is no factor that can be fitted.
    """
    if names is not None:
        asked = [name.strip() for name in names.split(",")]
        for name in asked:
            if name not in PARAMETERS:
                raise UnknownName("factor", name, PARAMETERS)
        return asked
    before = [item.predict(priors) for item in observations]
    found = []
    is_16bit = format_class(find_gpu(config.gpu), find_model(config.model)) == "16bit"
    for name in PARAMETERS:
        if is_16bit and name.startswith("format_"):
            continue  # 1 by definition
        values = {**priors, name: priors[name] * 0.9}
        after = [item.predict(values) for item in observations]
        if any(np.abs(b / a - 1.0).max() > 1e-3 for a, b in zip(before, after, strict=True)):
            found.append(name)
    return found
