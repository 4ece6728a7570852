"""The loads that are not in a file: requests, agents, and those that differ in one thing only."""

import itertools
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HEADER = {"type": "header", "format": "agentsim-trace", "version": 1, "time_unit": "s"}

Json = dict[str, Any]


def write_lines(path: Path, lines: Iterator[Json] | list[Json]) -> str:
    """Write JSON lines; the path as text."""
    with path.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(line, separators=(",", ":")) + "\n" for line in lines)
    return str(path)


def poisson(num_requests: int, per_s: float = 5.0, seed: int = 42) -> list[Json]:
    """Requests of 1,000 prompt and 200 output tokens with the times of a Poisson process."""
    draw = random.Random(seed)
    times = itertools.accumulate(draw.expovariate(per_s) for _ in range(num_requests))
    return [
        {"id": f"r{index}", "timestamp": round(at, 4), "prompt_tokens": 1000, "output_tokens": 200}
        for index, at in enumerate(times)
    ]


def requests_v1(requests: list[Json]) -> Iterator[Json]:
    """Requests as sessions of one call."""
    yield HEADER
    for request in requests:
        name = request["id"]
        size = {"input_tokens": request["prompt_tokens"], "output_tokens": request["output_tokens"]}
        yield {"type": "session", "session": name, "at": request["timestamp"]}
        yield {"type": "call", "session": name, **size}


SHARED, FIRST, GROWTH, ANSWER, TOOL_S = 1024, 4000, 750, 150, 2.0
"""Agents: shared head, first prompt, tokens a turn adds, tokens of an answer, seconds of a tool."""


def agents_v1(sessions: int, turns: int) -> Iterator[Json]:
    """Agents whose prompts grow by their answers and by what a tool gave."""
    yield HEADER
    for session, turn in itertools.product(range(sessions), range(turns)):
        size = {"input_tokens": FIRST + GROWTH * turn, "output_tokens": ANSWER}
        call = {"type": "call", "session": f"s{session}", "id": str(turn), **size}
        if turn:
            keep = FIRST + GROWTH * (turn - 1) + ANSWER
            yield call | {"extends": str(turn - 1), "keep": keep, "delay": TOOL_S}
        else:
            yield call | {"prompt": [["system", SHARED], ["~task", FIRST - SHARED]]}


def agents_hashed(sessions: int, turns: int, block: int) -> Iterator[Json]:
    """The same agents in Dynamo's `agentic_mooncake`, with chained hashes of `block` tokens."""
    fresh = itertools.count(1 << 40)
    for session, turn in itertools.product(range(sessions), range(turns)):
        tokens = FIRST + GROWTH * turn
        own = (session + 1) << 20
        full = [i if i < SHARED // block else own + i for i in range(tokens // block)]
        row: Json = {
            "request_id": f"s{session}t{turn}",
            "session_id": f"s{session}",
            "input_length": tokens,
            "output_length": ANSWER,
            "hash_ids": full + [next(fresh)] * (tokens % block > 0),
        }
        if turn:
            wait = {"wait_for": [f"s{session}t{turn - 1}"], "delay": 0}
            yield row | wait | {"tool_wait_ms": 1000 * TOOL_S}
        else:
            yield row | {"timestamp": 0, "wait_for": []}


def stretched(trace: Path, factor: int) -> Iterator[Json]:
    """A Mooncake trace at a lower rate: its times multiplied."""
    with trace.open(encoding="utf-8") as file:
        for line in file:
            row = json.loads(line)
            yield row | {"timestamp": row["timestamp"] * factor}


def decoding(num_sequences: int, num_steps: int) -> Iterator[Json]:
    """Sequences that all decode for so many steps."""
    yield HEADER
    size = {"input_tokens": 64, "output_tokens": num_steps}
    for sequence in range(num_sequences):
        yield {"type": "call", "session": f"d{sequence}", **size}


def among_others(num_others: int, num_requests: int) -> Iterator[Json]:
    """Requests of one token, ten a second, beside `num_others` that decode all along."""
    yield from decoding(num_others, 50_000)
    for request in range(num_requests):
        name = f"r{request}"
        yield {"type": "session", "session": name, "at": 1 + request / 10}
        yield {"type": "call", "session": name, "input_tokens": 64, "output_tokens": 1}


def hits(prompt_tokens: int, num_calls: int) -> Iterator[Json]:
    """One agent that asks again and again behind the same prompt, which stays in the cache."""
    yield HEADER
    call = {"type": "call", "session": "s", "output_tokens": 16}
    yield call | {"id": "0", "input_tokens": prompt_tokens}
    for turn in range(1, num_calls):
        behind = {"extends": "0", "keep": prompt_tokens, "input_tokens": prompt_tokens + 16}
        yield call | behind | {"id": str(turn)}


def long_scenario(num_requests: int = 100, seed: int = 0) -> Json:
    """A scenario of the scheduler oracle: long prompts, half of each shared with others."""
    draw = random.Random(seed)
    requests = []
    for index in range(num_requests):
        prompt = [[f"head{index % 10}", 2000], [f"own{index}", draw.randint(1000, 4000)]]
        output = draw.randint(100, 300)
        step = {"id": f"r{index}", "arrival_step": 5 * index}
        requests.append({**step, "prompt": prompt, "output_len": output})
    config = {"num_gpu_blocks": 20_000, "max_num_batched_tokens": 8192}
    return {"name": "long", "config": config, "requests": requests}
