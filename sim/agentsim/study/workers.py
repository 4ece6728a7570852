"""Runs in several processes, in the order in which they were asked for."""

from __future__ import annotations

import functools
import pickle
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, TypeVar

T = TypeVar("T")
R = TypeVar("R")


class Workers(Protocol):
    """Calls a function with what all tasks share and each of the tasks; results in their order."""

    def __call__(self, function: Callable[[Any, T], R], tasks: Iterable[T], /) -> Iterator[R]: ...


@contextmanager
def workers(shared: object, jobs: int) -> Iterator[Workers]:
    """As many processes as `jobs` (1: this one), each of which reads `shared` once.

    Parameters
    ----------
    shared : object
        What can be pickled: first argument of every call.
    jobs : int
        Processes, >= 1.
    """
    if jobs == 1:
        yield lambda function, tasks: (function(shared, task) for task in tasks)
        return
    from joblib import Parallel, delayed

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "shared"
        path.write_bytes(pickle.dumps(shared))
        with Parallel(n_jobs=jobs, return_as="generator") as parallel:

            def run(function: Callable[[Any, T], R], tasks: Iterable[T]) -> Iterator[R]:
                calls = (delayed(_call)(function, str(path), task) for task in tasks)
                found: Iterator[R] = parallel(calls)
                return found

            yield run


def _call(function: Callable[[Any, T], R], path: str, task: T) -> R:
    return function(_read(path), task)


@functools.lru_cache(maxsize=1)
def _read(path: str) -> Any:
    return pickle.loads(Path(path).read_bytes())
