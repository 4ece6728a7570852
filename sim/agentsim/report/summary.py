"""From a run to its figures: `summarize`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import numpy as np

from agentsim.domain.records import Run
from agentsim.domain.units import NS_PER_S
from agentsim.report.bill import Bill
from agentsim.report.figures import (
    AgentTime,
    Batching,
    GpuTime,
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
from agentsim.report.metrics import METRICS, FloatArray, IntArray, served
from agentsim.report.where import IDLE, agent_time, at_server, gpu_time

#: The quantiles shown, by the names of `Quantiles`.
SHARES = (0.5, 0.9, 0.99)


def summarize(
    run: Run,
    system_parts: Mapping[str, FloatArray] | None = None,
    bill: Bill | None = None,
) -> Summary:
    """The figures of a run.

    Parameters
    ----------
    run : Run
    system_parts : mapping of str to ndarray of float64, or None
        ``prefill_s`` and ``decode_s`` of each step of `run.steps`, as the cost model attributes
        them; None for a measured run.
    bill : Bill or None
        What it costs, from `agentsim.billing.bill_of`.
    """
    slots = run.sessions["slot"]
    statuses = Counter(run.requests["status"].astype(str).tolist())
    kinds = Counter(str(assumption["kind"]) for assumption in run.assumptions)
    return Summary(
        runtime_s=run.makespan_ns / NS_PER_S,
        agents=len(np.unique(slots)),
        sessions=len(slots),
        replicas=max(len(np.unique(run.steps["replica"])), 1),
        calls=dict(sorted(statuses.items())),
        gpu=_gpu(gpu_time(run, system_parts)),
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
        preemptions=Preemptions(
            count=int(run.requests["preemptions"].sum()),
            requests=int((run.requests["preemptions"] > 0).sum()),
        ),
        speculation=_speculation(run, system_parts),
        assumed=dict(sorted(kinds.items())),
        bill=bill,
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
    mask = served(run)
    names = ("prompt", "cached", "recomputed", "output")
    sums = {name: int(run.requests[f"{name}_tokens"][mask].sum()) for name in names}
    prompt, cached = sums["prompt"], sums["cached"]
    share = cached / prompt if prompt else None
    return Tokens(computed=prompt - cached, cached_share=share, **sums)


def _kv(run: Run) -> KvUse | None:
    """Blocks in use: what a step holds lasts until the next, but not while no call is there."""
    if "num_gpu_blocks" not in run.facts:
        return None
    usable, steps = int(run.facts["num_gpu_blocks"]) - 1, run.steps
    replicas = np.unique(steps["replica"])
    held = 0
    for replica in replicas:
        mask = steps["replica"] == replica
        starts = steps["start_ns"][mask]
        ends = np.append(starts[1:], run.makespan_ns)
        lasts = at_server(run, int(replica)).within(starts, ends)
        held += int((steps["used_blocks"][mask] * lasts).sum())
    peak = int(steps["used_blocks"].max(initial=0))
    room = usable * run.makespan_ns * max(len(replicas), 1)
    return KvUse(
        usable_blocks=usable,
        block_tokens=int(run.facts["block_size"]),
        peak_blocks=peak,
        peak_share=peak / usable,
        mean_share=held / room if room else 0.0,
        evicted_blocks=int(steps["evicted_blocks"].sum()),
    )


def _batching(run: Run) -> Batching:
    steps = run.steps
    lasts = steps["end_ns"] - steps["start_ns"]
    busy = int(lasts.sum())
    return Batching(
        steps=len(lasts),
        mean_seqs=int((steps["num_seqs"] * lasts).sum()) / busy if busy else None,
        peak_running=int(steps["running"].max(initial=0)),
        peak_waiting=int(steps["waiting"].max(initial=0)),
    )


def _speculation(run: Run, parts: Mapping[str, FloatArray] | None) -> Speculation | None:
    names = ("drafted_tokens", "accepted_tokens", "verifications")
    drafted, accepted, steps = (int(run.requests[name].sum()) for name in names)
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
        proposal_s=float(parts["proposal"].sum()) if parts and "proposal" in parts else None,
        without=WithoutSpeculation(**told) if told else None,
    )
