"""``agentsim plan``: the cheapest deployment that keeps the objectives."""

from __future__ import annotations

from typing import Any

import click

from agentsim.cli.prices import price_options
from agentsim.cli.settings import named_as_typed, setting_options, shorthands, sources_of
from agentsim.errors import ConfigError


@click.command("plan", short_help="The cheapest GPUs and settings that keep your objectives.")
@click.argument("trace", metavar="TRACE")
@click.option(
    "--slo",
    metavar="TEXT",
    multiple=True,
    required=True,
    help="An objective, such as 'p95 ttft < 2s'; repeatable.",
)
@click.option("--budget", metavar="$N/h", help="Most rent: $2/h, $40/day, $1500/month.")
@click.option("--max-gpus", metavar="N", type=click.IntRange(1, 4096), help="Most GPUs: 8.")
@click.option(
    "--weights",
    type=click.Choice(["all", "same"]),
    default="all",
    help="all: any weight format of the model (default); same: as it is.",
)
@click.option(
    "--vary", metavar="NAME=A,B,...", multiple=True, help="Values to choose from; repeatable."
)
@click.option("--spot", is_flag=True, help="Spot prices, where one is known.")
@setting_options
@shorthands
@price_options
@click.option("--trials", metavar="N", type=click.IntRange(0, 100_000), help="Fine trials: 64.")
@click.option(
    "--samples",
    metavar="N",
    type=click.IntRange(0, 1000),
    help="Parameter sets under which the answer is tried again; default 8; 0: none.",
)
@click.option("--jobs", metavar="N", type=click.IntRange(1, 1024), help="Processes: all cores.")
@click.option("--format", "trace_format", metavar="NAME", default="auto", help="Format of TRACE.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of text.")
@click.option("-o", "--out", metavar="FILE", help="Every option tried, as .csv or .parquet.")
@click.option("--report", metavar="FILE", help="A report as one page (.html).")
@click.option("--force", is_flag=True, help="Let --out and --report replace a file.")
def plan_command(
    *,
    trace: str,
    prices: dict[str, Any],
    slo: tuple[str, ...],
    budget: str | None,
    max_gpus: int | None,
    weights: str,
    vary: tuple[str, ...],
    spot: bool,
    trials: int | None,
    samples: int | None,
    jobs: int | None,
    trace_format: str,
    as_json: bool,
    out: str | None,
    report: str | None,
    force: bool,
    **settings: Any,
) -> None:
    """Search GPUs, replicas, tensor parallelism, weight formats and engine settings for TRACE.

    What you set (--gpu, --replicas, --set ...) stays as you set it.

    \b
    agentsim plan traces/itbench-sre.jsonl --agents 20 --slo 'p95 ttft < 2s'
    agentsim plan TRACE --agents 50 --budget '$4/h' --slo 'p90 session < 10min'
    """
    from agentsim.cli.screen import Stages, emit, wants_colour
    from agentsim.machine.catalog import gpus
    from agentsim.report.gpu_prices import read_price_table
    from agentsim.report.html.page import check_report, write_page
    from agentsim.report.target import check_file
    from agentsim.study.plan import TRIALS, plan
    from agentsim.study.plan_document import plan_json
    from agentsim.study.plan_page import plan_page
    from agentsim.study.plan_text import plan_text
    from agentsim.study.space import MAX_GPUS
    from agentsim.study.tables import write_frame
    from agentsim.uncertainty import SAMPLES
    from agentsim.workload.formats import read_trace

    target = check_file("--out", out, (".csv", ".parquet"), force=force) if out else None
    page = check_report(report, force=force) if report is not None else None
    if force and target is None and page is None:
        raise ConfigError("--force: there is no --out or --report it could let replace anything")
    with named_as_typed(settings), Stages() as told:
        sources = sources_of(**settings)
        sources.read()
        found = plan(
            read_trace(trace, format=trace_format),
            slo,
            sources=sources,
            budget=budget,
            max_gpus=max_gpus or MAX_GPUS,
            weights=weights,
            vary=vary,
            spot=spot,
            prices=prices,
            trials=TRIALS if trials is None else trials,
            samples=SAMPLES if samples is None else samples,
            jobs=jobs or _cores(),
            told=told,
        )
    if target is not None:
        write_frame(found.frame(), target)
    if page is not None:
        table = read_price_table(prices.get("price_table"), gpus())
        write_page(plan_page(found, trace, table), page)
    emit(plan_json(found) if as_json else plan_text(found, colour=wants_colour()))


def _cores() -> int:
    from joblib import cpu_count

    cores: int = cpu_count()
    return cores
