"""``agentsim explain``: why one configuration is faster than another, mechanism by mechanism."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from agentsim.cli.prices import price_options
from agentsim.cli.settings import named_as_typed, setting_options, shorthands, sources_of
from agentsim.errors import ConfigError

if TYPE_CHECKING:
    from agentsim.study.variants import Variant


@click.command("explain", short_help="Why one configuration beats another; what is left to gain.")
@click.argument("trace", metavar="TRACE")
@click.option(
    "-c",
    "configurations",
    metavar="WHAT",
    multiple=True,
    help="FILE.toml, 'NAME=VALUE ...', or hf, serial, full, spec; at most two.",
)
@setting_options
@shorthands
@price_options
@click.option(
    "--metric",
    "--figure",
    "metric",
    metavar="TEXT",
    default="runtime",
    help="What is explained, such as 'mean ttft', 'p90 session' or cost; default runtime.",
)
@click.option(
    "--pairs",
    metavar="N",
    type=click.IntRange(1, 100_000),
    help="Draw N pairs of orders; default: all orders up to 8 mechanisms, else 16 pairs.",
)
@click.option("--bounds/--no-bounds", "with_bounds", default=True, help="What is left to gain.")
@click.option(
    "--jobs", type=click.IntRange(min=1), metavar="N", help="Simulations at a time; default: cores."
)
@click.option("--format", "trace_format", metavar="NAME", default="auto", help="Format of TRACE.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of text.")
@click.option("--plot", metavar="FILE", help="Draw the waterfall (.png, .svg, .pdf).")
@click.option("--report", metavar="FILE", help="A report as one page (.html).")
@click.option("--force", is_flag=True, help="Let --plot and --report replace a file.")
def explain_command(
    *,
    trace: str,
    prices: dict[str, Any],
    configurations: tuple[str, ...],
    metric: str,
    pairs: int | None,
    with_bounds: bool,
    jobs: int | None,
    trace_format: str,
    as_json: bool,
    plot: str | None,
    report: str | None,
    force: bool,
    **settings: Any,
) -> None:
    """Simulate TRACE with every mix of two configurations, and divide what they differ by.

    The first -c is where the waterfall starts, the second where it ends; all other options hold for
    both. With one -c, or none, it ends at vLLM's defaults.

    \b
    agentsim explain traces/itbench-sre.jsonl -c hf -c full
    agentsim explain traces/swe-agent.jsonl --agents 8 --set engine.max_num_seqs=1
    """
    from agentsim.cli.screen import Ticker, emit, is_ascii, json_text
    from agentsim.report.html.page import check_report, write_page
    from agentsim.report.plots.page import ENDINGS
    from agentsim.report.target import check_file
    from agentsim.study.explain import explain
    from agentsim.study.explain_page import explain_page
    from agentsim.study.figures import read_figure
    from agentsim.study.waterfall import explanation_text
    from agentsim.study.waterfall_plot import draw_waterfall
    from agentsim.workload.formats import read_trace

    with named_as_typed(settings):
        first, second = _ends(configurations, settings)
    figure = read_figure(metric)
    target = check_file("--plot", plot, ENDINGS, force=force) if plot is not None else None
    page = check_report(report, force=force) if report is not None else None
    if force and target is None and page is None:
        raise ConfigError("--force: there is no --plot or --report it could let replace anything")
    if target is not None and second is None:
        raise ConfigError("--plot: the run has vLLM's defaults, so there is no waterfall to draw")
    sessions = read_trace(trace, format=trace_format)
    with Ticker("explain") as tick:
        found = explain(
            sessions,
            first,
            second,
            figure,
            prices=prices,
            pairs=pairs,
            with_bounds=with_bounds,
            jobs=jobs,
            progress=tick,
        )
    if target is not None:
        draw_waterfall(found, target)
    if page is not None:
        write_page(explain_page(found, trace), page)
    emit(json_text(found) if as_json else explanation_text(found, ascii_only=is_ascii()))


def _ends(
    configurations: tuple[str, ...], settings: dict[str, Any]
) -> tuple[Variant, Variant | None]:
    """Where the waterfall starts and ends; no end where the start has vLLM's defaults."""
    from agentsim.study.toggles import toggles_between, with_defaults
    from agentsim.study.variants import Variant, read_variant, variant

    if len(configurations) > 2:
        raise ConfigError(f"-c: expected at most two configurations, got {len(configurations)}")
    base = sources_of(**settings)
    found = [read_variant(text, base) for text in configurations] or [variant("", base)]
    first = found[0]
    if len(found) == 2:
        return first, found[1]
    default = with_defaults(first.config)
    if not toggles_between(first.config, default):
        return first, None
    named = Variant(first.name or "this run", first.config, first.assumptions)
    return named, Variant("vLLM's defaults", default)
