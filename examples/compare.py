"""The policies of this package beside the built-in ones, on a shipped trace.

``python examples/compare.py [TRACE]``, after ``pip install ./examples``.
"""

from __future__ import annotations

import sys
from pathlib import Path

from agentsim import read_trace, simulate
from agentsim.domain.config import Config, load_config
from agentsim.domain.records import Run
from agentsim.domain.trace import Trace
from agentsim.machine.system import build_system
from agentsim.policies.evictions import Belady
from agentsim.report.metrics import METRICS
from agentsim.simulator import fit_trace
from agentsim.workload.next_uses import USE_COLUMNS, next_uses

TRACE = Path(__file__).parents[1] / "traces" / "swe-agent.jsonl"

#: what is compared: a setting, its values, and settings under which it matters
COMPARED: dict[str, tuple[list[str], list[str]]] = {
    "engine.policy": (["fcfs", "short-first"], ["engine.max_num_seqs=4"]),
    "cluster.routing": (
        ["round-robin", "least-load", "prefix-hash", "session-affinity"],
        ["cluster.replicas=3"],
    ),
    "engine.eviction": (["lru", "lfu", "shared-last", "ended-first", "cheap-first"], []),
    "speculation.acceptance": (
        ["fixed", "decaying"],
        [
            "agents.num_agents=2",
            "engine.speculative_method=ngram",
            "engine.num_speculative_tokens=5",
        ],
    ),
}
FIGURES = ("runtime", "ttft", "ttft_per_ktoken")


def main() -> None:
    """Print a table for each setting."""
    trace = read_trace(sys.argv[1] if len(sys.argv) > 1 else TRACE)
    for setting, (names, under) in COMPARED.items():
        print(f"{setting:24}" + "".join(f"{name:>16}" for name in FIGURES) + f"{'cached':>10}")
        for name in names:
            show(name, simulate(trace, settings(*under, f"{setting}={name}")))
        if setting == "engine.eviction":
            show("belady (no server can)", with_foresight(trace, settings(*under)))
        print()


def settings(*sets: str) -> Config:
    """Eight agents at a time, and what else is said."""
    return load_config(sets=["agents.num_agents=8", *sets])


def with_foresight(trace: Trace, config: Config) -> Run:
    """A run that evicts by what a first run of the same trace used again."""
    first = simulate(trace, config)
    requests = {name: first.requests[name] for name in USE_COLUMNS}
    future = next_uses(fit_trace(trace, config, build_system(config)), requests)
    return simulate(trace, config, eviction=Belady(future))


def show(name: str, run: Run) -> None:
    """Print a line."""
    means = (METRICS[figure].sample(run).mean() or 0.0 for figure in FIGURES)
    cached = run.requests["cached_tokens"].sum() / run.requests["prompt_tokens"].sum()
    print(f"  {name:22}" + "".join(f"{mean:16.2f}" for mean in means) + f"{cached:10.1%}")


if __name__ == "__main__":
    main()
