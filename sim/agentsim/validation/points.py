"""Tables of single points: closed loops of one kind of request, batches, and grids of prompts.

Recognised by their columns: ``concurrency`` (or a load in words) with fixed lengths; ``batch`` and
``output_tok_per_s`` of an offline batch; ``longest_prefix_sent_before_tokens`` of a grid in which
all prompts are prefixes of one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from agentsim.domain.trace import Session, Trace
from agentsim.domain.units import NS_PER_S
from agentsim.validation.case import Case, NotSimulated
from agentsim.validation.columns import figures_in
from agentsim.validation.draws import NUM_REPEATS, one_call
from agentsim.validation.servers import assumed, gpu_name, model_name, read_server
from agentsim.validation.tables import Record, columns_of_file, read_table

LOOP_COLUMNS = ("model", "prompt_tokens", "output_tokens")
_BATCH = ("gpu", "model", "batch", "output_tokens", "output_tok_per_s")
_GRID = ("gpu", "model", "prompt_tokens", "longest_prefix_sent_before_tokens", "concurrency")
#: Requests that each client of a closed loop sends one after another.
NUM_IN_TURN = 10
#: Tokens of a "short prompt".
SHORT_PROMPT = 16
#: When the requests of a grid's point come, after the prompt that was sent before.
_PAUSE_NS = 1000 * NS_PER_S
#: What a grid's requests took over the network, as their source says.
_NETWORK_S = 0.1
_IN_FLIGHT = re.compile(r"closed loop, (\d+) in flight\b.*")


def is_loop_table(path: Path) -> bool:
    """Whether a CSV file has one closed loop a row."""
    columns = set(columns_of_file(path))
    is_told = {"concurrency", "loop"} <= columns or "load" in columns
    return set(LOOP_COLUMNS) <= columns and is_told


def is_batch_table(path: Path) -> bool:
    """Whether a CSV file has one offline batch a row."""
    return set(_BATCH) <= set(columns_of_file(path))


def is_grid(path: Path) -> bool:
    """Whether a CSV file has one point of a grid a row."""
    return set(_GRID) <= set(columns_of_file(path))


def loop_case(run_id: str, row: Record) -> Case | NotSimulated:
    """A closed loop of one kind of request.

    Raises
    ------
    UserError
        If a value is wrong.
    """
    source, clients = run_id.partition("/")[0], clients_of(row)
    if clients is None:
        obstacle = f"load {row.text('load')!r}: not one closed loop of known size"
        return NotSimulated(run_id, source, obstacle)
    if not figures_in(row):
        return NotSimulated(run_id, source, "the source has no figure of it")
    count = clients * NUM_IN_TURN
    return _case(
        run_id,
        row,
        figures_in(row, itl="gap" if "load" in row.fields else "itl"),
        _Alike(count, row.count("prompt_tokens", 1), row.count("output_tokens", 1)),
        (f"agents.num_agents={clients}",),
        assumed("requests", count, f"{NUM_IN_TURN} of each client in turn"),
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
            _Alike(batch, SHORT_PROMPT, made),
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
            _GridPoint.of(row),
            ("agents.arrival=recorded", f"cost.api_stream_s={_NETWORK_S}"),
            assumed("network", f"{_NETWORK_S} s a request", "the client was elsewhere"),
            part=1,
        )


def _case(
    run_id: str,
    row: Record,
    measured: dict[tuple[str, str], float],
    load: _Alike | _GridPoint,
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
        model_name(row),
        measured,
        load,
        (*server.settings, *settings, *longest),
        part=part,
        num_repeats=server.repeats(NUM_REPEATS, is_drawn=False),
        choices=server.choices,
        num_requests=load.count,
        preset=server.preset,
        assumptions=(*server.assumptions, *made),
    )


def clients_of(row: Record) -> int | None:
    """Clients of a closed loop; None where the load is said in other words."""
    if row.has("concurrency"):
        return row.count("concurrency", 1)
    match = _IN_FLIGHT.fullmatch(row.text("load"))
    return int(match[1]) if match else None


@dataclass(frozen=True, slots=True)
class _Alike:
    """Requests of one kind with nothing in common, in turn."""

    count: int
    prompt_tokens: int
    output_tokens: int

    def __call__(self, repeat: int) -> Trace:
        segments = (("~own", self.prompt_tokens),)
        return Trace(
            one_call(f"{n:06d}", 0, segments, self.output_tokens) for n in range(self.count)
        )


@dataclass(frozen=True, slots=True)
class _GridPoint:
    """Equal requests at once, after the longest prefix of theirs that was sent before."""

    count: int
    prompt_tokens: int
    output_tokens: int
    before: int

    @classmethod
    def of(cls, row: Record) -> _GridPoint:
        """What the columns of a row say."""
        return cls(
            row.count("concurrency", 1),
            row.count("prompt_tokens", 1),
            row.count_or("output_tokens", 1, 1),
            row.count("longest_prefix_sent_before_tokens"),
        )

    def __call__(self, repeat: int) -> Trace:
        sessions: list[Session] = []
        if self.before:
            sessions.append(one_call("0/0", 0, (("grid", self.before),), self.output_tokens))
        prompt = (("grid", self.prompt_tokens),)
        sessions += [
            one_call(f"1/{n}", _PAUSE_NS, prompt, self.output_tokens) for n in range(self.count)
        ]
        return Trace(sessions)
