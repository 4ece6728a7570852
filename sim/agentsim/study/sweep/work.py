"""What a worker does: points in, rows out. `Work` is sent to it, with each handful of points."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from agentsim.domain.trace import Trace
from agentsim.errors import TraceError, UserError
from agentsim.study.evaluate import evaluate
from agentsim.study.figures import read_figure
from agentsim.study.sweep.points import Point, Source, digest
from agentsim.study.sweep.rows import Status, row
from agentsim.study.variants import Variant
from agentsim.workload.formats import read_trace


@dataclass(frozen=True, slots=True)
class Done:
    """A run that came to an end.

    Attributes
    ----------
    line : bytes
        Its row as JSON.
    seconds : float
        What it took.
    """

    id: str
    status: Status
    line: bytes
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Work:
    """All that the runs of a sweep have in common.

    Attributes
    ----------
    traces : tuple of callable
        Each gives one of the traces; called for each run, so it keeps what it read.
    figures : tuple of str
        As `read_figure` takes them.
    prices : dict
        Arguments of `billing.read_terms`.
    """

    sources: tuple[Source, ...]
    traces: tuple[Callable[[], Trace], ...]
    figures: tuple[str, ...]
    samples: int
    prices: dict[str, Any]

    def __call__(self, points: tuple[Point, ...]) -> list[Done]:
        """Run points, whatever becomes of them."""
        return [self._run(point) for point in points]

    def _run(self, point: Point) -> Done:
        began = time.perf_counter()
        trace = self.traces[point.source]()
        status: Status = "ok"
        outcome = None
        reason = point.failure
        if point.config is not None:
            try:
                outcome = evaluate(
                    trace,
                    Variant("", point.config),
                    [read_figure(text) for text in self.figures],
                    prices=self.prices,
                    samples=self.samples,
                )
                reason = outcome.failure
            except UserError as error:
                reason = str(error)
            except MemoryError:
                reason = "out of memory"
            except Exception as error:
                status, reason = "bug", f"{type(error).__name__}: {error}"
        if reason is not None:
            reason = " ".join(reason.split())
            status = "failed" if status == "ok" else status
        done = row(point, self.sources[point.source], status, reason, outcome)
        seconds = time.perf_counter() - began
        return Done(point.id, status, msgspec.json.encode(done), seconds)

    def lost(self, point: Point, reason: str) -> Done:
        """What is written of a point whose process died, twice."""
        found = row(point, self.sources[point.source], "died", reason)
        return Done(point.id, "died", msgspec.json.encode(found))


@dataclass(frozen=True, slots=True)
class FromFile:
    """A trace that each process reads from its file, once.

    Attributes
    ----------
    path, digest
        Of `Source`.
    """

    path: Path
    digest: str

    def __call__(self) -> Trace:
        """The trace.

        Raises
        ------
        TraceError
            If its file was changed since the sweep began.
        """
        return _read(self.path, self.digest)


@functools.lru_cache(maxsize=2)
def _read(path: Path, expected: str) -> Trace:
    trace = read_trace(path)
    if digest(trace) != expected:
        raise TraceError(f"{path}: was changed while the sweep ran")
    return trace
