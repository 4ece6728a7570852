"""Fit what the case study does not report: `python calibration/fit_case_study.py [--write]`.

Four numbers, each from one row: the scale of ITBench's tool time (its Serial runtime), the scale of
SWE-agent's turns and tools (its Serial runtime), and Hugging Face's overheads (ITBench HF: ms/token
gives the one of a decode step, the runtime that of a prompt token). With --write they are put into
case_study.toml and into the package's transformers.toml.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from scipy.optimize import brentq

from agentsim.case_study import configuration, figures, ms_per_token, workload
from agentsim.domain.units import ns_to_seconds
from agentsim.simulator import simulate

ROOT = Path(__file__).parents[1]


def runtime_s(of: str, name: str, fit: dict[str, float]) -> float:
    """Simulated runtime of a row under a fit."""
    run = simulate(workload(of, fit), configuration(name, of, fit))
    return ns_to_seconds(run.makespan_ns)


def fit_serial() -> dict[str, float]:
    """The scales of the two workloads, from their Serial rows."""
    fit = dict(figures()["fit"])

    def miss(of: str, name: str, value: float) -> float:
        return runtime_s(of, "serial", {**fit, name: value}) - figures()[of]["serial"]["runtime_s"]

    for of, name in (("itbench", "itbench_tool_time_scale"), ("swe", "swe_scale")):
        found = brentq(lambda value, of=of, name=name: miss(of, name, value), 0.1, 1.0, xtol=1e-5)
        fit[name] = round(float(found), 5)
    return fit


def fit_hf(fit: dict[str, float]) -> dict[str, float]:
    """Hugging Face's overheads, from the ITBench HF row: both act linearly."""
    import msgspec

    trace, config = workload("itbench", fit), configuration("hf", "itbench", fit)
    cost = msgspec.structs.replace(config.cost, hf_prefill_token_s=0.0, hf_decode_step_s=0.0)
    run = simulate(trace, msgspec.structs.replace(config, cost=cost))
    study = figures()["itbench"]["hf"]
    decode_s = (study["ms_per_token"] - ms_per_token(run)) / 1e3
    steps = int((run.steps["prefill_tokens"] == 0).sum())
    left_s = study["runtime_s"] - ns_to_seconds(run.makespan_ns) - steps * decode_s
    tokens = int(run.steps["prefill_tokens"].sum())
    return {"hf_decode_step_s": round(decode_s, 6), "hf_prefill_token_s": round(left_s / tokens, 8)}


def write(path: Path, values: dict[str, float], pattern: str) -> None:
    """Replace values in a TOML file."""
    text = path.read_text("utf-8")
    for name, value in values.items():
        text, count = re.subn(pattern.format(name=name), rf"\g<1>{value!r}", text, count=1)
        assert count == 1, name
    path.write_text(text, "utf-8")


def main() -> None:
    """Fit, print, and write if asked to."""
    scales = fit_serial()
    overheads = fit_hf(scales)
    for name, value in {**scales, **overheads}.items():
        print(f"{name} = {value!r}")
    if "--write" in sys.argv:
        write(ROOT / "calibration/case_study.toml", scales, r"({name} = )[-0-9.e]+")
        factors = ROOT / "sim/agentsim/machine/transformers.toml"
        write(factors, overheads, r"(\[{name}\]\nvalue = )[-0-9.e]+")


if __name__ == "__main__":
    main()
