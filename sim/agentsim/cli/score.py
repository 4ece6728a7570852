"""``agentsim score``: the case study's unified metrics of a run."""

from __future__ import annotations

from typing import Any

import click

from agentsim.cli.prices import price_options
from agentsim.cli.settings import configure, setting_options, shorthands


@click.command("score", short_help="The case study's unified scores of a run.")
@click.argument("trace", metavar="TRACE")
@setting_options
@shorthands
@price_options
@click.option(
    "--weights",
    metavar="NAME=X,...",
    multiple=True,
    help="Weights, or FILE.toml; those of a sum must add up to 1; default: equal.",
)
@click.option(
    "--target",
    "targets",
    metavar="NAME=X",
    multiple=True,
    help="What scores 1: latency in s, throughput in token/s, cost in $ a session.",
)
@click.option(
    "--max-interventions",
    metavar="N",
    type=click.IntRange(min=1),
    default=5,
    help="Interventions a session at which OpEff is 0; default 5.",
)
@click.option("--format", "trace_format", metavar="NAME", default="auto", help="Format of TRACE.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of text.")
def score_command(
    *,
    trace: str,
    prices: dict[str, Any],
    weights: tuple[str, ...],
    targets: tuple[str, ...],
    max_interventions: int,
    trace_format: str,
    as_json: bool,
    **settings: Any,
) -> None:
    """Simulate TRACE and score the run: CompEff, EconEff, OpEff, Efficiency.

    Each score is from 0 to 1, and says what both mean. TaskEfficacy, Adaptivity and OpEff need a
    trace that carries outcomes.

    \b
    agentsim score traces/itbench-sre.jsonl
    agentsim score traces/swe-agent.jsonl --weights eff.comp=0.5,eff.econ=0.5
    """
    from agentsim.billing import read_terms
    from agentsim.cli.screen import Ticker, emit, json_text
    from agentsim.machine.system import build_system
    from agentsim.study.score import Grading, read_targets, score
    from agentsim.study.score_text import scores_text
    from agentsim.study.weights import read_weights
    from agentsim.workload.formats import read_trace

    config, assumptions = configure(**settings)
    grading = Grading(read_weights(weights), read_targets(targets), max_interventions)
    system = build_system(config, assumptions)
    terms = read_terms(system.gpu, **prices)
    sessions = read_trace(trace, format=trace_format)
    with Ticker("score") as tick:
        found = score(sessions, config, system, terms, grading, progress=tick)
    emit(json_text(found) if as_json else scores_text(found))
