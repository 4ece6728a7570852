"""``agentsim replay``: run a trace through a simulated vLLM and say how long it takes, and why."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from agentsim.cli.prices import price_options
from agentsim.cli.settings import configure, setting_options, shorthands
from agentsim.errors import ConfigError, Interrupted

if TYPE_CHECKING:
    from pathlib import Path

    from agentsim.domain.records import Run
    from agentsim.report.figures import Summary


@click.command("replay", short_help="Run a trace through a simulated vLLM; how long, and why.")
@click.argument("trace", metavar="TRACE")
@setting_options
@shorthands
@price_options
@click.option("--format", "trace_format", metavar="NAME", default="auto", help="Format of TRACE.")
@click.option("--exact", is_flag=True, help="One step at a time; the result is the same.")
@click.option("--check", is_flag=True, help="Check every invariant after every step.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of text.")
@click.option("--assumptions", "all_assumptions", is_flag=True, help="List all assumptions.")
@click.option("--explain", is_flag=True, help="Show prefill work per turn, cached or not.")
@click.option("--plot", metavar="FILE", help="Draw what --explain shows (.png, .svg, .pdf).")
@click.option("--timeline", metavar="FILE", help="For ui.perfetto.dev (.json, .json.gz).")
@click.option(
    "--spec-baseline/--no-spec-baseline",
    default=None,
    help="Also run without speculation; default: for small traces.",
)
@click.option(
    "--samples",
    metavar="N",
    type=click.IntRange(0, 1000),
    help="Parameter sets for 90 % intervals; default 8, none beyond 5,000 calls; 0: none.",
)
@click.option("--out", metavar="DIR", help="Write requests, steps and sessions as Parquet.")
@click.option("--report", metavar="FILE", help="A report as one page (.html).")
@click.option("--force", is_flag=True, help="Let all of these replace an earlier result.")
def replay_command(
    *,
    trace: str,
    prices: dict[str, Any],
    trace_format: str,
    exact: bool,
    check: bool,
    as_json: bool,
    all_assumptions: bool,
    explain: bool,
    plot: str | None,
    timeline: str | None,
    spec_baseline: bool | None,
    samples: int | None,
    out: str | None,
    report: str | None,
    force: bool,
    **settings: Any,
) -> None:
    """Run the agents of TRACE, closed loop, through a simulated vLLM on a simulated GPU.

    Without options: the case study's L4 with Qwen2.5-14B-AWQ. TRACE may be gzipped, or - for stdin.

    \b
    agentsim replay traces/itbench-sre.jsonl --agents 8
    agentsim replay traces/itbench-sre.jsonl --set engine.max_num_seqs=1
    """
    from agentsim.billing import bill_of, read_terms
    from agentsim.cli.results import check_results
    from agentsim.cli.screen import Ticker, emit
    from agentsim.machine.system import build_system
    from agentsim.report.prefill import prefill_text
    from agentsim.report.store import write_run
    from agentsim.report.summary import summarize
    from agentsim.simulator import fit_trace, simulate
    from agentsim.speculation import compare, is_cheap
    from agentsim.uncertainty import default_samples, predict_intervals
    from agentsim.workload.formats import read_trace

    config, assumptions = configure(**settings)
    results = check_results(out, plot, timeline, report, force=force)
    target = results.folder
    if explain and as_json:
        raise ConfigError("--explain prints a table: leave out --json, or use --plot FILE")
    system = build_system(config, assumptions)
    terms = read_terms(system.gpu, **prices)
    sessions = read_trace(trace, format=trace_format)
    with Ticker("replay") as tick:
        run = simulate(
            sessions,
            config,
            exact=exact,
            check=check,
            progress=tick,
            system=system,
            out=target,
            force=force,
        )
    with _written(run, target):
        tick.heed()
        if spec_baseline is None:
            spec_baseline = is_cheap(run)
        if spec_baseline:
            run = compare(sessions, config, run, system, exact=exact)
            if target is not None:
                write_run(run, target)
        parts_of = system.cost.parts
        bill = bill_of(run, fit_trace(sessions, config, system), terms, parts_of)
        samples = default_samples(sessions) if samples is None else samples
        intervals = None
        if samples > 1:
            with Ticker("intervals") as tick:
                intervals = predict_intervals(
                    sessions, config, run, system, samples=samples, bill=bill, progress=tick
                )
        summary = summarize(run, parts_of, bill, intervals)
        text = _show(run, summary, as_json=as_json, all_assumptions=all_assumptions)
        if explain:
            text += f"\n{prefill_text(run)}"
        results.write(run, summary, trace)
    emit(text)


@contextmanager
def _written(run: Run, target: Path | None) -> Iterator[None]:
    """Whoever stops what follows the run is told that it was written."""
    try:
        yield
    except (Interrupted, KeyboardInterrupt):
        num_calls = run.requests.num_rows
        raise Interrupted(num_calls, num_calls, target) from None


def _show(run: Run, summary: Summary, *, as_json: bool, all_assumptions: bool) -> str:
    from agentsim.cli.screen import is_ascii, wants_colour
    from agentsim.report.document import result_json
    from agentsim.report.text import assumptions_text, to_text

    if as_json:
        return result_json(run, summary)
    colour = wants_colour()
    text = to_text(run, summary, colour=colour, ascii_only=is_ascii())
    return f"{text}\n{assumptions_text(run, summary.bill)}" if all_assumptions else text
