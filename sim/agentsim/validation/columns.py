"""Columns of result tables as figures: ``ttft_mean_ms``, ``tpot_p99_ms``, ``output_tok_per_s``."""

from __future__ import annotations

import re

from agentsim.validation.tables import Record

_LATENCY = re.compile(r"(ttft|tpot|itl|e2e)(?:_(mean|median|p\d\d))?_(ms|s)")
_RATES = {
    "output_tok_per_s": "output_rate",
    "total_tok_per_s": "total_rate",
    "req_per_s": "request_rate",
    "duration_s": "makespan",
}
_UNITS = {"s": 1.0, "ms": 1e-3}


def figures_in(row: Record, *, itl: str = "gap") -> dict[tuple[str, str], float]:
    """The figures that the columns of a row state; empty fields are none.

    Parameters
    ----------
    itl : str
        What the source means by ITL: ``gap``, all gaps between tokens, or ``itl``, the mean gap of
        each request, which other sources call TPOT.

    Raises
    ------
    UserError
        If a field is no number >= 0.
    """
    names = {"tpot": "itl", "itl": itl}
    found: dict[tuple[str, str], float] = {}
    for column in row.fields:
        if not row.has(column):
            continue
        if column in _RATES:
            found[_RATES[column], "value"] = row.number(column)
        elif match := _LATENCY.fullmatch(column):
            metric, statistic, unit = match.groups()
            statistic = {"median": "p50", None: "mean"}.get(statistic, statistic)
            found[names.get(metric, metric), statistic] = row.number(column) * _UNITS[unit]
    return {key: value for key, value in found.items() if key[1] in _STATISTICS}


_STATISTICS = ("mean", "value", "p50", "p90", "p95", "p99")
