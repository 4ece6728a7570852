"""How the benchmarks measure: child processes on one core, in turn, the best of several runs.

Processor seconds are compared, and stand beside wall seconds: on one core they are the same, but
for whoever else is at work on the machine. Start reading at `best_of`.
"""

import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent


class Absent(Exception):
    """A rival or the reference data is not here; the message says what to install."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What a run took, and what it printed; without `cpu_s` only its wall time is known."""

    wall_s: float
    cpu_s: float | None = None
    peak_mib: float = 0.0
    output: str = ""
    errors: str = ""

    def __str__(self) -> str:
        """Wall and processor time, in a unit that suits."""
        cpu = "" if self.cpu_s is None else f" ({readable(self.cpu_s)} CPU)"
        return readable(self.wall_s) + cpu


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table.

    Attributes
    ----------
    load : str
        What was run.
    ours, other : str
        What it took here, and what it is compared with.
    figure : float or None
        What the goal is about: a ratio unless `unit` says otherwise.
    at_most, at_least : float or None
        The goal; without any, the line only reports.
    unit : str
        Of `figure`.
    aim : str
        What is wanted later.
    """

    load: str
    ours: object
    other: object = ""
    figure: float | None = None
    at_most: float | None = None
    at_least: float | None = None
    unit: str = ""
    aim: str = ""

    @property
    def is_kept(self) -> bool:
        """Whether the goal is reached."""
        if self.figure is None:
            return True
        low = -float("inf") if self.at_least is None else self.at_least
        high = float("inf") if self.at_most is None else self.at_most
        return low <= self.figure <= high

    @property
    def goal(self) -> str:
        """The goal in words."""
        bounds = (("at most", self.at_most), ("at least", self.at_least))
        words = [f"{how} {bound:g}{self.unit}" for how, bound in bounds if bound is not None]
        return ", ".join([*words, self.aim] if self.aim else words)

    def __str__(self) -> str:
        """The line in Markdown; a goal that is missed is in bold."""
        figure = "" if self.figure is None else f"{self.figure:.3g}{self.unit}"
        goal = self.goal if self.is_kept else f"**{self.goal}**"
        return f"| {self.load} | {self.ours} | {self.other} | {figure} | {goal} |"


def readable(seconds: float) -> str:
    """A time with three digits and its unit."""
    for unit, scale in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= scale:
            return f"{seconds / scale:.3g} {unit}"
    return f"{seconds / 1e-9:.3g} ns"


def table(rows: list[Row]) -> str:
    """The rows as a Markdown table, below a line that describes the machine."""
    head = "| load | agentsim | beside it | figure | goal |\n| --- | ---: | ---: | ---: | --- |"
    return "\n".join([machine(), "", head, *map(str, rows)])


def machine() -> str:
    """What the figures were measured on."""
    return (
        f"One core of {os.cpu_count()} ({platform.system()} {platform.machine()}), "
        f"{platform.python_implementation()} {platform.python_version()}."
    )


@contextmanager
def one_core() -> Iterator[None]:
    """Children started inside run on one core, where the system lets us say so."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(allowed)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


def run(command: list[str], environment: Mapping[str, str] | None = None) -> Cost:
    """Run a command to its end on one core.

    Parameters
    ----------
    command : list of str
    environment : mapping or None
        Variables beside those of this process.

    Returns
    -------
    Cost
        With the peak of its memory and what it printed.

    Raises
    ------
    RuntimeError
        With the end of its stderr, if it fails.
    """
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err, one_core():
        variables = {**os.environ, **(environment or {})}
        started = time.perf_counter()
        process = subprocess.Popen(command, stdout=out, stderr=err, env=variables)
        _, status, usage = os.wait4(process.pid, 0)
        wall_s = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        output, errors = out.read().decode(), err.read().decode()
    if process.returncode:
        raise RuntimeError(f"{command}: {errors[-2000:]}")
    unit = 1024 * 1024 if sys.platform == "darwin" else 1024
    return Cost(wall_s, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / unit, output, errors)


def best_of(times: int, commands: Mapping[str, list[str]]) -> dict[str, Cost]:
    """Run commands in turn, several times; of each the least wall time and processor time."""
    runs: dict[str, list[Cost]] = {name: [] for name in commands}
    for _ in range(times):
        for name, command in commands.items():
            runs[name].append(run(command))
    return {name: best(costs) for name, costs in runs.items()}


def best(costs: list[Cost]) -> Cost:
    """The least of each time; the output of the last run."""
    cpu = [cost.cpu_s for cost in costs if cost.cpu_s is not None]
    return Cost(
        wall_s=min(cost.wall_s for cost in costs),
        cpu_s=min(cpu) if cpu else None,
        peak_mib=max(cost.peak_mib for cost in costs),
        output=costs[-1].output,
    )


def ratio(ours: Cost, other: Cost) -> float:
    """Of processor seconds; of wall seconds where the other one tells no more."""
    if ours.cpu_s is None or other.cpu_s is None:
        return ours.wall_s / other.wall_s
    return ours.cpu_s / other.cpu_s


def agentsim(*arguments: str) -> list[str]:
    """The command line of this project."""
    return [sys.executable, "-m", "agentsim", *arguments]


def yardstick() -> list[str]:
    """A fixed piece of work that takes about one second: goals in seconds are multiples of it."""
    return [sys.executable, str(HERE / "yardstick.py")]


def rival(variable: str, module: str, install: str) -> str:
    """The interpreter that has a rival.

    Raises
    ------
    Absent
        If the environment names none, or it has not got the module.
    """
    interpreter = os.environ.get(variable, "")
    if not interpreter:
        raise Absent(f"{variable} names no interpreter; into one of its own: {install}")
    try:
        run([interpreter, "-W", "ignore", "-c", f"import {module}"])
    except (OSError, RuntimeError) as error:
        raise Absent(f"{interpreter} has no {module}: {install}\n{error}") from error
    return interpreter


def shared(name: str) -> Path:
    """A file of the reference data: in `AGENTSIM_SHARED`, or in `shared` beside the repository.

    Raises
    ------
    Absent
        If it is not there.
    """
    folder = os.environ.get("AGENTSIM_SHARED", str(HERE.parents[2] / "shared"))
    path = Path(folder) / name
    if not path.exists():
        raise Absent(f"no reference data at {path}: set AGENTSIM_SHARED")
    return path


def show(rows: Callable[[], list[Row]]) -> None:
    """Measure and print a table: what each of these files does when run alone."""
    try:
        print(table(rows()))
    except Absent as error:
        sys.exit(f"skipped: {error}")
