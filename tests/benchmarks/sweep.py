"""How much of the cores a sweep uses: ``python sweep.py``.

Each core could at best do what it does when every core runs a sweep of its own in one process, at
the same time. A sweep in as many processes as cores is compared with that.
"""

import os
import resource
import subprocess
import tempfile
import time
from pathlib import Path

from measure import HERE, Cost, Row, agentsim, best, show

TIMES = 3
SPEC = f"""
trace = "{HERE.parents[1] / "traces" / "swe-agent.jsonl"}"
repeats = 10

[vary]
gpu = ["l4", "l40s", "h100", "a100"]
engine.max_num_seqs = [4, 8, 16, 32, 64]
agents.num_agents = [2, 4, 8, 16, 24]
"""
RUNS = 1_000


def sweeps(folder: Path, commands: list[list[str]]) -> Cost:
    """Sweeps at the same time, each into a folder of its own: until the last one ends."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.perf_counter()
    children = [
        subprocess.Popen([*command, "-o", str(folder / str(number))], stdout=subprocess.DEVNULL)
        for number, command in enumerate(commands)
    ]
    failed = [child.args for child in children if child.wait()]
    wall_s = time.perf_counter() - started
    if failed:
        raise RuntimeError(f"{failed}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Cost(wall_s, cpu_s)


def rows() -> list[Row]:
    """The share of the cores that goes into runs."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    assert cores is not None
    together, apart = [], []
    for _ in range(TIMES):
        with tempfile.TemporaryDirectory() as name:
            spec = Path(name) / "spec.toml"
            spec.write_text(SPEC, encoding="utf-8")
            command = agentsim("sweep", str(spec))
            alone = [*command, "--backend", "serial"]
            apart.append(sweeps(Path(name) / "apart", [alone] * cores))
            together.append(sweeps(Path(name), [[*command, "--jobs", str(cores)]]))
    ours, each = best(together), best(apart)
    assert each.cpu_s is not None
    ideal = Cost(each.wall_s / cores, each.cpu_s / cores)
    return [
        Row(
            f"{RUNS:,} runs in {cores} processes",
            ours,
            f"{ideal} at best",
            ideal.wall_s / ours.wall_s,
            at_least=0.85,
        )
    ]


if __name__ == "__main__":
    show(rows)
