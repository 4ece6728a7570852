"""``agentsim sweep``: thousands of configurations into one Parquet dataset."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from agentsim.cli.door import FAILED
from agentsim.errors import ConfigError

if TYPE_CHECKING:
    from agentsim.report.html.page import Page
    from agentsim.study.figures import Figure
    from agentsim.study.sweep.backends import Backend
    from agentsim.study.sweep.points import Plan
    from agentsim.study.sweep.runner import Report, Trial

#: Points of a sweep that are run unasked.
_MOST_UNASKED = 10_000


@click.command("sweep", short_help="Thousands of configurations into one Parquet dataset.")
@click.argument("spec_file", metavar="SPEC.toml")
@click.option("-o", "--out", metavar="DIR", help="The dataset; an interrupted sweep goes on there.")
@click.option(
    "--jobs", type=click.IntRange(1, 4096), metavar="N", help="Runs at a time; default: cores."
)
@click.option(
    "--backend",
    type=click.Choice(["joblib", "serial", "ray"]),
    default="joblib",
    help="joblib: this machine (default); serial: this process; ray: a cluster.",
)
@click.option("--ray-address", metavar="ADDR", help="Of the cluster; default: a local one.")
@click.option("--by", metavar="FIGURE", help="Which the best points are by; default: the first.")
@click.option("--dry-run", is_flag=True, help="Say what would be run, and for how long.")
@click.option("--yes", is_flag=True, help=f"Also run more than {_MOST_UNASKED:,} points.")
@click.option("--extend", is_flag=True, help="Keep the rows of another spec, add what is missing.")
@click.option("--report", metavar="FILE", help="A report as one page (.html).")
@click.option("--force", is_flag=True, help="Start anew in a DIR that holds a sweep; replace FILE.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of text.")
def sweep_command(
    *,
    spec_file: str,
    out: str | None,
    jobs: int | None,
    backend: str,
    ray_address: str | None,
    by: str | None,
    dry_run: bool,
    yes: bool,
    extend: bool,
    report: str | None,
    force: bool,
    as_json: bool,
) -> None:
    """Simulate every point of SPEC.toml; docs/sweep.md has its form.

    A row of DIR/sweep.parquet is a run with its whole configuration. A run that
    fails is a row with its reason. However a sweep was stopped, the same command
    goes on.

    \b
    agentsim sweep spec.toml --dry-run
    agentsim sweep spec.toml -o results --by 'p95 ttft'
    """
    from pathlib import Path

    from agentsim.cli.screen import emit
    from agentsim.report.html.page import check_report, write_page
    from agentsim.study.sweep.folder import check_target
    from agentsim.study.sweep.points import Plan
    from agentsim.study.sweep.runner import run_sweep
    from agentsim.study.sweep.spec import read_spec

    if out is None and not dry_run:
        raise ConfigError("-o DIR: say where the rows go, or add --dry-run")
    if extend and force:
        raise ConfigError("--extend and --force: one keeps the rows, the other does not")
    if ray_address is not None and backend != "ray":
        raise ConfigError("--ray-address: needs --backend ray")
    if report is not None and dry_run:
        raise ConfigError("--report and --dry-run: nothing is run that could be reported")
    if out is not None:
        check_target(Path(out))
    page = check_report(report, force=force) if report is not None else None
    spec = read_spec(Path(spec_file))
    best_by = _figure(by, spec.figures)
    runs = _backend(backend, jobs, ray_address)
    plan = Plan(spec)
    if spec.without_effect:
        click.echo(f"vllm_args without effect: {' '.join(spec.without_effect)}", err=True)
    if dry_run:
        emit(_dry_text(plan, _cores(jobs, backend)))
        return
    if plan.num_points > _MOST_UNASKED and not yes:
        raise ConfigError(f"{spec_file}: {_estimate(plan, _cores(jobs, backend))}; --yes runs them")
    assert out is not None
    with _progress(plan.num_points) as progress:
        found = run_sweep(
            plan,
            Path(out),
            runs,
            mode="force" if force else "extend" if extend else "resume",
            progress=progress,
        )
    if page is not None:
        write_page(_page(found, plan, best_by, spec_file), page)
    emit(_json(found, best_by) if as_json else _text(found, plan, best_by))
    unplanned = found.statuses["bug"] + found.statuses["died"]
    if unplanned:
        noun = "run" if unplanned == 1 else "runs"
        click.echo(
            f"agentsim: error: {unplanned:,} {noun} ended by a bug or a dead process, see above; "
            "the same command tries them again",
            err=True,
        )
        raise click.exceptions.Exit(FAILED)


def _page(found: Report, plan: Plan, by: Figure, spec_file: str) -> Page:
    from agentsim.study.sweep.folder import read_sweep
    from agentsim.study.sweep_page import sweep_page

    figures = [by, *(figure for figure in plan.spec.figures if figure.name != by.name)]
    settings = [n for axis in plan.spec.grid.axes if len(axis.rows) > 1 for n in axis.names]
    return sweep_page(read_sweep(found.target), figures, spec_file, settings=settings)


def _figure(by: str | None, figures: tuple[Figure, ...]) -> Figure:
    from agentsim.study.figures import read_figure

    if by is None:
        return figures[0]
    wanted = read_figure(by)
    if wanted.name not in [figure.name for figure in figures]:
        known = ", ".join(figure.label for figure in figures)
        raise ConfigError(f"--by {by!r}: is no figure of the spec; it has {known}")
    return wanted


def _backend(name: str, jobs: int | None, ray_address: str | None) -> Backend:
    from agentsim.study.sweep.backends import Processes, Serial

    if name == "ray":
        from agentsim.study.sweep.on_ray import Cluster, import_ray

        import_ray()
        return Cluster(ray_address, jobs)
    return Serial() if name == "serial" else Processes(_cores(jobs, name))


def _cores(jobs: int | None, backend: str) -> int:
    from joblib import cpu_count

    return 1 if backend == "serial" else jobs or int(cpu_count())


def _estimate(plan: Plan, cores: int) -> str:
    """How much a plan is, from a few runs."""
    from agentsim.report.durations import duration
    from agentsim.study.sweep.runner import try_out

    trial: Trial = try_out(plan)
    seconds = trial.run_s * plan.num_points / cores
    mib = trial.row_bytes * plan.num_points / 2**20
    disk = f"{mib / 1024:,.1f} GiB" if mib >= 1024 else f"{mib:,.1f} MiB"
    return (
        f"{plan.num_points:,} points take about {duration(seconds)} on {cores} cores "
        f"({duration(trial.run_s)} a run, of {trial.runs} tried) and up to {disk} on disk"
    )


def _dry_text(plan: Plan, cores: int) -> str:
    from textwrap import fill

    grid = plan.spec.grid
    shown = min(grid.num_points, 5)
    lines = [fill(_estimate(plan, cores), 80)]
    for number in range(shown):
        told = _named(grid.settings(number))
        lines.append(fill(f"{number}: {told}", 80, subsequent_indent="   "))
    if grid.num_points > shown:
        lines.append("...")
    return "\n".join(lines) + "\n"


def _named(settings: dict[str, Any]) -> str:
    """Settings as a line; of their names the last part where no other has it."""
    last = {name: name.rpartition(".")[2] for name in settings}
    several = {part for part in last.values() if list(last.values()).count(part) > 1}
    return " ".join(
        f"{name if last[name] in several else last[name]}={_shown(value)}"
        for name, value in settings.items()
    )


def _shown(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


@contextmanager
def _progress(total: int) -> Iterator[Callable[[Report], None]]:
    """Runs done of all, failed, a second, and the time left; on stderr, for terminals only."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TextColumn
    from rich.text import Text

    from agentsim.report.durations import count, duration

    class Rate(ProgressColumn):
        """What is left follows from the runs made now, not from those found on disk."""

        def render(self, task: Any) -> Text:
            ran, elapsed = task.fields["ran"], task.elapsed or 0.0
            if not ran or not elapsed:
                return Text("")
            left = (task.total - task.completed) * elapsed / ran
            told = duration(left) if left > 60 else f"{left:.0f} s"
            return Text(f"{ran / elapsed:,.1f} runs/s, {told} left")

    columns = (
        TextColumn("sweep:"),
        BarColumn(20),
        MofNCompleteColumn(),
        TextColumn("{task.description}"),
        Rate(),
    )
    silent = not sys.stderr.isatty()
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=silent) as shown:
        task = shown.add_task("", total=total, ran=0)

        def tell(report: Report) -> None:
            bad = report.done - report.statuses["ok"]
            failed = f"{count(bad, 'failure')}," if bad else ""
            shown.update(
                task,
                completed=report.done,
                ran=report.ran,
                description=failed,
            )

        yield tell


def _text(report: Report, plan: Plan, by: Figure) -> str:
    from textwrap import fill

    from agentsim.report.durations import count
    from agentsim.report.layout import on_screen, plain_table
    from agentsim.study.sweep.summary import best, reasons

    kept = f", {report.reused:,} of them from before" if report.reused else ""
    parts = [f"{count(report.total, 'run')}{kept}: {report.target / 'sweep.parquet'}\n"]
    names = [name for axis in plan.spec.grid.axes if len(axis.rows) > 1 for name in axis.names]
    figures = list(dict.fromkeys((by, *plan.spec.figures)))[:3]
    rows = best(report.target, by, [*names, *(figure.name for figure in figures)])
    if rows:
        table = plain_table(("point", "settings", *(_head(figure) for figure in figures)))
        for column in table.columns[2:]:
            column.justify = "right"
        for row in rows:
            settings = _named({name: row[name] for name in names if row[name] is not None})
            values = (_value(row[figure.name]) for figure in figures)
            table.add_row(f"{row['point']}", settings, *values)
        parts.append(f"Best by {by.label}:\n{on_screen(table)}")
    if failed := reasons(report.target):
        lines = [f"Failed: {sum(number for *_, number in failed):,}"]
        for status, reason, number in failed:
            told = f"{number:,} {status}: {reason}"
            lines.append(fill(told, 80, initial_indent="  ", subsequent_indent="    "))
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def _head(figure: Figure) -> str:
    return f"{figure.label}, {figure.unit}"


def _value(value: float | None) -> str:
    from agentsim.report.durations import significant

    if value is None:
        return "-"
    return significant(value) if abs(value) >= 0.1 else f"{value:.3g}"


def _json(report: Report, by: Figure) -> str:
    from agentsim.cli.screen import json_text
    from agentsim.study.sweep.summary import best, reasons

    failed = [
        {"status": status, "reason": reason, "runs": number}
        for status, reason, number in reasons(report.target)
    ]
    return json_text(
        {
            "dataset": str(report.target / "sweep.parquet"),
            "runs": report.total,
            "reused": report.reused,
            "statuses": dict(sorted(report.statuses.items())),
            "failures": failed,
            "by": by.name,
            "best": best(report.target, by),
        }
    )
