"""Against sched-sim, the fastest simulator in plain Python: ``python against_sched_sim.py``.

Requests of 1,000 + 200 tokens, Poisson at 5/s, llama-3-8b on an A100, 2,048 tokens a step, as files
for the command lines of both. What one more request costs is the slope between two lengths.
"""

import json
import tempfile
from pathlib import Path

import loads
from measure import Cost, Row, agentsim, best_of, ratio, rival, show

TIMES = 3
FEW, MANY = 1_000, 11_000
INSTALL = "pip install sched-sim==0.2.1"


def slope(few: Cost, many: Cost) -> Cost:
    """Of one request."""
    assert few.cpu_s is not None and many.cpu_s is not None
    more = MANY - FEW
    return Cost((many.wall_s - few.wall_s) / more, (many.cpu_s - few.cpu_s) / more)


def per_second(one: Cost) -> str:
    """The time of one, and how many fit a processor second."""
    assert one.cpu_s is not None
    return f"{one}: {1 / one.cpu_s:,.0f}/s"


def commands(interpreter: str, folder: Path) -> dict[str, list[str]]:
    """Ours and theirs, each with few and with many requests."""
    found = {}
    for count in (FEW, MANY):
        requests = loads.poisson(count)
        trace = loads.write_lines(folder / f"{count}.jsonl", loads.requests_v1(requests))
        theirs = folder / f"{count}.json"
        theirs.write_text(json.dumps(requests), encoding="utf-8")
        found[f"ours {count}"] = agentsim(
            "replay", trace, "--gpu", "a100", "--model", "llama-3-8b", "--arrival", "recorded",
            "--set", "engine.max_num_batched_tokens=2048", "--samples", "0",
        )  # fmt: skip
        found[f"theirs {count}"] = [
            interpreter, "-m", "sched_sim.cli", "trace", str(theirs), "--hardware", "a100",
            "--token-budget", "2048", "--no-gantt",
        ]  # fmt: skip
    return found


def rows() -> list[Row]:
    """One row: what one more request costs."""
    interpreter = rival("AGENTSIM_SCHED_SIM_PYTHON", "sched_sim", INSTALL)
    with tempfile.TemporaryDirectory() as name:
        costs = best_of(TIMES, commands(interpreter, Path(name)))
    ours = slope(costs[f"ours {FEW}"], costs[f"ours {MANY}"])
    theirs = slope(costs[f"theirs {FEW}"], costs[f"theirs {MANY}"])
    return [
        Row(
            "sched-sim: requests of 1,000 + 200 tokens, 5/s: one more, whole process",
            per_second(ours),
            per_second(theirs),
            ratio(theirs, ours),
            at_least=2.0,
        )
    ]


if __name__ == "__main__":
    show(rows)
