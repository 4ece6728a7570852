"""A `Case`: one measured run, with all that is needed to simulate it; `figure` reads both.

The names of metrics and statistics are those of `FIGURES`; the values come from
`agentsim.report.metrics`, for measured and simulated runs alike.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from agentsim.domain.records import REQUEST_COLUMNS, SESSION_COLUMNS, STEP_COLUMNS, Run, dtypes
from agentsim.domain.table import columns_of
from agentsim.domain.trace import Trace
from agentsim.report.metrics import METRICS, Sample, served_total
from agentsim.validation.draws import NUM_REPEATS

#: (metric, statistic) -> value; seconds, tokens or requests a second, or a count.
Figures = Mapping[tuple[str, str], float]

#: Metric -> the one of `report.metrics` that it is.
FIGURES = {
    "ttft": "ttft",
    "itl": "tpot",
    "gap": "itl",
    "e2e": "e2e",
    "output_rate": "output_rate",
    "request_rate": "call_rate",
    "makespan": "runtime",
}
#: Statistic -> share of the values below it.
QUANTILES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99}
LATENCIES = ("ttft", "itl", "e2e")
RATES = ("output_rate", "makespan")
_STATISTICS = ("mean", "p50", "p90", "p99")

#: Statuses of requests whose client got no answer.
FAILED = ("failed", "timeout")


@dataclass(frozen=True, slots=True)
class Case:
    """One measured run.

    Attributes
    ----------
    run_id, source : str
        `source` is the folder or file that the run is of.
    gpu, model : str
        As the source names them.
    measured : mapping
        The figures that the source has.
    trace : callable
        From the number of a repeat to the load, with what is hidden drawn for that repeat. Ids
        of sessions begin with the number of the stage and ``/`` where `stages` is not empty. It
        can be pickled.
    settings : tuple of str
        ``engine.max_num_seqs=128``, as for `agentsim.machine.system.read_config`.
    stages : tuple of mapping
        The figures of each part of the run, where the source has them.
    part : int or None
        The stage that `measured` is about, where the rest only prepares it; None: the whole run.
    num_repeats : int
        1 where nothing is drawn.
    choices : tuple of tuple of str
        Further settings of each repeat; empty: none.
    num_requests : int
        About how many there are: what a simulation costs.
    vllm_args, preset : str or None
        As for `read_config`.
    logged_blocks : int or None
        KV blocks that vLLM logged.
    assumptions : tuple of dict
        What was assumed of the run: ``name``, ``value``, ``kind``, ``source``.
    """

    run_id: str
    source: str
    gpu: str
    model: str
    measured: Figures
    trace: Callable[[int], Trace]
    settings: tuple[str, ...] = ()
    stages: tuple[Figures, ...] = ()
    part: int | None = None
    num_repeats: int = NUM_REPEATS
    choices: tuple[tuple[str, ...], ...] = ()
    num_requests: int = 1
    vllm_args: str | None = None
    preset: str | None = None
    logged_blocks: int | None = None
    assumptions: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class NotSimulated:
    """A measured run that is not simulated, and why."""

    run_id: str
    source: str
    reason: str


@dataclass(frozen=True, slots=True)
class MeasuredCall:
    """One measured request, nanoseconds since the start of the run.

    Attributes
    ----------
    first_token_ns : int
        -1 for a request without one.
    finished_ns : int
        The last token, or when the client gave up.
    output_tokens : int
        Tokens that the engine made (with ``ignore_eos``: as many as requested).
    """

    session: str
    call: str
    submitted_ns: int
    first_token_ns: int
    finished_ns: int
    prompt_tokens: int
    output_tokens: int
    cached_tokens: int = 0
    status: str = "finished"


def measured_run(calls: Sequence[MeasuredCall]) -> Run:
    """Measured requests in the columns of `agentsim.domain.records`."""
    rows = []
    bounds: dict[str, list[int]] = {}
    for call in calls:
        values: dict[str, Any] = dict.fromkeys(REQUEST_COLUMNS, 0)
        values |= {
            name: getattr(call, name) for name in REQUEST_COLUMNS if name in MeasuredCall.__slots__
        }
        values |= {"agent": "main", "scheduled_ns": call.submitted_ns}
        rows.append(tuple(values.values()))
        start, end, count = bounds.get(call.session, [call.submitted_ns, call.finished_ns, 0])
        bounds[call.session] = [
            min(start, call.submitted_ns),
            max(end, call.finished_ns),
            count + (call.status not in FAILED),
        ]
    sessions = [
        (name, 0, start, end, count, end - start, 0) for name, (start, end, count) in bounds.items()
    ]
    return Run(
        requests=columns_of(rows, dtypes(REQUEST_COLUMNS)),  # type: ignore[arg-type]
        steps=columns_of([], dtypes(STEP_COLUMNS)),  # type: ignore[arg-type]
        sessions=columns_of(sessions, dtypes(SESSION_COLUMNS)),  # type: ignore[arg-type]
    )


def only_stage(run: Run, stage: int) -> Run:
    """The requests and sessions of one stage; without steps and token gaps."""
    begin = f"{stage}/"
    parts = []
    for table in (run.requests, run.sessions):
        columns = table.columns()
        mine = np.array([name.startswith(begin) for name in columns["session"]], np.bool_)
        parts.append({name: column[mine] for name, column in columns.items()})
    facts: dict[str, Any] = {}
    return replace(run, requests=parts[0], sessions=parts[1], steps={}, facts=facts)  # type: ignore[arg-type]


def figure(run: Run, metric: str, statistic: str) -> float | None:
    """One figure of a run, measured or simulated; None where it has none.

    Parameters
    ----------
    metric : str
        One of `FIGURES`, ``failed`` (requests), ``cached_tokens``, ``kv_blocks`` or
        ``total_rate`` (prompt and output tokens a second).
    statistic : str
        ``mean``, one of `QUANTILES`, or ``value`` for a metric that is one number.
    """
    if metric == "failed":
        return float(num_failed(run))
    if metric == "cached_tokens":
        return float(served_total(run, "cached_tokens"))
    if metric == "kv_blocks":
        return float(run.facts["num_gpu_blocks"])
    if metric == "total_rate":
        rates = [METRICS[name].sample(run).mean() for name in ("prompt_rate", "output_rate")]
        return None if None in rates else sum(rate for rate in rates if rate is not None)
    sample: Sample = METRICS[FIGURES[metric]].sample(run)
    if statistic in QUANTILES:
        return sample.quantiles((QUANTILES[statistic],))[0]
    return sample.mean()


def num_failed(run: Run) -> int:
    """Requests whose client got no answer."""
    return sum(len(chunk["status"]) for chunk in run.requests.chunks(where={"status": FAILED}))


def figures_of(run: Run) -> dict[tuple[str, str], float]:
    """All figures of a measured run: latencies, throughput, makespan, failures."""
    wanted = [(metric, statistic) for metric in LATENCIES for statistic in _STATISTICS]
    wanted += [(metric, "value") for metric in RATES]
    if num_failed(run):
        wanted.append(("failed", "value"))
    found = {key: figure(run, *key) for key in wanted}
    return {key: value for key, value in found.items() if value is not None}
