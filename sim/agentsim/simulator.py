"""`simulate`: a trace and a configuration in, a `Run` out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import metadata
from typing import Any

import numpy as np

from agentsim.domain.config import Config, load_config, to_plain
from agentsim.domain.records import REQUEST_COLUMNS, SESSION_COLUMNS, Columns, Run
from agentsim.domain.trace import Trace
from agentsim.engine.rules import Rules
from agentsim.engine.simulation import Simulation
from agentsim.errors import InvariantBroken, TraceError
from agentsim.machine.system import System, build_system
from agentsim.policies.acceptance import assumption, resolve
from agentsim.workload.fit import fit_to_limit, share_heads

#: speculative methods that write KV of their own: one slot for each draft is reserved (vLLM 0.32,
#: config/vllm.py `num_lookahead_tokens`)
_OWN_KV = ("draft_model", "eagle", "eagle3", "mtp")


def simulate(
    trace: Trace,
    config: Config | None = None,
    *,
    exact: bool = False,
    check: bool = False,
    progress: Callable[[int, int, int], None] | None = None,
    system: System | None = None,
    assumptions: Sequence[dict[str, Any]] = (),
) -> Run:
    """Run the sessions of a trace, closed loop, through a simulated vLLM on a simulated GPU.

    Parameters
    ----------
    trace : Trace
        From `agentsim.read_trace`.
    config : Config or None
        Settings; by default the case study's: Qwen2.5-14B-AWQ on one L4.
    exact : bool
        Decide every step by itself instead of many equal ones at once; the result is the same.
    check : bool
        Check the laws of the engine after every decision.
    progress : callable or None
        Called with (calls done, calls in all, simulated nanoseconds).
    system : System or None
        What `build_system(config)` gives, if it was made before.
    assumptions : sequence of dict
        Assumptions made before, put in front of the run's own.

    Returns
    -------
    Run

    Raises
    ------
    TraceError
        If the trace holds no call.
    DoesNotFit
        If the model does not fit the GPU, or a call can never be served.
    """
    config = config or load_config()
    system = system or build_system(config, assumptions)
    if not trace.num_calls:
        raise TraceError("the trace holds no call")
    fitted = fit_trace(trace, config, system)
    rules = rules_of(system)
    simulation = Simulation(
        fitted,
        config,
        rules,
        system.cost,
        system.model.window,
        contiguous=system.contiguous,
        exact=exact,
        check=check,
        progress=progress,
    )
    simulation.run()
    run = _write_down(simulation, config, system, fitted)
    _check_complete(run, simulation)
    return run


def fit_trace(trace: Trace, config: Config, system: System) -> Trace:
    """The trace as it is run: prompts share what the settings say, and fit into the model."""
    agents = config.agents
    return fit_to_limit(
        share_heads(trace, agents.shared_prefix_tokens or None),
        system.engine.max_model_len or 0,
        agents.too_long,
        compact_tokens=agents.compact_tokens or None,
    )


def rules_of(system: System) -> Rules:
    """The scheduler's settings of a system."""
    engine = system.engine
    drafts = engine.num_speculative_tokens if engine.speculative_method != "none" else 0
    return Rules(
        block_size=engine.block_size or 16,
        num_gpu_blocks=system.capacity.num_gpu_blocks,
        max_num_seqs=engine.max_num_seqs or 256,
        max_num_batched_tokens=engine.max_num_batched_tokens or 2048,
        max_model_len=engine.max_model_len or 0,
        enable_prefix_caching=engine.enable_prefix_caching,
        enable_chunked_prefill=engine.enable_chunked_prefill,
        long_prefill_token_threshold=engine.long_prefill_token_threshold,
        adaptive_long_prefill_threshold=engine.long_prefill_token_threshold_adaptive,
        policy=engine.policy,
        watermark=engine.watermark,
        scheduler_reserve_full_isl=engine.scheduler_reserve_full_isl,
        max_num_active_seqs=engine.max_num_active_seqs,
        num_speculative_tokens=drafts,
        num_lookahead_tokens=drafts if engine.speculative_method in _OWN_KV else 0,
        num_draft_slots=drafts if engine.speculative_method == "draft_model" else 0,
        drop_last_hit=engine.speculative_method in ("eagle", "eagle3", "mtp"),
        async_scheduling=bool(engine.async_scheduling),
        lone_prefill_exempt=engine.lone_prefill_exempt,
        two_ended_free_queue=engine.free_queue == "two-ended",
    )


def _write_down(simulation: Simulation, config: Config, system: System, trace: Trace) -> Run:
    """The columns of a run that has ended."""
    steps = simulation.server.steps
    gaps, weights = steps.gaps()
    rules, capacity, contiguous = simulation.rules, system.capacity, system.contiguous
    usable_blocks, log = rules.usable_blocks, capacity.log_lines()
    if contiguous is not None:
        log = contiguous.log_lines()
        usable_blocks = -(-contiguous.max_tokens // rules.block_size)
    return Run(
        requests=_request_columns(simulation),
        steps=dict(steps.columns()),
        sessions=_session_columns(simulation),
        config=to_plain(config),
        facts={
            "gpu": system.gpu.name,
            "model": system.model.name,
            "num_gpu_blocks": usable_blocks + 1,
            "usable_blocks": usable_blocks,
            "block_size": rules.block_size,
            "kv_log": list(log),
            "itl_ns": gaps,
            "itl_weight": weights,
            "num_agents": config.agents.num_agents or len(trace),
            "version": metadata.version("agentsim"),
        },
        assumptions=(*system.assumptions, *_drafts_assumed(config, rules)),
        notes={**trace.notes, **simulation.waits.notes},
    )


def _drafts_assumed(config: Config, rules: Rules) -> list[dict[str, Any]]:
    return [assumption(resolve(config))] if rules.num_speculative_tokens else []


def _request_columns(simulation: Simulation) -> Columns:
    rows = []
    for flight, sequence in sorted(simulation.requests, key=lambda pair: pair[0].key):
        run, call = flight.run, flight.call
        row: dict[str, Any] = dict.fromkeys(REQUEST_COLUMNS, 0)
        row |= {
            "session": run.name,
            "agent": call.agent,
            "call": call.id,
            "slot": run.slot,
            "status": "skipped",
            "delay_ns": flight.delay_ns,
            "submitted_ns": flight.submitted_ns,
            "scheduled_ns": flight.submitted_ns,
            "first_token_ns": -1,
            "finished_ns": flight.submitted_ns,
        }
        if sequence is not None:
            cut = call.output_tokens > sequence.num_output
            row |= {
                "status": "cut" if cut else "finished",
                "scheduled_ns": sequence.scheduled_ns,
                "first_token_ns": sequence.first_token_ns if call.output_tokens else -1,
                "finished_ns": sequence.last_token_ns,
                "prompt_tokens": sequence.num_prompt,
                "cached_tokens": sequence.cached_tokens,
                "output_tokens": min(call.output_tokens, sequence.outputs),
                "preemptions": sequence.preemptions,
                "recomputed_tokens": sequence.recomputed,
                "recovering_ns": sequence.recovering_ns,
                "drafted_tokens": sequence.drafted,
                "accepted_tokens": sequence.accepted,
                "verifications": sequence.verifications,
            }
        rows.append(row)
    return _columns(rows, REQUEST_COLUMNS)


def _session_columns(simulation: Simulation) -> Columns:
    rows = [
        {
            "session": run.name,
            "slot": run.slot,
            "started_ns": run.started_ns,
            "finished_ns": run.finished_ns,
            "num_calls": len(run.flights),
            "served_ns": run.served_ns,
            "waited_ns": run.finished_ns - run.started_ns - run.served_ns,
        }
        for run in simulation.runs
    ]
    return _columns(rows, SESSION_COLUMNS)


def _columns(rows: list[dict[str, Any]], names: dict[str, tuple[str, str]]) -> Columns:
    return {
        name: np.array(
            [row[name] for row in rows], dtype=object if dtype == "str" else np.dtype(dtype)
        )
        for name, (dtype, _) in names.items()
    }


def _check_complete(run: Run, simulation: Simulation) -> None:
    """Every call ended in exactly one state, and no token was lost."""
    asked = sum(len(r.session.calls) for r in simulation.runs)
    if len(simulation.requests) != asked:
        raise InvariantBroken(f"{len(simulation.requests)} of {asked} calls were answered")
    for _, sequence in simulation.requests:
        if sequence is not None and sequence.outputs != sequence.num_output:
            raise InvariantBroken(
                f"a request made {sequence.outputs} of {sequence.num_output} tokens"
            )
    delivered = int(run.steps["new_tokens"].sum())
    made = sum(s.outputs for _, s in simulation.requests if s is not None)
    if delivered != made:
        raise InvariantBroken(f"steps delivered {delivered} tokens, requests have {made}")
