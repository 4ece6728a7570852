"""From a run to a file of Chrome trace events: `write_timeline`.

The agents are threads of one process; each replica is a process with its steps and its counters.
"""

from __future__ import annotations

import gzip
import io
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import IO, Any

from agentsim.domain.records import Run
from agentsim.report.document import package_version
from agentsim.report.lanes import tracks_of
from agentsim.report.metrics import replicas_of
from agentsim.report.target import whole_file
from agentsim.report.timeline.agents import AGENTS, agent_events
from agentsim.report.timeline.events import as_json, metadata
from agentsim.report.timeline.steps import REPLICAS, counter_events, step_events

ENDINGS = (".json", ".json.gz")

#: Runs of more steps are condensed.
MAX_STEPS = 100_000


def write_timeline(run: Run, path: Path, *, max_steps: int = MAX_STEPS) -> None:
    """Write a run as Chrome trace events, packed if the name ends in .gz.

    Parameters
    ----------
    run : Run
    path : Path
        A name with one of `ENDINGS`; a file of that name is replaced.
    max_steps : int
        Of a run of more steps, successive decode steps of the same sequences become one slice, and
        each counter is told at most so many times, of all replicas. The file says so.

    Raises
    ------
    UserError
        If the disk refuses.
    """
    is_condensed = run.steps.num_rows > max_steps
    gap_ns = -(-run.makespan_ns * len(replicas_of(run)) // max_steps) if is_condensed else 0
    threads = _threads(run)
    events = chain(
        _names(run, threads),
        agent_events(run, threads),
        step_events(run, is_condensed=is_condensed),
        counter_events(run, least_gap_ns=gap_ns),
    )
    about = _about(run)
    if is_condensed:
        about["condensed"] = (
            "decode steps of the same sequences in a row are one slice, its args say how many; "
            f"counters show the last change in each {gap_ns} ns"
        )
    with whole_file("--timeline", path) as half, _text(half, path.suffix == ".gz") as out:
        out.write('{"displayTimeUnit":"ms","traceEvents":[\n')
        out.write(next(events))
        out.writelines(f",\n{event}" for event in events)
        out.write(f'\n],"otherData":{as_json(about)}}}\n')


@contextmanager
def _text(path: Path, is_packed: bool) -> Iterator[IO[str]]:
    """A text file; letters that UTF-8 cannot say are question marks."""
    with path.open("wb") as file:
        packed = gzip.GzipFile("", "wb", 6, file, mtime=0) if is_packed else None
        with io.TextIOWrapper(packed or file, "utf-8", "replace", newline="\n") as out:
            yield out


def _about(run: Run) -> dict[str, Any]:
    known = ("gpu", "model", "usable_blocks", "block_size", "interrupted")
    told = {name: run.facts[name] for name in known if name in run.facts}
    return {"agentsim": package_version(), "steps": run.steps.num_rows, **told}


def _threads(run: Run) -> dict[tuple[int, int], int]:
    """The thread of each slot and lane: of one number in all processes, as Perfetto wants."""
    first = REPLICAS + max(replicas_of(run)) + 1
    pairs = tracks_of(run).tolist()
    return {(slot, lane): first + place for place, (slot, lane) in enumerate(pairs)}


def _names(run: Run, threads: dict[tuple[int, int], int]) -> Iterator[str]:
    """Names and order of processes and threads."""
    yield metadata("process_name", AGENTS, AGENTS, {"name": "agents"})
    yield metadata("process_sort_index", AGENTS, AGENTS, {"sort_index": AGENTS})
    for (slot, lane), tid in threads.items():
        beside = f", beside {lane}" if lane else ""
        yield metadata("thread_name", AGENTS, tid, {"name": f"agent {slot}{beside}"})
        yield metadata("thread_sort_index", AGENTS, tid, {"sort_index": tid})
    for replica in replicas_of(run):
        pid = REPLICAS + replica
        yield metadata("process_name", pid, pid, {"name": f"replica {replica}"})
        yield metadata("process_sort_index", pid, pid, {"sort_index": pid})
        yield metadata("thread_name", pid, pid, {"name": "steps"})
