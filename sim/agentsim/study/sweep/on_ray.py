"""Sweeps on a Ray cluster: `Cluster`, and the traces its workers get from the object store."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from agentsim.domain.trace import Trace
from agentsim.errors import ConfigError
from agentsim.study.sweep.backends import Lost, Points
from agentsim.study.sweep.points import digest
from agentsim.study.sweep.work import Done, Work

#: Handfuls handed out for each CPU, so that none waits for the next.
_AHEAD = 2


@dataclass(frozen=True, slots=True)
class Cluster:
    """The CPUs of a Ray cluster; on each of its machines agentsim is installed.

    Attributes
    ----------
    address : str or None
        Of the cluster, as ``ray.init`` takes it; None: one of this machine alone, for this sweep.
    jobs : int or None
        Runs at a time; None: as many as the cluster has CPUs.
    """

    address: str | None = None
    jobs: int | None = None

    def run(self, work: Work, handfuls: Iterator[Points]) -> Iterator[list[Done] | Lost]:
        """See `backends.Backend`."""
        ray = import_ray()
        with _connected(ray, self.address, self.jobs):
            shared = replace(work, traces=tuple(_stored(ray, each) for each in work.traces))
            task = ray.remote(max_retries=0)(_on_worker)
            common = ray.put(shared)
            most = _AHEAD * (self.jobs or int(ray.cluster_resources().get("CPU", 1)))
            in_flight: dict[Any, Points] = {}
            while True:
                while len(in_flight) < most and (points := next(handfuls, None)) is not None:
                    in_flight[task.remote(common, points)] = points
                if not in_flight:
                    return
                ended, _ = ray.wait(list(in_flight), num_returns=1)
                points = in_flight.pop(ended[0])
                try:
                    yield ray.get(ended[0])
                except (ray.exceptions.WorkerCrashedError, ray.exceptions.OutOfMemoryError) as e:
                    yield Lost(points, str(e).strip().splitlines()[0])


def import_ray() -> Any:
    """The package.

    Raises
    ------
    ConfigError
        If it is not installed.
    """
    try:
        import ray
    except ImportError as error:
        raise ConfigError("--backend ray: needs Ray: pip install 'agentsim[ray]'") from error
    return ray


@contextlib.contextmanager
def _connected(ray: Any, address: str | None, jobs: int | None) -> Iterator[None]:
    """Ray, left as it was found."""
    if ray.is_initialized():
        yield
        return
    local = {"num_cpus": jobs, "include_dashboard": False} if address is None else {}
    try:
        ray.init(address=address or "local", log_to_driver=False, logging_level="error", **local)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise ConfigError(f"--ray-address {address}: {str(error).splitlines()[0]}") from error
    try:
        yield
    finally:
        ray.shutdown()


def _on_worker(work: Work, points: Points) -> list[Done]:
    return work(points)


def _stored(ray: Any, read: Callable[[], Trace]) -> FromStore:
    """A trace in the object store, in memory whatever it was."""
    trace = read()
    whole = Trace(tuple(trace), trace.header, trace.notes)
    return FromStore(digest(whole), ray.put(whole))


@dataclass(frozen=True, slots=True)
class FromStore:
    """A trace that each worker fetches from the object store, once.

    Attributes
    ----------
    digest : str
        By which it is known.
    ref : ray.ObjectRef
    """

    digest: str
    ref: Any = field(compare=False)

    def __call__(self) -> Trace:
        """The trace."""
        return _fetch(self)


@functools.lru_cache(maxsize=2)
def _fetch(stored: FromStore) -> Trace:
    trace: Trace = import_ray().get(stored.ref)
    return trace
