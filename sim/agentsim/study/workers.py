"""Runs in several processes, in the order in which they were asked for."""

from __future__ import annotations

import functools
import os
import pickle
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, TypeVar

#: Seconds after which a process whose parent is gone has noticed.
_WATCH_S = 0.5

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
        mine = {"initializer": belong_to, "initargs": (os.getpid(),)}
        with Parallel(n_jobs=jobs, return_as="generator", **mine) as parallel:

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


def belong_to(parent: int) -> None:
    """Leave Ctrl-C to the parent process, and end this one when that is gone.

    Joblib's processes outlive a parent that was killed, by five minutes.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_WATCH_S)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
