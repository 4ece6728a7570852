"""Folders with one row a request: ``runs.csv`` beside ``requests/RUN_ID.csv[.gz]``.

Times are since the first arrival: ``arrival_s`` with ``ttft_s`` and ``e2e_s`` as a client saw them
(``ok`` 0: it gave up), or ``arrival_s`` with ``queued_s``, ``first_token_s`` and ``last_token_s``
of the engine's own clock.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from agentsim.domain.units import seconds_to_ns
from agentsim.errors import UserError
from agentsim.validation.case import (
    Case,
    Figures,
    MeasuredCall,
    NotSimulated,
    figures_of,
    measured_run,
    only_stage,
)
from agentsim.validation.draws import NUM_REPEATS
from agentsim.validation.loads import Replayed, Sent, with_placeholders
from agentsim.validation.prompts import prompts_of
from agentsim.validation.servers import ENGINES_CLOCK, Server, read_server
from agentsim.validation.tables import Record, read_table
from agentsim.workload.formats import read_trace

_RUN_COLUMNS = ("run_id", "gpu", "model")
_CLIENT = ("arrival_s", "prompt_tokens", "ok", "ttft_s", "e2e_s")
_ENGINE = ("arrival_s", "prompt_tokens", "output_tokens", "queued_s", "first_token_s")


@dataclass(frozen=True, slots=True)
class _Request:
    """A measured request with what is known of its prompt."""

    call: MeasuredCall
    cached_before: int = 0
    is_cache_known: bool = False
    is_engines_clock: bool = False


def is_request_folder(folder: Path) -> bool:
    """Whether a folder is of this layout."""
    return (folder / "runs.csv").is_file() and (folder / "requests").is_dir()


def read_request_folder(folder: Path) -> Iterator[Case | NotSimulated]:
    """The runs of such a folder.

    Raises
    ------
    UserError
        If a file, a column or a value is missing or wrong.
    """
    for row in read_table(folder / "runs.csv", _RUN_COLUMNS):
        run_id = row.text("run_id")
        server = read_server(row, is_sampled=True)
        if server.obstacle is not None:
            yield NotSimulated(run_id, folder.name, server.obstacle)
            continue
        requests = _read_requests(_file_of(folder, run_id), row)
        yield _case(folder, row, requests, server)


def _case(folder: Path, row: Record, requests: Sequence[_Request], server: Server) -> Case:
    calls = [request.call for request in requests]
    timeout_s = row.number_or_none("client_timeout_s")
    settings = [*server.settings, *_arrival(row)]
    if timeout_s:
        settings.append(f"agents.timeout_s={timeout_s}")
    if requests[0].is_engines_clock:
        settings += ENGINES_CLOCK
    run = measured_run(calls)
    num_stages = int(calls[-1].session.partition("/")[0]) + 1
    stages: tuple[Figures, ...] = ()
    if num_stages > 1:
        stages = tuple(_of_stage(figures_of(only_stage(run, n))) for n in range(num_stages))
    measured = figures_of(run)
    is_cache_known = all(request.is_cache_known for request in requests)
    if is_cache_known:
        measured["cached_tokens", "value"] = float(sum(call.cached_tokens for call in calls))
    prompts = prompts_of(
        row,
        [call.prompt_tokens for call in calls],
        [request.cached_before for request in requests],
        may_repeat=not (is_cache_known and not measured["cached_tokens", "value"]),
    )
    load: Replayed | Sent = Sent(tuple(calls), prompts.of_repeat)
    if row.has("trace"):
        trace = read_trace(folder / row.text("trace"))
        is_told = row.text_or("outputs", "") != "placeholders"
        load = Replayed(trace if is_told else with_placeholders(trace))
    return Case(
        row.text("run_id"),
        folder.name,
        row.text("gpu"),
        row.text("model"),
        measured,
        load,
        tuple(settings),
        stages,
        num_repeats=server.repeats(NUM_REPEATS, is_drawn=prompts.is_drawn),
        choices=server.choices,
        num_requests=len(calls),
        preset=server.preset,
        logged_blocks=row.count("num_gpu_blocks", 1) if row.has("num_gpu_blocks") else None,
        assumptions=(*server.assumptions, *prompts.assumptions),
    )


def _arrival(run: Record) -> list[str]:
    if not run.has("trace"):
        return ["agents.arrival=recorded"]
    return ["agents.arrival=closed-loop", f"agents.num_agents={run.count('agents', 1)}"]


def _of_stage(figures: Figures) -> Figures:
    """The figures that a part of a run has: its latencies and failures."""
    return {key: figures[key] for key in figures if key[0] not in ("makespan", "output_rate")}


def _file_of(folder: Path, run_id: str) -> Path:
    for ending in (".csv.gz", ".csv"):
        path = folder / "requests" / f"{run_id}{ending}"
        if path.is_file():
            return path
    raise UserError(f"{folder / 'runs.csv'}: run {run_id!r}: no file requests/{run_id}.csv[.gz]")


def _read_requests(path: Path, run: Record) -> list[_Request]:
    rows = read_table(path, ("arrival_s", "prompt_tokens"))
    if not rows:
        raise UserError(f"{path}: no requests: expected at least one row")
    is_client = "ttft_s" in rows[0].fields
    if missing := [c for c in (_CLIENT if is_client else _ENGINE) if c not in rows[0].fields]:
        raise UserError(f"{path}:1: missing columns: {', '.join(missing)}")
    rows.sort(key=lambda row: row.number("arrival_s"))
    stages = _stages(run, len(rows))
    first_s = rows[0].number("arrival_s")
    if is_client:
        return [_by_client(r, run, n, stages[n], first_s) for n, r in enumerate(rows)]
    # the engine's clock starts at another moment: nothing is queued before it arrives
    lag_s = min(row.number("queued_s") - row.number("arrival_s") for row in rows)
    return [_by_engine(r, n, stages[n], first_s, lag_s) for n, r in enumerate(rows)]


def _by_client(row: Record, run: Record, number: int, stage: int, first_s: float) -> _Request:
    at_ns = seconds_to_ns(row.number("arrival_s") - first_s)
    e2e_ns = seconds_to_ns(row.number("e2e_s"))
    is_ok = row.is_on("ok", True)
    first_ns = seconds_to_ns(row.number("ttft_s")) if is_ok else -1 - at_ns
    if first_ns > e2e_ns:
        raise row.fault("ttft_s", "no more than e2e_s")
    column = "output_tokens" if row.has("output_tokens") else None
    outputs = row.count(column, 1) if column else run.count("requested_output_tokens", 1)
    call = MeasuredCall(
        session=f"{stage}/{number:07d}",
        call="main/0",
        submitted_ns=at_ns,
        first_token_ns=at_ns + first_ns,
        finished_ns=at_ns + e2e_ns,
        prompt_tokens=row.count("prompt_tokens", 1 if is_ok else 0),
        output_tokens=outputs,
        cached_tokens=row.count_or("cached_tokens", 0),
        status="finished" if is_ok else "failed",
    )
    return _Request(call, is_cache_known=not is_ok or row.has("cached_tokens"))


def _by_engine(row: Record, number: int, stage: int, first_s: float, lag_s: float) -> _Request:
    start_s = first_s + lag_s
    at_s, first_token_s = row.number("arrival_s") - first_s, row.number("first_token_s") - start_s
    last_s = row.number("last_token_s") - start_s
    if first_token_s < at_s:
        raise row.fault("first_token_s", "no less than the arrival")
    if last_s < first_token_s:
        raise row.fault("last_token_s", "no less than first_token_s")
    call = MeasuredCall(
        session=f"{stage}/{number:07d}",
        call="main/0",
        submitted_ns=seconds_to_ns(at_s),
        first_token_ns=seconds_to_ns(first_token_s),
        finished_ns=seconds_to_ns(last_s),
        prompt_tokens=row.count("prompt_tokens", 1),
        output_tokens=row.count("output_tokens", 1),
    )
    return _Request(call, row.count_or("prefix_seen_before_tokens", 0), is_engines_clock=True)


def _stages(run: Record, num_requests: int) -> list[int]:
    """The stage of each request: stages of ``rate x seconds`` send that many, one after another."""
    if not run.has("stages_rate_x_duration_s"):
        return [0] * num_requests
    stages: list[int] = []
    for number, part in enumerate(run.text("stages_rate_x_duration_s").split(";")):
        rate, _, duration_s = part.partition("x")
        try:
            sent = round(float(rate) * float(duration_s))
        except (ValueError, OverflowError):
            expected = "stages such as 5x600;10x600"
            raise run.fault("stages_rate_x_duration_s", expected) from None
        stages += [number] * sent
    last = stages[-1] if stages else 0
    return [*stages[:num_requests], *[last] * (num_requests - len(stages))]
