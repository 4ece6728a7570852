"""A server's metrics beside a run: `compare`.

The server measures from its front end: what a client adds (network, its own queue) is in neither.
vLLM's queue time is left out: it begins when the engine takes a request, ours when it arrives.
"""

from __future__ import annotations

import msgspec

from agentsim.domain.records import Run
from agentsim.errors import UserError
from agentsim.report.figures import Bands, Quantiles, Summary
from agentsim.report.server_metrics import Bounds, Snapshot

#: Name, field of `Latency`, and vLLM's names for it, the newest first.
_LATENCIES = (
    ("TTFT", "ttft", ("vllm:time_to_first_token_seconds",)),
    ("TPOT", "tpot", ("vllm:request_time_per_output_token_seconds",)),
    ("ITL", "itl", ("vllm:inter_token_latency_seconds", "vllm:time_per_output_token_seconds")),
    ("E2E", "e2e", ("vllm:e2e_request_latency_seconds",)),
)
_SHARES = {"p50": 0.5, "p90": 0.9, "p99": 0.99}
#: Two totals further apart are of different loads; one request more is the collector's own.
_SAME = 0.02


class ServerQuantiles(msgspec.Struct, frozen=True):
    """A latency of the server in seconds: its mean, and bounds of its quantiles."""

    count: int
    mean: float | None
    p50: Bounds | None
    p90: Bounds | None
    p99: Bounds | None


class LatencyRow(msgspec.Struct, frozen=True):
    """One latency, both ways; `intervals` are those of the simulated one, where they were made."""

    metric: str
    server: ServerQuantiles
    simulated: Quantiles
    intervals: Bands | None = None


class TotalRow(msgspec.Struct, frozen=True):
    """One number of the whole load, both ways; None where the server does not say."""

    name: str
    server: float | None
    simulated: float | None


class Comparison(msgspec.Struct, frozen=True):
    """What `compare` finds."""

    latencies: list[LatencyRow]
    totals: list[TotalRow]
    notes: list[str]


def compare(snapshot: Snapshot, run: Run, summary: Summary) -> Comparison:
    """The metrics of a server beside the figures of a run.

    Parameters
    ----------
    snapshot : Snapshot
        Of the load that `run` simulates: counted from the server's start, or between two readings.
    run : Run
    summary : Summary
        Of `run`.

    Raises
    ------
    UserError
        If the metrics are not vLLM's, or it has served nothing.
    """
    latencies = []
    for label, field, names in _LATENCIES:
        row = _server_quantiles(snapshot, names)
        if row is not None:
            bands = getattr(summary.intervals, field, None)
            latencies.append(LatencyRow(label, row, getattr(summary.latency, field), bands))
    if not latencies:
        raise UserError(f"{snapshot.where}: no metrics of vLLM in it (vllm:...)")
    if not any(row.server.count for row in latencies):
        raise UserError(f"{snapshot.where}: no request was served in that time")
    totals = _totals(snapshot, run, summary)
    return Comparison(latencies, totals, _notes(totals))


def _server_quantiles(snapshot: Snapshot, names: tuple[str, ...]) -> ServerQuantiles | None:
    for name in names:
        found = snapshot.histogram(name)
        if found is not None:
            quantiles = {label: found.quantile(share) for label, share in _SHARES.items()}
            return ServerQuantiles(found.count, found.mean(), **quantiles)
    return None


def _totals(snapshot: Snapshot, run: Run, summary: Summary) -> list[TotalRow]:
    calls = sum(n for status, n in summary.calls.items() if status in ("finished", "cut"))
    queried = snapshot.value("vllm:prefix_cache_queries_total")
    hits = snapshot.value("vllm:prefix_cache_hits_total")
    share = 100 * hits / queried if hits is not None and queried else None
    cached = summary.tokens.cached_share
    config = snapshot.labels("vllm:cache_config_info")
    kv = summary.kv
    usage = snapshot.mean("vllm:kv_cache_usage_perc")
    return [
        TotalRow("requests", snapshot.value("vllm:request_success_total"), calls),
        TotalRow(
            "prompt tokens", snapshot.value("vllm:prompt_tokens_total"), summary.tokens.prompt
        ),
        TotalRow(
            "output tokens", snapshot.value("vllm:generation_tokens_total"), summary.tokens.output
        ),
        TotalRow("prefix cache hits, %", share, None if cached is None else 100 * cached),
        TotalRow(
            "preemptions", snapshot.value("vllm:num_preemptions_total"), summary.preemptions.count
        ),
        TotalRow("KV blocks", _number(config.get("num_gpu_blocks")), run.facts["num_gpu_blocks"]),
        TotalRow("block size", _number(config.get("block_size")), run.facts["block_size"]),
        TotalRow(
            "running (server: now; simulated: peak)",
            snapshot.value("vllm:num_requests_running"),
            summary.batching.peak_running,
        ),
        TotalRow(
            "KV use, % (server: now; simulated: mean)",
            None if usage is None else 100 * usage,
            None if kv is None else 100 * kv.mean_share,
        ),
    ]


def _number(text: str | None) -> float | None:
    return float(text) if text is not None and text.isdecimal() else None


def _notes(totals: list[TotalRow]) -> list[str]:
    """Where the server did something else than the trace says."""
    for row in totals[:3]:
        if row.server is None or row.simulated is None:
            continue
        slack = 1 if row.name == "requests" else 0
        if abs(row.server - row.simulated) > slack + _SAME * max(row.server, row.simulated):
            return [
                f"Another load: the server counts {row.server:,.0f} {row.name}, the trace has "
                f"{row.simulated:,.0f}. Give --metrics twice, before and after TRACE was served."
            ]
    return []
