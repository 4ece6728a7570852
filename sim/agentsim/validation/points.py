"""Tables of single points: closed loops of one kind of request, batches, and grids of prompts.

Recognised by their columns: ``concurrency`` (or a load in words) with fixed lengths; ``batch`` and
``output_tok_per_s`` of an offline batch; ``longest_prefix_sent_before_tokens`` of a grid in which
all prompts are prefixes of one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

from agentsim.domain.trace import Session, Trace
from agentsim.domain.units import NS_PER_S
from agentsim.validation.case import Case, NotSimulated
from agentsim.validation.columns import figures_in
from agentsim.validation.draws import one_call
from agentsim.validation.servers import assumed, gpu_name, read_server
from agentsim.validation.tables import Record, columns_of_file, read_table

_LOOP = ("model", "prompt_tokens", "output_tokens")
_BATCH = ("gpu", "model", "batch", "output_tokens", "output_tok_per_s")
_GRID = ("gpu", "model", "prompt_tokens", "longest_prefix_sent_before_tokens", "concurrency")
#: Requests that each client of a closed loop sends one after another.
NUM_IN_TURN = 10
#: Tokens of a "short prompt".
SHORT_PROMPT = 16
#: When the requests of a grid's point come, after the prompt that was sent before.
_PAUSE_NS = 1000 * NS_PER_S
_IN_FLIGHT = re.compile(r"closed loop, (\d+) in flight\b.*")


def is_loop_table(path: Path) -> bool:
    """Whether a CSV file has one closed loop a row."""
    columns = set(columns_of_file(path))
    is_told = {"concurrency", "loop"} <= columns or "load" in columns
    return set(_LOOP) <= columns and is_told


def is_batch_table(path: Path) -> bool:
    """Whether a CSV file has one offline batch a row."""
    return set(_BATCH) <= set(columns_of_file(path))


def is_grid(path: Path) -> bool:
    """Whether a CSV file has one point of a grid a row."""
    return set(_GRID) <= set(columns_of_file(path))


def is_routed_table(path: Path) -> bool:
    """Whether a CSV file has one run of several replicas behind a router a row."""
    return {"gpu", "model", "replicas", "routing"} <= set(columns_of_file(path))


def read_routed_table(path: Path) -> Iterator[Case | NotSimulated]:
    """Runs of several replicas: none is simulated, each says why."""
    for number, row in enumerate(read_table(path), 1):
        run_id = f"{path.parent.name}/{path.stem}/{number}"
        hidden = "which conversations there were is not in the source"
        reason = read_server(row).obstacle or hidden
        yield NotSimulated(run_id, path.parent.name, reason)


def read_loop_table(path: Path) -> Iterator[Case | NotSimulated]:
    """The runs of a table of closed loops.

    Raises
    ------
    UserError
        If a column or a value is missing or wrong.
    """
    for number, row in enumerate(read_table(path, _LOOP), 1):
        run_id = f"{path.parent.name}/{path.stem}/{number}"
        clients = _clients(row)
        obstacle = read_server(row).obstacle
        if obstacle is None and clients is None:
            obstacle = f"load {row.text('load')!r}: not one closed loop of known size"
        for column in ("prompt_tokens", "output_tokens"):
            if obstacle is None and not row.text(column).isdecimal():
                obstacle = f"{column} {row.text(column)!r}: no single length"
        if obstacle is None and not figures_in(row):
            obstacle = "the source has no figure of it"
        if obstacle is not None or clients is None:
            yield NotSimulated(run_id, path.parent.name, obstacle or "")
            continue
        tokens, made = row.count("prompt_tokens", 1), row.count("output_tokens", 1)
        is_gap = "load" in row.fields
        yield _case(
            run_id,
            row,
            figures_in(row, itl="gap" if is_gap else "itl"),
            _loop(clients * NUM_IN_TURN, tokens, made),
            (f"agents.num_agents={clients}",),
            assumed("requests", clients * NUM_IN_TURN, f"{NUM_IN_TURN} of each client in turn"),
        )


def read_batch_table(path: Path) -> Iterator[Case | NotSimulated]:
    """The runs of a table of offline batches: all together, each of the same output length."""
    for number, row in enumerate(read_table(path, _BATCH), 1):
        batch, made = row.count("batch", 1), row.count("output_tokens", 1)
        rate = row.number("output_tok_per_s")
        if not rate:
            raise row.fault("output_tok_per_s", "a rate above 0")
        yield _case(
            f"{path.parent.name}/{path.stem}/{number}",
            row,
            {("output_rate", "value"): rate, ("e2e", "mean"): batch * made / rate},
            _loop(batch, SHORT_PROMPT, made),
            ("agents.arrival=recorded",),
            assumed("prompt_tokens", SHORT_PROMPT, "the source says: short prompt"),
        )


def read_grid(path: Path) -> Iterator[Case | NotSimulated]:
    """The points of a grid: what was sent before is in the prefix cache."""
    source = path.parents[1].name if path.parent.name == "grids" else path.parent.name
    for number, row in enumerate(read_table(path, _GRID), 1):
        figures = {}
        for column, statistic in (("latency_mean_s", "mean"), ("latency_p95_s", "p95")):
            if row.has(column):
                figures["e2e", statistic] = row.number(column)
        yield _case(
            f"{source}/{path.stem}/{number}",
            row,
            figures,
            _grid_point(row),
            ("agents.arrival=recorded",),
            assumed("network", "none", "the client was elsewhere; about 0.1 s a request"),
            part=1,
        )


def _case(
    run_id: str,
    row: Record,
    measured: dict[tuple[str, str], float],
    trace: Callable[[int], Trace],
    settings: tuple[str, ...],
    *made: dict[str, object],
    part: int | None = None,
) -> Case | NotSimulated:
    source = run_id.partition("/")[0]
    server = read_server(row)
    if server.obstacle is not None:
        return NotSimulated(run_id, source, server.obstacle)
    longest = () if row.has("max_model_len") else ("engine.max_model_len=-1",)
    return Case(
        run_id,
        source,
        gpu_name(row),
        row.text("model"),
        measured,
        trace,
        (*server.settings, *settings, *longest),
        part=part,
        num_repeats=1,
        preset=server.preset,
        assumptions=(*server.assumptions, *made),
    )


def _clients(row: Record) -> int | None:
    """Clients of a closed loop; None where the load is said in other words."""
    if row.has("concurrency"):
        return row.count("concurrency", 1)
    match = _IN_FLIGHT.fullmatch(row.text("load"))
    return int(match[1]) if match else None


def _loop(count: int, prompt_tokens: int, output_tokens: int) -> Callable[[int], Trace]:
    """Requests with nothing in common, in turn."""

    def trace(_: int) -> Trace:
        segments = (("~own", prompt_tokens),)
        return Trace([one_call(f"{n:06d}", 0, segments, output_tokens) for n in range(count)])

    return trace


def _grid_point(row: Record) -> Callable[[int], Trace]:
    tokens = row.count("prompt_tokens", 1)
    before = row.count("longest_prefix_sent_before_tokens")
    output, count = row.count_or("output_tokens", 1, 1), row.count("concurrency", 1)

    def trace(_: int) -> Trace:
        sessions: list[Session] = []
        if before:
            sessions.append(one_call("0/0", 0, (("grid", before),), output))
        prompt = (("grid", tokens),)
        sessions += [one_call(f"1/{n}", _PAUSE_NS, prompt, output) for n in range(count)]
        return Trace(sessions)

    return trace
