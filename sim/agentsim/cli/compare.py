"""``agentsim compare``: configurations side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from agentsim.cli.prices import price_options
from agentsim.cli.settings import (
    named_as_typed,
    several_setting_options,
    shorthands,
    sources_of,
)
from agentsim.errors import ConfigError

if TYPE_CHECKING:
    from agentsim.study.variants import Sources, Variant


@click.command("compare", short_help="Configurations side by side: time, latency, cost, energy.")
@click.argument("trace", metavar="TRACE")
@click.option(
    "-c",
    "configurations",
    metavar="WHAT",
    multiple=True,
    help="FILE.toml, 'NAME=VALUE ...', or hf, serial, full, spec; repeatable.",
)
@click.option(
    "--vary", metavar="NAME=A,B,...", multiple=True, help="All values of a setting; repeatable."
)
@several_setting_options
@shorthands
@price_options
@click.option(
    "--figure",
    "figures",
    metavar="TEXT",
    multiple=True,
    help="A column, such as 'p95 ttft' or 'cost/session'; repeatable.",
)
@click.option(
    "--samples",
    metavar="N",
    type=click.IntRange(0, 1000),
    help="Parameter sets for 90 % intervals; default 8, none beyond 5,000 calls; 0: none.",
)
@click.option("--format", "trace_format", metavar="NAME", default="auto", help="Format of TRACE.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of text.")
@click.option("-o", "--out", metavar="FILE", help="The table as .csv or .parquet.")
@click.option("--report", metavar="FILE", help="A report as one page (.html).")
@click.option("--force", is_flag=True, help="Let --out and --report replace a file.")
def compare_command(
    *,
    trace: str,
    prices: dict[str, Any],
    configurations: tuple[str, ...],
    vary: tuple[str, ...],
    figures: tuple[str, ...],
    samples: int | None,
    trace_format: str,
    as_json: bool,
    out: str | None,
    report: str | None,
    force: bool,
    **settings: Any,
) -> None:
    """Simulate TRACE under several configurations, with the same random numbers.

    Each -c is one; --vary adds every combination of its values; --vllm-args given twice compares
    two servers. All other options hold for all of them.

    \b
    agentsim compare traces/itbench-sre.jsonl -c hf -c serial -c full -c spec
    agentsim compare traces/itbench-sre.jsonl --agents 8 --vary gpu=l4,l40s
    """
    from agentsim.cli.screen import Ticker, emit, wants_colour
    from agentsim.report.html.page import check_report, write_page
    from agentsim.report.target import check_file
    from agentsim.study.compare import FIGURES, compare
    from agentsim.study.compare_document import comparison_json
    from agentsim.study.compare_page import compare_page
    from agentsim.study.compare_text import comparison_text
    from agentsim.study.figures import read_figure
    from agentsim.study.tables import write_frame
    from agentsim.workload.formats import read_trace

    target = check_file("--out", out, (".csv", ".parquet"), force=force) if out else None
    page = check_report(report, force=force) if report is not None else None
    if force and target is None and page is None:
        raise ConfigError("--force: there is no --out or --report it could let replace anything")
    with named_as_typed(settings):
        variants = _variants(configurations, vary, settings)
    _check_price(variants, prices)
    columns = [read_figure(text) for text in figures or FIGURES]
    sessions = read_trace(trace, format=trace_format)
    with Ticker("compare") as tick:
        found = compare(sessions, variants, columns, samples=samples, prices=prices, progress=tick)
    if target is not None:
        write_frame(found.frame(), target)
    if page is not None:
        write_page(compare_page(found, trace), page)
    emit(comparison_json(found) if as_json else comparison_text(found, colour=wants_colour()))


def _variants(
    configurations: tuple[str, ...], vary: tuple[str, ...], settings: dict[str, Any]
) -> list[Variant]:
    from agentsim.study.variants import combinations, read_variant, variant

    servers: tuple[str, ...] = settings.pop("vllm_args", None) or ()
    found: list[Variant] = []
    base = sources_of(**settings, vllm_args=servers[0] if len(servers) == 1 else None)
    if len(servers) > 1:
        found += [variant(f"vllm {text}", _serving(base, text)) for text in servers]
    found += [read_variant(text, base) for text in configurations]
    found += [variant(" ".join(sets), base.with_sets(sets)) for sets in combinations(vary)]
    if len(found) < 2:
        raise ConfigError(
            "nothing to compare: give -c twice, or --vary NAME=A,B, or --vllm-args twice"
        )
    return found


def _serving(base: Sources, vllm_args: str) -> Sources:
    import dataclasses

    return dataclasses.replace(base, vllm_args=vllm_args)


def _check_price(variants: list[Variant], prices: dict[str, Any]) -> None:
    gpus = {one.config.gpu for one in variants}
    if prices["gpu_price"] is not None and len(gpus) > 1:
        raise ConfigError(
            f"--gpu-price: the configurations name {len(gpus)} GPUs; state their prices in a "
            "--price-table"
        )
