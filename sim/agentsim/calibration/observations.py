"""What was measured, beside what the cost model says of it: `Observations`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec
import numpy as np
import numpy.typing as npt

from agentsim.domain.batch import BatchShape
from agentsim.domain.config import Config, CostConfig
from agentsim.domain.specs import GpuSpec, ModelSpec
from agentsim.machine.factors import format_class
from agentsim.machine.system import build_system

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
TextArray = npt.NDArray[np.str_]

#: Values of factors by name -> seconds of each observation.
Model = Callable[[Mapping[str, float]], FloatArray]

_CAUSES = ("weights", "attention", "lm_head", "communication", "overhead")


@dataclass(frozen=True, slots=True)
class Observations:
    """Durations from one source.

    Attributes
    ----------
    source : str
        Where they are from, for reports.
    regimes : ndarray of str, shape (n,)
        What kind of work each is: ``prefill``, ``decode``, ``mixed``, or the kind of a kernel.
    seconds : ndarray of float64, shape (n,)
        Measured, above 0.
    predict : callable
        What the cost model says, in seconds, for given values of factors.
    formats : dict of str to ModelSpec
        Classes of the weight formats in them, as `machine.factors.format_class` names them, each
        with a model that has it.
    is_simulated : bool
        Whether `predict` simulates whole runs: dear, and rounded to decisions of the scheduler.
    left_out : tuple of str
        What the source has beside these, and why it is not used.
    """

    source: str
    regimes: TextArray
    seconds: FloatArray
    predict: Model
    formats: Mapping[str, ModelSpec] = field(default_factory=dict)
    is_simulated: bool = False
    left_out: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.seconds)


def observe_steps(
    source: str, config: Config, shapes: Sequence[BatchShape], seconds: Sequence[float]
) -> Observations:
    """Steps of the engine that `config` describes, predicted by the cost model of a run.

    Parameters
    ----------
    shapes : sequence of BatchShape
        The batch of each step.
    seconds : sequence of float
        Its measured duration.
    """
    table = np.array(shapes, dtype=np.int64)
    columns = {name: table[:, i] for i, name in enumerate(BatchShape._fields)}

    system = build_system(config)

    def predict(values: Mapping[str, float]) -> FloatArray:
        cost = with_factors(config.cost, values, system.gpu, system.model)
        parts = build_system(msgspec.structs.replace(config, cost=cost)).cost.parts(columns)
        total: FloatArray = np.sum([parts[cause] for cause in _CAUSES], axis=0)
        return total

    return Observations(
        source,
        regimes_of(columns),
        np.array(seconds, dtype=np.float64),
        predict,
        {format_class(system.gpu, system.model): system.model},
    )


def with_factors(
    cost: CostConfig, values: Mapping[str, float], gpu: GpuSpec, model: ModelSpec
) -> CostConfig:
    """The cost factors with `values` in place; those of a weight format pass 16-bit weights by."""
    mine = {name: value for name, value in values.items() if applies(name, gpu, model)}
    return msgspec.structs.replace(cost, **mine)


def applies(name: str, gpu: GpuSpec, model: ModelSpec) -> bool:
    """Whether a factor is one of this model; ratios to 16-bit weights are 1 for these."""
    return not name.startswith("format_") or format_class(gpu, model) != "16bit"


def regimes_of(columns: Mapping[str, IntArray]) -> TextArray:
    """``prefill``, ``decode`` or ``mixed`` for each step."""
    tokens, prefill = columns["num_tokens"], columns["prefill_tokens"]
    named = np.where(prefill == 0, "decode", np.where(prefill == tokens, "prefill", "mixed"))
    return named.astype(np.str_)
