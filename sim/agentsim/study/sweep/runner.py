"""`run_sweep`: every point of a plan that is not in its folder yet, run and kept."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from agentsim.errors import Interrupted
from agentsim.study.sweep.backends import Backend, Lost, Points
from agentsim.study.sweep.folder import Mode, SweepFolder
from agentsim.study.sweep.points import Plan, Point
from agentsim.study.sweep.rows import RETRIED, columns
from agentsim.study.sweep.work import Done, FromFile, Work

#: Seconds that a handful of points should take, and most points of one: what is sent to a worker at
#: once, and what a killed sweep runs again.
_HANDFUL_S, _MOST_AT_ONCE = 0.1, 64
#: Points run to know how long one takes, and seconds after which no further one is.
_TRIALS, _TRIAL_S = 3, 10.0


class SweepInterrupted(Interrupted):
    """A sweep that was stopped by Ctrl-C; what it had done is in its folder."""

    def __init__(self, done: int, total: int, target: Path) -> None:
        super().__init__(done, total, target)
        self.args = (
            f"interrupted after {done:,} of {total:,} runs; they are in {target}, and the same "
            "command goes on from there",
        )


@dataclass(slots=True)
class Report:
    """How far a sweep is, and what became of it.

    Attributes
    ----------
    total : int
        Points.
    reused : int
        Of them, those that were there before.
    ran : int
        Those run now.
    statuses : Counter
        Of both.
    """

    target: Path
    total: int
    reused: int = 0
    ran: int = 0
    statuses: Counter[str] = field(default_factory=Counter)

    @property
    def done(self) -> int:
        """Points that are on disk."""
        return self.reused + self.ran


@dataclass(frozen=True, slots=True)
class Trial:
    """What a few runs of a plan took.

    Attributes
    ----------
    runs : int
    run_s : float
        Seconds of one, on one core.
    row_bytes : float
        Of one, on disk while the sweep goes on.
    """

    runs: int
    run_s: float
    row_bytes: float


def run_sweep(
    plan: Plan,
    target: Path,
    backend: Backend,
    *,
    mode: Mode = "resume",
    progress: Callable[[Report], None] | None = None,
) -> Report:
    """Run the points of a plan that its folder does not hold, and make the dataset.

    Parameters
    ----------
    target : Path
        The folder, see `folder`; it may hold an earlier part of this sweep.
    mode : {"resume", "extend", "force"}
        See `folder.SweepFolder`.
    progress : callable or None
        Called whenever runs were written.

    Raises
    ------
    UserError
        If the folder cannot be used, or a trace was changed meanwhile.
    SweepInterrupted
        In place of KeyboardInterrupt.
    """
    report = Report(target, plan.num_points)
    work = work_of(plan)
    wanted = columns(plan.spec.figures, plan.spec.samples)
    with SweepFolder(target, plan.about, wanted, mode=mode) as folder:
        todo = _Todo(plan, folder, report)
        try:
            for done in _run(backend, work, todo):
                folder.append(each.line for each in done)
                report.ran += len(done)
                report.statuses.update(each.status for each in done)
                todo.learn(done)
                if progress is not None:
                    progress(report)
            folder.finish(todo.known)
        except KeyboardInterrupt:
            raise SweepInterrupted(report.done, report.total, target) from None
    return report


def work_of(plan: Plan) -> Work:
    """What the runs of a plan have in common."""
    return Work(
        sources=plan.sources,
        traces=tuple(FromFile(source.path.absolute(), source.digest) for source in plan.sources),
        figures=tuple(figure.label for figure in plan.spec.figures),
        samples=plan.spec.samples,
        prices=plan.spec.prices,
    )


def try_out(plan: Plan) -> Trial:
    """Run a few points, from end to end of the plan, to know what the others will take."""
    work, total = work_of(plan), plan.num_points
    numbers = dict.fromkeys((total // 2, total - 1, 0))
    work.traces[0]()
    began = time.perf_counter()
    done: list[Done] = []
    for number in list(numbers)[:_TRIALS]:
        done += work((plan.point(number),))
        if time.perf_counter() - began > _TRIAL_S:
            break
    row_bytes = sum(len(each.line) + 1 for each in done) / len(done)
    return Trial(len(done), sum(each.seconds for each in done) / len(done), row_bytes)


class _Todo:
    """Handfuls of the points that are still to be run, each of about `_HANDFUL_S`.

    Attributes
    ----------
    known : dict of str to int
        Runs that were in the folder and are points of the plan -> which.
    """

    def __init__(self, plan: Plan, folder: SweepFolder, report: Report) -> None:
        self._points = iter(plan.points())
        self._folder, self._report = folder, report
        self._runs, self._seconds = 0, 0.0
        self.known: dict[str, int] = {}

    def learn(self, done: list[Done]) -> None:
        """Take into account what runs took."""
        self._runs += len(done)
        self._seconds += sum(each.seconds for each in done)

    def __iter__(self) -> Iterator[Points]:
        handful: list[Point] = []
        for point in self._points:
            status = self._folder.there.get(point.id)
            if status is not None:
                self.known[point.id] = point.number
                if status not in RETRIED:
                    self._report.reused += 1
                    self._report.statuses[status] += 1
                    continue
            handful.append(point)
            if len(handful) >= self._size():
                yield tuple(handful)
                handful = []
        if handful:
            yield tuple(handful)

    def _size(self) -> int:
        if not self._seconds:
            return 1
        return max(1, min(_MOST_AT_ONCE, int(_HANDFUL_S * self._runs / self._seconds)))


def _run(backend: Backend, work: Work, todo: _Todo) -> Iterator[list[Done]]:
    """What became of all points; one whose process dies is run once more, alone."""
    for found in backend.run(work, iter(todo)):
        if not isinstance(found, Lost):
            yield found
            continue
        for point in found.points:
            for again in backend.run(work, iter([(point,)])):
                yield [work.lost(point, again.reason)] if isinstance(again, Lost) else again
