"""What may be fitted: the factors of the step-time model with their bounds and priors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from agentsim.calibration.observations import Observations
from agentsim.domain.config import Config
from agentsim.domain.specs import ModelSpec
from agentsim.errors import UnknownName
from agentsim.machine.catalog import find_gpu, find_model
from agentsim.machine.factors import resolve_factors


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
#: depend on the host and are known to a factor of three; what a sequence costs, to one of ten.
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
        Parameter("format_overhead_s", 1e-7, 1e-3, 0.7, floor=1e-6),
        Parameter("expert_skew", 0.01, 5.0, 0.5, floor=0.1),
        Parameter("expert_overhead_s", 1e-7, 1e-3, 0.7, floor=1e-6),
        Parameter("sampler_step_s", 1e-6, 1e-2, 0.7, floor=1e-5),
        Parameter("sampler_logit_s", 1e-12, 1e-8, 0.7, floor=1e-11),
        Parameter("layer_overhead_s", 1e-8, 1e-2, 0.7, floor=1e-6),
        Parameter("step_overhead_s", 1e-7, 1.0, 1.0, floor=1e-5),
        Parameter("sequence_overhead_s", 1e-8, 1e-1, 1.5, floor=1e-5),
        Parameter("piecewise_launch_s", 1e-7, 1e-2, 0.7, floor=1e-6),
        Parameter("eager_launch_s", 1e-7, 1e-2, 0.7, floor=1e-6),
        Parameter("scheduler_step_s", 1e-6, 1e-1, 0.7, floor=1e-5),
        Parameter("scheduler_sequence_s", 1e-7, 1e-2, 0.7, floor=1e-6),
        Parameter("allreduce_latency_s", 1e-7, 1e-2, 0.7, floor=1e-6),
        Parameter("link_efficiency", 0.02, 1.0, 0.5),
        Parameter("power_efficiency", 0.1, 1.0, 0.3),
        Parameter("api_request_s", 1e-5, 1.0, 0.7, floor=1e-3),
        Parameter("api_stream_s", 1e-5, 1.0, 0.7, floor=1e-3),
    )
}


#: Fitted to whole runs alone, unless the user names others: each more is one simulation a run more.
OF_RUNS = ("bandwidth_efficiency", "api_request_s", "compute_efficiency", "layer_overhead_s")

#: Fitted only if they are named: others do the same, the shares of peak rates and `api_request_s`.
ONLY_ASKED = ("power_efficiency", "api_stream_s")


def prior_values(config: Config, observations: Sequence[Observations] = ()) -> dict[str, float]:
    """The middle of each parameter's prior: what the tables and the user say of this GPU.

    Parameters
    ----------
    observations : sequence of Observations
        Ratios of a weight format are those of the one that they have beside 16 bits.
    """
    quantised = quantised_in(observations)
    model = next(iter(quantised.values())) if quantised else find_model(config.model)
    known = resolve_factors(find_gpu(config.gpu, config.profile), model, config.cost)
    return {
        name: min(max(known[name].value, p.floor, p.low), p.high) for name, p in PARAMETERS.items()
    }


def quantised_in(observations: Sequence[Observations]) -> dict[str, ModelSpec]:
    """Classes of weight formats below 16 bits in the observations, each with a model."""
    found = {name: model for item in observations for name, model in item.formats.items()}
    return {name: model for name, model in sorted(found.items()) if name != "16bit"}


def chosen(
    names: str | None,
    observations: Sequence[Observations],
    priors: Mapping[str, float],
) -> list[str]:
    """The factors to fit.

    Parameters
    ----------
    names : str or None
        With commas between; None: those that change any step or kernel by a thousandth when they
        change by a tenth, and what whole runs show beside; of runs alone, `OF_RUNS`, as far as
        there are figures for them.

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
    steps = [item for item in observations if not item.is_simulated]
    found = [] if steps else list(OF_RUNS[: sum(len(item) for item in observations)])
    before = [item.predict(priors) for item in steps]
    has_one_format = len(quantised_in(observations)) == 1
    for name in PARAMETERS:
        if name in ONLY_ASKED or (name.startswith("format_") and not has_one_format):
            continue  # each class of formats has a ratio of its own
        values = {**priors, name: priors[name] * 0.9}
        after = [item.predict(values) for item in steps]
        if any(np.abs(b / a - 1.0).max() > 1e-3 for a, b in zip(before, after, strict=True)):
            found.append(name)
    if steps and len(steps) < len(observations) and "api_request_s" not in found:
        found.append("api_request_s")
    return found
