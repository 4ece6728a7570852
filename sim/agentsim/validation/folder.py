"""Compare all measured runs of a folder, several at a time: `validate`."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from agentsim.machine.profiles import find_profile
from agentsim.validation.case import Case, NotSimulated
from agentsim.validation.compare import (
    SAMPLES,
    Simulated,
    put_together,
    simulate_figures,
    simulations,
)
from agentsim.validation.layouts import read_cases
from agentsim.validation.results import Comparison, Validation


@dataclass(frozen=True, slots=True)
class _Task:
    """One simulation, of the case at a place in the order of reading.

    Attributes
    ----------
    number : int
        Its place in `compare.simulations`.
    """

    place: int
    number: int
    case: Case
    repeat: int
    sample: tuple[int, int] | None
    sets: tuple[str, ...]
    profile: str | None
    logged_blocks: bool

    def run(self) -> tuple[int, int, Simulated | NotSimulated]:
        """Both places and what came out."""
        found = simulate_figures(
            self.case,
            self.repeat,
            sets=self.sets,
            profile=self.profile,
            logged_blocks=self.logged_blocks,
            sample=self.sample,
        )
        return self.place, self.number, found


def validate(
    folder: Path,
    *,
    sets: Sequence[str] = (),
    profile: str | None = None,
    logged_blocks: bool = False,
    samples: int = SAMPLES,
    jobs: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Validation:
    """Simulate all measured runs of a folder and compare; the same for any number of jobs.

    Parameters
    ----------
    folder : Path
        In one of the layouts of `agentsim.validation.layouts`, or a folder of such folders.
    sets, profile, logged_blocks
        As for `compare.simulate_case`.
    samples : int
        Parameter sets for the intervals; 0: none.
    jobs : int or None
        Processes; None: as many as there are cores.
    progress : callable or None
        Called with (simulations done, simulations in all).

    Raises
    ------
    UserError
        If a file cannot be read, there is no run, or no such profile.
    """
    if profile is not None:
        find_profile(profile)
    cases = read_cases(folder)
    tasks = [
        _Task(place, number, case, repeat, sample, tuple(sets), profile, logged_blocks)
        for place, case in enumerate(cases)
        if isinstance(case, Case)
        for number, (repeat, sample) in enumerate(simulations(case, samples))
    ]
    tasks.sort(key=lambda task: -task.case.num_requests)
    found: dict[int, dict[int, Simulated | NotSimulated]] = {}
    for done, (place, number, simulated) in enumerate(_run(tasks, jobs)):
        found.setdefault(place, {})[number] = simulated
        if progress is not None:
            progress(done + 1, len(tasks))
    compared: list[Comparison] = []
    left: list[NotSimulated] = []
    for place, case in enumerate(cases):
        result: Comparison | NotSimulated
        if isinstance(case, Case):
            result = put_together(case, [found[place][n] for n in sorted(found[place])])
        else:
            result = case
        if isinstance(result, Comparison):
            compared.append(result)
        else:
            left.append(result)
    return Validation(tuple(compared), tuple(left))


def _run(
    tasks: Sequence[_Task], jobs: int | None
) -> Iterator[tuple[int, int, Simulated | NotSimulated]]:
    """What comes out of the tasks, in any order."""
    from joblib import Parallel, cpu_count, delayed

    workers = min(jobs or cpu_count(), len(tasks))
    if workers <= 1:
        yield from (task.run() for task in tasks)
        return
    # one task at a time: the long ones, which come first, must not wait for one another
    parallel = Parallel(n_jobs=workers, batch_size=1, return_as="generator_unordered")
    yield from parallel(delayed(_in_worker)(task) for task in tasks)


def _in_worker(task: _Task) -> tuple[int, int, Simulated | NotSimulated]:
    """A task in a process that leaves Ctrl-C to the one that started it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    return task.run()
