"""Energy of a run's GPUs, from an idle power and what each step adds to it.

``power = idle + (TDP - idle) * min(1, compute * c + memory * m)``, where `c` and `m` are the shares
of a step in which the arithmetic units and the memory are busy. A GPU without a step idles.
"""

from __future__ import annotations

import functools
import tomllib
from dataclasses import dataclass
from importlib import resources
from typing import Any

import numpy as np

from agentsim.domain.records import Run
from agentsim.domain.units import NS_PER_S
from agentsim.report.bill import Energy, Quoted
from agentsim.report.cost import share
from agentsim.report.metrics import FloatArray, PartsOf, replicas_of

_J_PER_WH = 3600.0
_WH_PER_KWH = 1000.0


@dataclass(frozen=True, slots=True)
class PowerModel:
    """Idle and highest power of one GPU, and what busy units add.

    Attributes
    ----------
    idle_w, tdp_w : Quoted
    compute_weight, memory_weight : Quoted
        Share of what lies between them that busy arithmetic units, busy memory draw.
    """

    idle_w: Quoted
    tdp_w: Quoted
    compute_weight: Quoted
    memory_weight: Quoted

    def step_w(self, compute: FloatArray, memory: FloatArray) -> FloatArray:
        """Power in steps whose units are busy for these shares of the time."""
        idle, tdp = self.idle_w.value, self.tdp_w.value
        load = self.compute_weight.value * compute + self.memory_weight.value * memory
        power: FloatArray = idle + max(tdp - idle, 0.0) * np.clip(load, 0.0, 1.0)
        return power


def power_model(gpu: str, tdp_w: float, source: str) -> PowerModel:
    """The power model of a GPU.

    Parameters
    ----------
    gpu : str
        Name in the tables; one that `power.toml` lacks idles at a share of its TDP.
    tdp_w : float
        Its power limit in watts, from its datasheet (`source`).
    """
    table = _table()
    default, row = table["default"], table["idle"].get(gpu)
    row = row or {**default, "idle_w": default["idle_share"] * tdp_w}
    weights = table["weights"]
    unit = "share of TDP - idle"
    return PowerModel(
        _quoted(row, "idle_w", "W"),
        Quoted(float(tdp_w), "W", "datasheet", table["datasheet"]["date"], source),
        _quoted(weights, "compute", unit),
        _quoted(weights, "memory", unit),
    )


def default_grid() -> Quoted:
    """Grams of CO2 for a kWh, averaged over the world."""
    return _quoted(_table()["grid"], "g_per_kwh", "g CO2e/kWh")


def energy_of(
    run: Run,
    parts_of: PartsOf,
    num_gpus: int,
    model: PowerModel,
    grid: Quoted,
) -> Energy:
    """The energy of a run from its start to the last answer.

    Parameters
    ----------
    parts_of : callable
        From columns of steps to ``compute_s`` and ``memory_s`` of each.
    num_gpus : int
        Of all replicas; the GPUs of one replica work alike.
    """
    end, busy_ns, busy_j = run.makespan_ns, 0, 0.0
    for steps in run.steps.chunks():
        parts = parts_of(steps)
        lasts = np.minimum(steps["end_ns"], end) - np.minimum(steps["start_ns"], end)
        whole_s = np.maximum(steps["end_ns"] - steps["start_ns"], 1) / NS_PER_S
        shares = [np.minimum(parts[name] / whole_s, 1.0) for name in ("compute_s", "memory_s")]
        busy_ns += int(lasts.sum())
        busy_j += float((model.step_w(*shares) * lasts).sum()) / NS_PER_S
    replicas = len(replicas_of(run))
    seconds = end / NS_PER_S
    idle_s = (replicas * end - busy_ns) / NS_PER_S
    joules = num_gpus / replicas * (busy_j + idle_s * model.idle_w.value)
    wh = joules / _J_PER_WH
    return Energy(
        kwh=wh / _WH_PER_KWH,
        mean_w=share(joules, num_gpus * seconds),
        wh_per_session=share(wh, run.sessions.num_rows),
        co2_g=wh / _WH_PER_KWH * grid.value,
        idle_w=model.idle_w,
        tdp_w=model.tdp_w,
        compute_weight=model.compute_weight,
        memory_weight=model.memory_weight,
        grid_g_per_kwh=grid,
        kind=model.idle_w.kind,
        date=model.idle_w.date,
    )


@functools.cache
def _table() -> dict[str, Any]:
    text = resources.files("agentsim.report").joinpath("power.toml").read_text("utf-8")
    return tomllib.loads(text)


def _quoted(row: dict[str, Any], name: str, unit: str) -> Quoted:
    return Quoted(float(row[name]), unit, row["kind"], row["date"], row["source"])
