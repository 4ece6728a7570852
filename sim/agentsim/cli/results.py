"""The files that ``agentsim replay`` leaves: checked before anything runs, written at the end."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from agentsim.errors import ConfigError

if TYPE_CHECKING:
    from agentsim.domain.records import Run
    from agentsim.report.figures import Summary


class Results(NamedTuple):
    """Where a run goes, as far as that was asked: its tables, a figure, its events, its report."""

    folder: Path | None
    figure: Path | None
    events: Path | None
    report: Path | None

    def write(self, run: Run, summary: Summary, trace: str) -> None:
        """Write figure, events and report; the tables were written as the run went.

        Raises
        ------
        UserError
            If the disk refuses.
        """
        from agentsim.report.plots.page import draw
        from agentsim.report.timeline.write import write_timeline

        if self.figure is not None:
            draw(run, self.figure, ["prefill"], option="--plot")
        if self.events is not None:
            write_timeline(run, self.events)
        if self.report is not None:
            from agentsim.report.html.page import write_page
            from agentsim.report.html.run_page import run_page

            write_page(run_page(run, summary, trace), self.report)


def check_results(
    out: str | None,
    plot: str | None,
    timeline: str | None,
    report: str | None,
    *,
    force: bool,
) -> Results:
    """What the options ask for, if all of it can be written.

    Raises
    ------
    UserError
        Naming the option.
    """
    from agentsim.report.html.page import check_report
    from agentsim.report.plots.page import ENDINGS
    from agentsim.report.store import check_target
    from agentsim.report.target import check_file
    from agentsim.report.timeline.write import ENDINGS as TIMELINES

    if force and not (out or plot or timeline or report):
        raise ConfigError(
            "--force: there is no --out, --plot, --timeline or --report to replace anything"
        )
    if out is not None:
        check_target(Path(out), force=force)
    return Results(
        Path(out) if out is not None else None,
        check_file("--plot", plot, ENDINGS, force=force) if plot is not None else None,
        check_file("--timeline", timeline, TIMELINES, force=force) if timeline else None,
        check_report(report, force=force) if report is not None else None,
    )
