"""From a run to its figures: `summarize`."""

from __future__ import annotations

from collections import Counter

import numpy as np

from agentsim.domain.records import Run
from agentsim.domain.units import NS_PER_S
from agentsim.report.bill import Bill
from agentsim.report.cover import Cover
from agentsim.report.figures import (
    AgentTime,
    Batching,
    GpuTime,
    Intervals,
    KvUse,
    Latency,
    Preemptions,
    Quantiles,
    Rates,
    Speculation,
    Summary,
    Tokens,
    WithoutSpeculation,
)
from agentsim.report.metrics import (
    METRICS,
    IntArray,
    PartsOf,
    replicas_in,
    replicas_of,
    served_chunks,
)
from agentsim.report.where import IDLE, agent_time, at_server, gpu_time

#: The quantiles shown, by the names of `Quantiles`.
SHARES = (0.5, 0.9, 0.99)


def summarize(
    run: Run,
    parts_of: PartsOf | None = None,
    bill: Bill | None = None,
    intervals: Intervals | None = None,
) -> Summary:
    """The figures of a run.

    Parameters
    ----------
    run : Run
    parts_of : callable or None
        From columns of steps to the seconds of each as the cost model attributes them, such as
        `Roofline.parts`: ``prefill_s`` and ``decode_s``. None for a measured run.
    bill : Bill or None
        What it costs, from `agentsim.billing.bill_of`.
    intervals : Intervals or None
        From `agentsim.uncertainty.predict_intervals`.
    """
    statuses, slots, lost = Counter[str](), set[int](), Counter[str]()
    for requests in run.requests.chunks("status", "preemptions"):
        statuses.update(requests["status"].tolist())
        lost["count"] += int(requests["preemptions"].sum())
        lost["requests"] += int((requests["preemptions"] > 0).sum())
    for sessions in run.sessions.chunks("slot"):
        slots.update(sessions["slot"].tolist())
    kinds = Counter(str(assumption["kind"]) for assumption in run.assumptions)
    return Summary(
        runtime_s=run.makespan_ns / NS_PER_S,
        agents=len(slots),
        sessions=run.sessions.num_rows,
        replicas=len(replicas_of(run)),
        calls=dict(sorted(statuses.items())),
        gpu=_gpu(gpu_time(run, parts_of)),
        agent=_agent(agent_time(run)),
        latency=Latency(**{name: _quantiles(run, name) for name in Latency.__struct_fields__}),
        tokens=_tokens(run),
        rates=Rates(
            output_tokens_per_s=_number(run, "output_rate"),
            prompt_tokens_per_s=_number(run, "prompt_rate"),
            calls_per_s=_number(run, "call_rate"),
        ),
        kv=_kv(run),
        batching=_batching(run),
        preemptions=Preemptions(count=lost["count"], requests=lost["requests"]),
        speculation=_speculation(run, parts_of),
        assumed=dict(sorted(kinds.items())),
        bill=bill,
        intervals=intervals,
    )


def _quantiles(run: Run, name: str) -> Quantiles:
    sample = METRICS[name].sample(run)
    return Quantiles(sample.count, sample.mean(), *sample.quantiles(SHARES))


def _number(run: Run, name: str) -> float | None:
    return METRICS[name].sample(run).mean()


def _gpu(spent_ns: dict[str, int]) -> GpuTime:
    idle_ns = sum(spent_ns[kind] for kind in IDLE)
    return GpuTime(
        total_s=sum(spent_ns.values()) / NS_PER_S,
        idle_s=idle_ns / NS_PER_S,
        idle_tools_share=spent_ns["idle_tools"] / idle_ns if idle_ns else None,
        **{f"{cause}_s": ns / NS_PER_S for cause, ns in spent_ns.items()},
    )


def _agent(spent_ns: dict[str, IntArray]) -> AgentTime:
    sessions = max(len(spent_ns["tools"]), 1)
    sums = {cause: int(ns.sum()) for cause, ns in spent_ns.items()}
    means = {f"{cause}_s": ns / sessions / NS_PER_S for cause, ns in sums.items()}
    return AgentTime(total_s=sum(sums.values()) / sessions / NS_PER_S, **means)


def _tokens(run: Run) -> Tokens:
    sums = dict.fromkeys(("prompt", "cached", "recomputed", "output"), 0)
    for requests in served_chunks(run, *(f"{name}_tokens" for name in sums)):
        for name in sums:
            sums[name] += int(requests[f"{name}_tokens"].sum())
    prompt, cached = sums["prompt"], sums["cached"]
    share = cached / prompt if prompt else None
    return Tokens(computed=prompt - cached, cached_share=share, **sums)


def _kv(run: Run) -> KvUse | None:
    """Blocks in use: what a step holds lasts until the next, but not while no call is there."""
    if "num_gpu_blocks" not in run.facts:
        return None
    usable, calls = int(run.facts["num_gpu_blocks"]) - 1, at_server(run)
    held = peak = evicted = 0
    last: dict[int, tuple[int, int]] = {}  # of each replica: start and blocks of its last step
    for steps in run.steps.chunks("replica", "start_ns", "used_blocks", "evicted_blocks"):
        peak = max(peak, int(steps["used_blocks"].max(initial=0)))
        evicted += int(steps["evicted_blocks"].sum())
        for replica in replicas_in(steps):
            mask = steps["replica"] == replica
            start_ns, blocks = last.get(replica, (0, 0))
            starts = np.concatenate([[start_ns], steps["start_ns"][mask]])
            used = np.concatenate([[blocks], steps["used_blocks"][mask]])
            lasts = calls.get(replica, Cover.nothing()).within(starts[:-1], starts[1:])
            held += int((used[:-1] * lasts).sum())
            last[replica] = int(starts[-1]), int(used[-1])
    for replica, (start_ns, blocks) in last.items():
        edges = np.array([start_ns]), np.array([run.makespan_ns])
        held += blocks * int(calls.get(replica, Cover.nothing()).within(*edges)[0])
    room = usable * run.makespan_ns * len(replicas_of(run))
    return KvUse(
        usable_blocks=usable,
        block_tokens=int(run.facts["block_size"]),
        peak_blocks=peak,
        peak_share=peak / usable,
        mean_share=held / room if room else 0.0,
        evicted_blocks=evicted,
    )


def _batching(run: Run) -> Batching:
    busy = seqs = running = waiting = 0
    names = ("start_ns", "end_ns", "num_seqs", "running", "waiting")
    for steps in run.steps.chunks(*names):
        lasts = steps["end_ns"] - steps["start_ns"]
        busy += int(lasts.sum())
        seqs += int((steps["num_seqs"] * lasts).sum())
        running = max(running, int(steps["running"].max(initial=0)))
        waiting = max(waiting, int(steps["waiting"].max(initial=0)))
    return Batching(
        steps=run.steps.num_rows,
        mean_seqs=seqs / busy if busy else None,
        peak_running=running,
        peak_waiting=waiting,
    )


def _speculation(run: Run, parts_of: PartsOf | None) -> Speculation | None:
    names = ("drafted_tokens", "accepted_tokens", "verifications")
    sums = [0, 0, 0]
    for requests in run.requests.chunks(*names):
        sums = [total + int(requests[n].sum()) for total, n in zip(sums, names, strict=True)]
    drafted, accepted, steps = sums
    if not drafted:
        return None
    told = run.facts.get("without_speculation")
    return Speculation(
        drafted=drafted,
        accepted=accepted,
        wasted=drafted - accepted,
        acceptance=accepted / drafted,
        verifications=steps,
        accepted_length=1 + accepted / steps if steps else None,
        proposal_s=_proposal_s(run, parts_of),
        without=WithoutSpeculation(**told) if told else None,
    )


def _proposal_s(run: Run, parts_of: PartsOf | None) -> float | None:
    """Seconds spent on proposing, where the cost model knows."""
    if parts_of is None or not run.steps.num_rows:
        return None
    parts = (parts_of(steps).get("proposal") for steps in run.steps.chunks())
    spent = [float(part.sum()) for part in parts if part is not None]
    return sum(spent) if spent else None
