"""The numbers of a run that are compared, planned for and swept, by the names a user can type.

Start at `read_figure`: ``"p95 ttft"``, ``"mean e2e"``, ``"runtime"``, ``"cost/session"``. Latencies
and rates are those of `report.metrics.METRICS`, plug-ins included.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from agentsim.domain.records import Run
from agentsim.errors import ConfigError, UnknownName
from agentsim.report.bill import Bill
from agentsim.report.metrics import METRICS, served_total

#: Metrics that are one number of the whole run.
_WHOLE = ("runtime", "output_rate", "prompt_rate", "call_rate")
#: Figure name -> value.
Values = dict[str, float | None]

_STATISTIC = re.compile(r"mean|median|max|p(\d{1,2}(\.\d{1,3})?)")


@dataclass(frozen=True, slots=True)
class Measured:
    """A run and its bill, from which figures are read."""

    run: Run
    bill: Bill | None = None


@dataclass(frozen=True, slots=True)
class Figure:
    """One number of a run; None where it does not exist.

    Attributes
    ----------
    name : str
        Column of a frame, unit at its end: ``ttft_p95_s``.
    label : str
        As people read it: ``p95 ttft``.
    unit : str
        ``s``, ``$``, ``kWh``, ``share``, ``token/s`` ...
    better : {"lower", "higher"}
    """

    name: str
    label: str
    unit: str
    better: Literal["lower", "higher"]
    of: Callable[[Measured], float | None]

    def __reduce__(self) -> tuple[Any, ...]:
        """Other processes make it anew from its label."""
        return read_figure, (self.label,)

    @property
    def is_timed(self) -> bool:
        """Whether an error of the step times is one of the figure."""
        return self.unit in ("s", "$", "kWh") or self.unit.endswith("/s")


def read_figure(text: str) -> Figure:
    """The figure that a text names.

    Raises
    ------
    ConfigError, UnknownName
        If there is no such figure, or a distribution comes without a statistic.
    """
    words = text.strip().lower().replace("_", " ").split()
    statistic = next((word for word in words if _STATISTIC.fullmatch(word)), "")
    rest = [word for word in words if word != statistic]
    name = "_".join(rest)
    if name in _PLAIN:
        if statistic:
            raise ConfigError(f"{text.strip()!r}: {name} is one number: leave out {statistic!r}")
        return _PLAIN[name]
    if name not in METRICS:
        raise UnknownName("figure", name or text.strip(), [*METRICS, *_PLAIN])
    if name in _WHOLE:
        if statistic:
            raise ConfigError(f"{text.strip()!r}: {name} is one number: leave out {statistic!r}")
        return _whole(name)
    if not statistic:
        raise ConfigError(
            f"{text.strip()!r}: {name} has many values: say which, such as 'p95 {name}' or "
            f"'mean {name}'"
        )
    return _statistic(METRICS.name_of(name), statistic)


def figure_names() -> list[str]:
    """What `read_figure` knows, for messages and help."""
    return [name if name in _WHOLE else f"pNN {name}" for name in METRICS] + list(_PLAIN)


def _whole(name: str) -> Figure:
    metric = METRICS[name]
    column = f"{name}_{_unit_word(metric.unit)}"
    return Figure(
        column,
        name.replace("_", " "),
        metric.unit,
        metric.better,
        lambda measured: metric.sample(measured.run).mean(),
    )


def _statistic(name: str, statistic: str) -> Figure:
    metric = METRICS[name]
    share = {"mean": None, "median": 0.5, "max": 1.0}.get(statistic, 0.0)
    if statistic.startswith("p"):
        share = float(statistic[1:]) / 100
        statistic = f"p{float(statistic[1:]):g}"

    def of(measured: Measured) -> float | None:
        sample = metric.sample(measured.run)
        return sample.mean() if share is None else sample.quantiles((share,))[0]

    column = f"{name}_{statistic.replace('.', '_')}_{_unit_word(metric.unit)}"
    return Figure(column, f"{statistic} {name}", metric.unit, metric.better, of)


def _unit_word(unit: str) -> str:
    return unit.replace("/", "_per_").replace(" ", "_") or "number"


def _reuse(measured: Measured) -> float | None:
    prompt = served_total(measured.run, "prompt_tokens")
    return served_total(measured.run, "cached_tokens") / prompt if prompt else None


def _cost(measured: Measured) -> float | None:
    bill = measured.bill
    return bill.self_hosted.run_usd if bill and bill.self_hosted else None


def _cost_session(measured: Measured) -> float | None:
    bill = measured.bill
    return bill.self_hosted.usd_per_session if bill and bill.self_hosted else None


def _rent(measured: Measured) -> float | None:
    bill = measured.bill
    if bill is None or bill.self_hosted is None:
        return None
    return bill.self_hosted.num_gpus * bill.self_hosted.gpu_hour.value


def _energy(measured: Measured) -> float | None:
    return measured.bill.energy.kwh if measured.bill and measured.bill.energy else None


def _failed(measured: Measured) -> float | None:
    statuses = [chunk["status"] for chunk in measured.run.requests.chunks("status")]
    total = sum(len(status) for status in statuses)
    lost = sum(int((status == bad).sum()) for status in statuses for bad in ("timeout", "too-long"))
    return lost / total if total else None


_PLAIN = {
    "reuse": Figure("prefix_reuse", "reuse", "share", "higher", _reuse),
    "cost": Figure("run_usd", "cost", "$", "lower", _cost),
    "cost/session": Figure("session_usd", "cost/session", "$", "lower", _cost_session),
    "rent": Figure("rent_usd_per_hour", "rent", "$/h", "lower", _rent),
    "energy": Figure("energy_kwh", "energy", "kWh", "lower", _energy),
    "failed": Figure("failed_share", "failed", "share", "lower", _failed),
}
