"""What a step may not depend on: ``python laws.py``.

Two loads each that differ in one thing only; the cost of one more request is the slope between few
and many, so all that is paid once drops out.
"""

import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import loads
from measure import HERE, Cost, Row, best, ratio, run, show

TIMES = 3
FEW, MANY = 500, 2_500
SETTINGS = ("gpu=h100", "model=llama-3.1-8b", "agents.arrival=recorded", "engine.max_num_seqs=512")

Load = Callable[[int, int], Iterator[loads.Json]]


def slopes(load: Load, sizes: tuple[int, int], *arguments: str) -> list[Cost]:
    """What one more of them costs at each of two sizes of the other thing."""
    points = [(size, count) for size in sizes for count in (FEW, MANY)]
    costs: dict[tuple[int, int], list[Cost]] = {point: [] for point in points}
    with tempfile.TemporaryDirectory() as name:
        for point in points * TIMES:
            trace = loads.write_lines(Path(name) / "trace.jsonl", load(*point))
            script = str(HERE / "simulate_alone.py")
            told = json.loads(run([sys.executable, script, trace, *SETTINGS, *arguments]).output)
            costs[point].append(Cost(told["wall_s"], told["cpu_s"]))
    return [slope(best(costs[size, FEW]), best(costs[size, MANY])) for size in sizes]


def slope(few: Cost, many: Cost) -> Cost:
    """Of one."""
    assert few.cpu_s is not None and many.cpu_s is not None
    more = MANY - FEW
    return Cost((many.wall_s - few.wall_s) / more, (many.cpu_s - few.cpu_s) / more)


def law(what: str, load: Load, sizes: tuple[int, int], *arguments: str) -> Row:
    """The row of a law: the larger beside the smaller."""
    small, large = slopes(load, sizes, *arguments)
    name = f"{what} {sizes[1]:,} beside {sizes[0]:,}: simulation"
    return Row(name, large, small, ratio(large, small), at_most=1.5)


def rows() -> list[Row]:
    """Running sequences, and the length of a prompt that is found in the cache."""
    many_blocks, some_blocks = "engine.num_gpu_blocks=900000", "engine.num_gpu_blocks=20000"
    sequences = (16, 256)
    return [
        law("a step with `--exact`, running sequences:", loads.decoding, sequences,
            many_blocks, "--exact"),
        law("a request among running sequences:", loads.among_others, sequences, many_blocks),
        law("a request behind cached tokens:", loads.hits, (1_000, 100_000), some_blocks),
    ]  # fmt: skip


if __name__ == "__main__":
    show(rows)
