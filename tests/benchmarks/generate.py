"""Traces of agent calls of any length: ``python tests/benchmarks/generate.py CALLS FILE``.

Each session is one agent of 50 to 100 calls. The first prompt is a system prompt that all sessions
share and a task of its own; each later one is the prompt before, its answer, and a tool's result.
Lines are written as they are drawn: memory does not grow with the trace.
"""

import json
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

SYSTEM_TOKENS = 1500
HEADER = {"type": "header", "format": "agentsim-trace", "version": 1, "time_unit": "s"}


def session_calls(name: str, num_calls: int, draw: random.Random) -> Iterator[dict[str, Any]]:
    """The calls of one session, in order, as v1 objects."""
    task_tokens = draw.randint(300, 700)
    input_tokens = SYSTEM_TOKENS + task_tokens
    output_tokens = draw.randint(50, 300)
    call = {"type": "call", "session": name, "id": "0"}
    size = {"input_tokens": input_tokens, "output_tokens": output_tokens}
    yield call | size | {"prompt": [["system", SYSTEM_TOKENS], ["~task", task_tokens]]}
    for turn in range(1, num_calls):
        keep = input_tokens + output_tokens
        input_tokens = keep + draw.randint(50, 450)
        output_tokens = draw.randint(50, 300)
        call = {"type": "call", "session": name, "id": str(turn)}
        size = {"input_tokens": input_tokens, "output_tokens": output_tokens}
        before = {"extends": str(turn - 1), "keep": keep, "delay": draw.randint(500, 6000) / 1000}
        yield call | before | size


def lines(num_calls: int, seed: int = 0) -> Iterator[str]:
    """The lines of a trace of exactly `num_calls` calls; the last session may be short."""
    draw = random.Random(seed)
    yield json.dumps(HEADER)
    session = 0
    while num_calls > 0:
        turns = min(draw.randint(50, 100), num_calls)
        for call in session_calls(f"s{session}", turns, draw):
            yield json.dumps(call, separators=(",", ":"))
        num_calls -= turns
        session += 1


def write(num_calls: int, path: Path, seed: int = 0) -> None:
    """Write the trace of `num_calls` calls to `path`."""
    with path.open("w", encoding="utf-8") as file:
        file.writelines(f"{line}\n" for line in lines(num_calls, seed))


if __name__ == "__main__":
    if len(sys.argv) != 3 or not sys.argv[1].isdecimal():
        sys.exit(f"usage: {sys.argv[0]} CALLS FILE")
    write(int(sys.argv[1]), Path(sys.argv[2]))
