"""How many runs go on at a time, and where: one after the other, in processes, or on Ray.

A backend takes handfuls of points and gives back, in any order, what became of them; `Lost` are
those whose process died, which says nothing about most of them.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Protocol

from agentsim.study.sweep.points import Point
from agentsim.study.sweep.work import Done, Work
from agentsim.study.workers import belong_to

Points = tuple[Point, ...]

#: Handfuls handed out for each process, so that none waits for the next.
_AHEAD = 3


@dataclass(frozen=True, slots=True)
class Lost:
    """Points in flight when a process died.

    Attributes
    ----------
    reason : str
        What is known of its death.
    """

    points: Points
    reason: str


class Backend(Protocol):
    """Runs points."""

    def run(self, work: Work, handfuls: Iterator[Points]) -> Iterator[list[Done] | Lost]:
        """What became of each handful, as it ends.

        `handfuls` may be asked for the next ones from another thread.
        """
        ...


class Serial:
    """One after the other in this process."""

    def run(self, work: Work, handfuls: Iterator[Points]) -> Iterator[list[Done] | Lost]:
        """See `Backend`."""
        return (work((point,)) for points in handfuls for point in points)


@dataclass(frozen=True, slots=True)
class Processes:
    """Processes of this machine, by joblib.

    Attributes
    ----------
    jobs : int
        How many.
    """

    jobs: int

    def run(self, work: Work, handfuls: Iterator[Points]) -> Iterator[list[Done] | Lost]:
        """See `Backend`."""
        from joblib import Parallel, delayed

        if self.jobs == 1:  # joblib would run them in this process, too
            yield from Serial().run(work, handfuls)
            return
        while True:
            flight = _Flight(handfuls)
            parallel = Parallel(
                n_jobs=self.jobs,
                backend="loky",
                return_as="generator_unordered",
                batch_size=1,
                pre_dispatch=_AHEAD * self.jobs,
                initializer=belong_to,
                initargs=(os.getpid(),),
            )
            try:
                tasks = (delayed(_in_process)(work, points) for points in flight)
                for first, done in parallel(tasks):
                    flight.land(first)
                    yield done
            except BrokenProcessPool as error:
                yield Lost(flight.stop(), str(error).splitlines()[0])
            if flight.is_last:
                return


class _Flight:
    """Handfuls on their way through processes; joblib asks for the next from threads of its own."""

    def __init__(self, handfuls: Iterator[Points]) -> None:
        self._handfuls = handfuls
        self._away: dict[int, Points] = {}
        self._lock = threading.Lock()
        self._is_stopped = False
        self.is_last = False

    def __iter__(self) -> Iterator[Points]:
        while (points := self._next()) is not None:
            yield points

    def _next(self) -> Points | None:
        with self._lock:
            if self._is_stopped:
                return None
            points = next(self._handfuls, None)
            if points is None:
                self.is_last = True
            else:
                self._away[points[0].number] = points
            return points

    def land(self, first: int) -> None:
        """The handful that begins with point `first` has come back."""
        del self._away[first]

    def stop(self) -> Points:
        """Send no more; all points that have not come back."""
        with self._lock:
            self._is_stopped = True
            return tuple(point for points in self._away.values() for point in points)


def _in_process(work: Work, points: Points) -> tuple[int, list[Done]]:
    return points[0].number, work(points)
