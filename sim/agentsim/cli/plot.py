"""``agentsim plot``: figures of a run for papers and talks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from agentsim.cli.settings import configure, setting_options, shorthands
from agentsim.errors import ConfigError, UnknownName

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from agentsim.domain.records import Run
    from agentsim.report.metrics import PartsOf


@click.command("plot", short_help="Draw figures of a run: PNG, SVG or PDF, for papers.")
@click.argument("source", metavar="RUN_DIR|TRACE")
@click.option("-o", "--out", metavar="FILE", required=True, help="The file; {kind} in it: several.")
@click.option(
    "--kind", "kinds", metavar="NAME", multiple=True,
    help="where (default), timeline, latency, kv, batch, prefill, tokens or all; repeatable.",
)  # fmt: skip
@click.option(
    "--width", metavar="SIZE", default="double", help="single or double (default) column."
)
@click.option("--force", is_flag=True, help="Replace files that exist.")
@click.option("--format", "trace_format", metavar="NAME", default="auto", help="Format of TRACE.")
@setting_options
@shorthands
def plot_command(
    *,
    source: str,
    out: str,
    kinds: tuple[str, ...],
    width: str,
    force: bool,
    trace_format: str,
    **settings: Any,
) -> None:
    """Draw figures of a run that 'replay --out' wrote, or of TRACE, which is simulated first.

    Several kinds stand one below the other; with {kind} in FILE each has a file of its own.

    \b
    agentsim plot traces/itbench-sre.jsonl --agents 8 -o where.svg
    agentsim plot run --kind all --width single -o 'figure-{kind}.pdf'
    """
    from pathlib import Path

    from agentsim.cli.screen import emit
    from agentsim.report.plots.page import check_figures, draw
    from agentsim.report.plots.style import WIDTHS

    if width not in WIDTHS:
        raise UnknownName("--width", width, WIDTHS)
    files = check_figures("--out", out, _chosen(kinds), force=force)
    if Path(source).is_dir():
        run, parts_of = _stored(Path(source), files, settings)
    else:
        run, parts_of = _simulated(source, trace_format, settings)
    for path, drawn in files.items():
        draw(run, path, drawn, width=width, parts_of=parts_of)
    emit("".join(f"{', '.join(drawn)}: {path}\n" for path, drawn in files.items()))


def _chosen(kinds: Sequence[str]) -> list[str]:
    """The kinds to draw, each once."""
    from agentsim.report.plots.page import KINDS

    for kind in kinds:
        if kind != "all" and kind not in KINDS:
            raise UnknownName("--kind", kind, (*KINDS, "all"))
    return list(KINDS) if "all" in kinds else list(dict.fromkeys(kinds)) or ["where"]


def _stored(
    folder: Path, files: dict[Path, list[str]], settings: dict[str, Any]
) -> tuple[Run, PartsOf | None]:
    """A run as it was written; its cost model only where a figure asks for it."""
    from agentsim.domain.config import Config
    from agentsim.domain.settings import structured
    from agentsim.machine.system import build_system
    from agentsim.report.store import read_run

    given = {name for name, value in settings.items() if value not in (None, ())}
    for option in click.get_current_context().command.params:
        if option.name in given:
            raise ConfigError(f"{option.opts[0]}: {folder} is a run with settings of its own")
    run = read_run(folder)
    if not any("where" in drawn for drawn in files.values()):
        return run, None
    config = structured(str(folder / "run.json"), run.config, Config)
    return run, build_system(config).cost.parts


def _simulated(
    trace: str, trace_format: str, settings: dict[str, Any]
) -> tuple[Run, PartsOf | None]:
    from agentsim.cli.screen import Ticker
    from agentsim.machine.system import build_system
    from agentsim.simulator import simulate
    from agentsim.workload.formats import read_trace

    config, assumptions = configure(**settings)
    system = build_system(config, assumptions)
    sessions = read_trace(trace, format=trace_format)
    with Ticker("plot") as tick:
        run = simulate(sessions, config, progress=tick, system=system)
    return run, system.cost.parts
