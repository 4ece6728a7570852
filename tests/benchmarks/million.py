"""Generated traces of 10,000 to 1,000,000 agent calls: ``python million.py``.

Time must grow with the number of calls, not faster, and memory must stay small. The time of a
trace of ten calls is taken off before the exponent is fitted: start-up would flatter it. Growth is
measured with 16 agents, whose prompts the GPU holds, so that a call is the same work in each trace;
64 agents overfill it.
"""

import tempfile
from math import log
from pathlib import Path

import generate
from measure import Cost, Row, agentsim, best_of, ratio, run, show, yardstick

SIZES = {10_000: 3, 100_000: 2, 1_000_000: 1}
"""Calls of each trace, and how many times it is run."""
MANY = max(SIZES)


def replay(num_calls: int, num_agents: int, folder: Path) -> list[str]:
    """The command that replays a new trace of so many calls and keeps its columns."""
    trace = folder / f"{num_calls}.jsonl"
    generate.write(num_calls, trace)
    return agentsim(
        "replay", str(trace), "--gpu", "h100", "--model", "llama-3.1-8b",
        "--agents", str(num_agents),
        "--out", str(folder / f"out{num_calls}"), "--force",
    )  # fmt: skip


def exponent(points: dict[int, float]) -> float:
    """The slope of log time on log calls, by least squares."""
    x = [log(calls) for calls in points]
    y = [log(seconds) for seconds in points.values()]
    mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
    across = sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True))
    return across / sum((a - mean_x) ** 2 for a in x)


def processor_s(cost: Cost) -> float:
    """The processor seconds of a process of ours, which are always known."""
    assert cost.cpu_s is not None
    return cost.cpu_s


def rows() -> list[Row]:
    """Time of each size, how it grows, and memory; and the largest with more agents than fit."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        start = processor_s(run(replay(10, 16, folder)))
        loads = [(calls, 16, times) for calls, times in SIZES.items()] + [(MANY, 64, 1)]
        costs = {
            (calls, agents): best_of(
                times, {"ours": replay(calls, agents, folder), "second": yardstick()}
            )
            for calls, agents, times in loads
        }
    found = []
    for (calls, agents), cost in costs.items():
        goal = 90.0 if calls == MANY else None
        ours, second = cost["ours"], cost["second"]
        load = f"{calls:,} generated agent calls, {agents} agents: whole process"
        found.append(
            Row(load, ours, f"yardstick {second}", ratio(ours, second), at_most=goal,
                aim="then 60" if goal else "")
        )  # fmt: skip
    peak = max(cost["ours"].peak_mib for cost in costs.values()) / 1024
    grows = exponent({calls: processor_s(costs[calls, 16]["ours"]) - start for calls in SIZES})
    return [
        *found,
        Row(f"{MANY:,} calls: memory", f"{peak:.2f} GiB", figure=peak, at_most=1.5,
            unit=" GiB", aim="then 1 GiB"),
        Row("time grows with calls to the power of", f"{grows:.3f}", figure=grows, at_most=1.1),
    ]  # fmt: skip


if __name__ == "__main__":
    show(rows)
