"""``agentsim replay``: run a trace through a simulated vLLM and say how long it takes, and why."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from agentsim.cli.prices import price_options
from agentsim.errors import ConfigError, Interrupted

if TYPE_CHECKING:
    from pathlib import Path

    from agentsim.domain.config import Config
    from agentsim.domain.records import Run
    from agentsim.report.figures import Summary

#: Options that are short for a setting: (option, setting, metavar, help).
_SHORTHANDS = (
    ("--engine", "engine.kind", "KIND", "vllm, hf, static, continuous or hybrid."),
    ("--replicas", "cluster.replicas", "N", "Engines behind a router; default 1."),
    ("--routing", "cluster.routing", "NAME", "How requests are spread; see 'list routers'."),
    ("--agents", "agents.num_agents", "N", "Agents at work at a time; default: all sessions."),
    ("--ramp", "agents.ramp_s", "S", "Start agent i after i * S seconds."),
    ("--arrival", "agents.arrival", "HOW", "closed-loop (default), recorded or poisson:RATE."),
    ("--tool-scale", "agents.tool_time_scale", "X", "Multiply every wait between calls by X."),
    ("--tool-time", "agents.tool_time", "HOW", "trace (default), exponential, lognormal:SIGMA."),
    ("--too-long", "agents.too_long", "HOW", "refuse (default), skip, truncate or compact."),
    ("--shared-prefix", "agents.shared_prefix_tokens", "N", "First tokens all sessions share."),
    ("--seed", "seed", "N", "Seed of everything drawn; default 0."),
)


def shorthands(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options of `_SHORTHANDS`; their values reach the configuration as settings."""
    for option, setting, metavar, text in reversed(_SHORTHANDS):
        add = click.option(option, setting.replace(".", "__"), metavar=metavar, help=text)
        command = add(command)
    return command


@click.command("replay", short_help="Run a trace through a simulated vLLM; how long, and why.")
@click.argument("trace", metavar="TRACE")
@click.option("--gpu", metavar="NAME", help="GPU; see 'agentsim list gpus'.")
@click.option("--model", metavar="NAME", help="Model, or a Hugging Face config.json.")
@click.option("--config", "config_file", metavar="FILE.toml", help="Settings from a file.")
@click.option("--set", "sets", metavar="KEY=VALUE", multiple=True, help="One setting; repeatable.")
@click.option("--vllm-args", metavar="ARGS", help="Arguments of your own 'vllm serve' command.")
@click.option("--preset", metavar="NAME", help="Behaviour of an older vLLM.")
@shorthands
@price_options
@click.option("--format", "trace_format", metavar="NAME", default="auto", help="Format of TRACE.")
@click.option("--exact", is_flag=True, help="One step at a time; the result is the same.")
@click.option("--check", is_flag=True, help="Check every invariant after every step.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of text.")
@click.option("--assumptions", "all_assumptions", is_flag=True, help="List all assumptions.")
@click.option("--explain", is_flag=True, help="Show prefill work per turn, cached or not.")
@click.option("--plot", metavar="FILE", help="Draw what --explain shows (.png, .svg).")
@click.option(
    "--spec-baseline/--no-spec-baseline",
    default=None,
    help="Also run without speculation; default: for small traces.",
)
@click.option("--out", metavar="DIR", help="Write requests, steps and sessions as Parquet.")
@click.option("--force", is_flag=True, help="Let --out replace an earlier run.")
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
    spec_baseline: bool | None,
    out: str | None,
    force: bool,
    **settings: Any,
) -> None:
    """Run the agents of TRACE, closed loop, through a simulated vLLM on a simulated GPU.

    Without options: the case study's L4 with Qwen2.5-14B-AWQ. TRACE may be gzipped, or - for stdin.

    \b
    agentsim replay traces/itbench-sre.jsonl --agents 8
    agentsim replay traces/itbench-sre.jsonl --set engine.max_num_seqs=1
    """
    from pathlib import Path

    from agentsim.billing import bill_of, read_terms
    from agentsim.cli.screen import Ticker, emit
    from agentsim.machine.system import build_system
    from agentsim.report.prefill import check_figure, plot_prefill, prefill_text
    from agentsim.report.store import check_target, write_run
    from agentsim.report.summary import summarize
    from agentsim.simulator import fit_trace, simulate
    from agentsim.speculation import compare, is_cheap
    from agentsim.workload.formats import read_trace

    config, assumptions = configure(**settings)
    target = Path(out) if out is not None else None
    figure = check_figure(plot) if plot is not None else None
    if explain and as_json:
        raise ConfigError("--explain prints a table: leave out --json, or use --plot FILE")
    if target is not None:
        check_target(target, force=force)
    elif force:
        raise ConfigError("--force: there is no --out it could let replace anything")
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
        summary = summarize(run, parts_of, bill)
        text = _show(run, summary, as_json=as_json, all_assumptions=all_assumptions)
        if explain:
            text += f"\n{prefill_text(run)}"
        if figure is not None:
            plot_prefill(run, figure)
    emit(text)


@contextmanager
def _written(run: Run, target: Path | None) -> Iterator[None]:
    """Whoever stops what follows the run is told that it was written."""
    try:
        yield
    except (Interrupted, KeyboardInterrupt):
        num_calls = run.requests.num_rows
        raise Interrupted(num_calls, num_calls, target) from None


def configure(
    *,
    gpu: str | None,
    model: str | None,
    config_file: str | None,
    sets: tuple[str, ...],
    vllm_args: str | None,
    preset: str | None,
    **shorthands: str | None,
) -> tuple[Config, list[dict[str, Any]]]:
    """The configuration and what it rests on; a shorthand is a setting given after all others."""
    from pathlib import Path

    from agentsim.machine.system import read_config

    short = [f"{k.replace('__', '.')}={v}" for k, v in shorthands.items() if v is not None]
    path = Path(config_file) if config_file is not None else None
    try:
        return read_config(
            path, sets=[*sets, *short], vllm_args=vllm_args, gpu=gpu, model=model, preset=preset
        )
    except ConfigError as error:
        message = str(error)
        for option, setting, *_ in _SHORTHANDS:  # named as the caller typed it
            if shorthands[setting.replace(".", "__")] is not None:
                message = message.replace(f"--set {setting}:", f"{option}:")
        raise ConfigError(message) from error


def _show(run: Run, summary: Summary, *, as_json: bool, all_assumptions: bool) -> str:
    from agentsim.cli.screen import is_ascii, wants_colour
    from agentsim.report.document import result_json
    from agentsim.report.text import assumptions_text, to_text

    if as_json:
        return result_json(run, summary)
    colour = wants_colour()
    text = to_text(run, summary, colour=colour, ascii_only=is_ascii())
    return f"{text}\n{assumptions_text(run, summary.bill)}" if all_assumptions else text
