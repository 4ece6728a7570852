"""`simulate`: a trace and a configuration in, a `Run` out."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from importlib import metadata
from pathlib import Path
from typing import Any

from agentsim.domain.config import Config, load_config, to_plain
from agentsim.domain.records import Run
from agentsim.domain.tally import EXACT_VALUES, ROUNDING
from agentsim.domain.trace import Trace
from agentsim.engine.ledger import Ledger
from agentsim.engine.rules import Rules
from agentsim.engine.simulation import Simulation, Watch
from agentsim.errors import Interrupted, TraceError
from agentsim.machine.api_server import NO_SERVER
from agentsim.machine.host_memory import size_host_memory
from agentsim.machine.system import System, build_system
from agentsim.policies.acceptance import assumption, resolve
from agentsim.policies.evictions import EvictionOrder
from agentsim.report.store import RunFolder
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
    watch: Watch | None = None,
    system: System | None = None,
    eviction: EvictionOrder | None = None,
    assumptions: Sequence[dict[str, Any]] = (),
    out: Path | None = None,
    force: bool = False,
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
    watch : callable or None
        Called with each call that was served (`domain.records.Served`); what it raises ends the
        run.
    system : System or None
        What `build_system(config)` gives, if it was made before.
    eviction : EvictionOrder or None
        An order of eviction that has no name because it needs a table of its own, such as
        `policies.evictions.Belady`; in place of `engine.eviction`.
    assumptions : sequence of dict
        Assumptions made before, put in front of the run's own.
    out : Path or None
        A directory, see `agentsim.report.store`, that the tables are written to as the run goes.
    force : bool
        Let it replace an earlier run.

    Returns
    -------
    Run

    Raises
    ------
    TraceError
        If the trace holds no call.
    DoesNotFit
        If the model does not fit the GPU, or a call can never be served.
    UserError
        If `out` cannot be written.
    Interrupted
        In place of KeyboardInterrupt, when what was done until then is in `out`.
    """
    config = config or load_config()
    system = system or build_system(config, assumptions)
    if not trace.num_calls:
        raise TraceError("the trace holds no call")
    fitted = fit_trace(trace, config, system)
    rules = rules_of(system)
    host = size_host_memory(system.gpu, system.engine, system.capacity, config.cost)
    plain, assumed = to_plain(config), (*system.assumptions, *_drafts_assumed(config, rules))
    if host is not None:
        assumed = (*assumed, *host.assumptions())
    with ExitStack() as stack:
        folder = None
        if out is not None:
            folder = stack.enter_context(RunFolder(out, plain, assumed, force=force))
        ledger = Ledger(folder.writer if folder is not None else None)
        simulation = Simulation(
            fitted,
            config,
            rules,
            system.cost,
            system.model.window,
            contiguous=system.contiguous,
            api=system.api,
            host=host,
            eviction=eviction,
            exact=exact,
            check=check,
            progress=progress,
            watch=watch,
            ledger=ledger,
        )
        stopped = False
        try:
            simulation.run()
        except KeyboardInterrupt:
            stopped = True
            simulation.close()
        facts = _facts(system, rules, config.agents.num_agents or len(trace), ledger)
        if host is not None:
            facts["kv_offloading"] = simulation.offloaded()
        if eviction is not None:
            facts["eviction"] = type(eviction).__name__
        if stopped:
            facts["interrupted"] = {"calls_done": ledger.num_calls, "calls": simulation.num_calls}
        else:
            ledger.check_complete(simulation.num_calls)
        notes = {**fitted.notes, **simulation.waits.notes}
        run = Run(**ledger.close(), config=plain, facts=facts, assumptions=assumed, notes=notes)
        if folder is not None:
            run = folder.finish(run)
        if stopped:
            raise Interrupted(ledger.num_calls, simulation.num_calls, out)
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
        eviction=engine.eviction,
    )


def _facts(system: System, rules: Rules, num_agents: int, ledger: Ledger) -> dict[str, Any]:
    """What was derived from the settings, and the gaps between tokens."""
    usable_blocks, log = rules.usable_blocks, system.capacity.log_lines()
    if system.contiguous is not None:
        log = system.contiguous.log_lines()
        usable_blocks = -(-system.contiguous.max_tokens // rules.block_size)
    facts = {
        "gpu": system.gpu.name,
        "model": system.model.name,
        "num_gpu_blocks": usable_blocks + 1,
        "usable_blocks": usable_blocks,
        "block_size": rules.block_size,
        "kv_log": list(log),
        "itl_ns": ledger.gaps.values,
        "itl_weight": ledger.gaps.weights,
        "num_agents": num_agents,
        "version": metadata.version("agentsim"),
    }
    if system.api != NO_SERVER:
        facts["api_server"] = dataclasses.asdict(system.api)
    if ledger.gaps.is_rounded:
        facts["itl_total_ns"] = ledger.gaps.total
    if ledger.gaps.is_rounded or ledger.num_calls > EXACT_VALUES:
        facts["quantile_error"] = ROUNDING
    return facts


def _drafts_assumed(config: Config, rules: Rules) -> list[dict[str, Any]]:
    return [assumption(resolve(config))] if rules.num_speculative_tokens else []
