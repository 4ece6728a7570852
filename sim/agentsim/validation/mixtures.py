"""Tables of closed loops, of one kind of request or of sizes in words (``M: 513-2048``).

Rows of one model and load whose sizes are in words are parts of one run: ``S+M+L mixed`` is the
whole of it, each other row is about the requests of its size.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from agentsim.domain.chance import uniforms
from agentsim.domain.trace import Trace
from agentsim.validation.case import Case, NotSimulated
from agentsim.validation.columns import figures_in
from agentsim.validation.draws import NUM_REPEATS, choices, one_call
from agentsim.validation.points import LOOP_COLUMNS, NUM_IN_TURN, clients_of, loop_case
from agentsim.validation.servers import assumed, gpu_name, model_name, read_server
from agentsim.validation.tables import Record, read_table

_SIZE = re.compile(r"(\w+): (?:up to (\d+)|(\d+)-(\d+))")
_MOST = re.compile(r"(?:at most )?(\d+)")
_REQUESTS = re.compile(r"\b(\d+) (?:streaming )?requests\b")


@dataclass(frozen=True, slots=True)
class Mixture:
    """Requests of several sizes, each size equally likely, lengths even within it.

    Attributes
    ----------
    sizes : tuple of (int, int)
        Least and most prompt tokens of each.
    """

    name: str
    count: int
    sizes: tuple[tuple[int, int], ...]
    output_tokens: int

    def __call__(self, repeat: int) -> Trace:
        of_size = choices(repeat, "size", self.name, self.count, len(self.sizes))
        shares = uniforms(repeat, "prompt", self.name, self.count)
        sessions = []
        for number, (size, share) in enumerate(zip(of_size, shares, strict=True)):
            least, most = self.sizes[size]
            segments = (("~own", least + int(share * (most - least + 1))),)
            # sent in turn: sessions of a closed loop start in the order of their times
            sessions.append(one_call(f"{size}/{number:06d}", number, segments, self.output_tokens))
        return Trace(sessions)


def read_loop_table(path: Path) -> Iterator[Case | NotSimulated]:
    """The runs of a table of closed loops.

    Raises
    ------
    UserError
        If a column or a value is missing or wrong.
    """
    rows = read_table(path, LOOP_COLUMNS)
    for number, row in enumerate(rows, 1):
        run_id = f"{path.parent.name}/{path.stem}/{number}"
        if row.text("prompt_tokens").isdecimal():
            yield loop_case(run_id, row)
        else:
            yield _part_case(run_id, row, [other for other in rows if _run(other) == _run(row)])


def _run(row: Record) -> tuple[str, ...]:
    return row.text("model"), row.text_or("load", ""), row.text("output_tokens")


def _part_case(run_id: str, row: Record, rows: list[Record]) -> Case | NotSimulated:
    source = run_id.partition("/")[0]
    said = row.text("prompt_tokens")
    sizes = {
        match[1]: (int(match[3] or 1), int(match[4] or match[2]))
        for other in rows
        if (match := _SIZE.fullmatch(other.text("prompt_tokens")))
    }
    label, output = said.partition(":")[0], _MOST.fullmatch(row.text("output_tokens"))
    server, clients = read_server(row), clients_of(row)
    obstacle = server.obstacle
    is_whole = said == f"{'+'.join(sizes)} mixed"
    if obstacle is None and (clients is None or output is None):
        obstacle = f"load {row.text_or('load', '')!r}: not one closed loop of known size"
    if obstacle is None and not (is_whole or label in sizes):
        obstacle = f"prompt_tokens {said!r}: no length, and no size of the table"
    if obstacle is not None or clients is None or output is None:
        return NotSimulated(run_id, source, obstacle or "")
    if any(least > most for least, most in sizes.values()):
        raise row.fault("prompt_tokens", "sizes such as M: 513-2048")
    told = _REQUESTS.search(row.text_or("load", ""))
    count = int(told[1]) if told else clients * NUM_IN_TURN
    about = "drawn: each size equally likely, lengths even within it"
    made = (
        assumed("prompt_tokens", sizes, about),
        assumed("output_tokens", int(output[1]), f"the source says: {row.text('output_tokens')}"),
    )
    longest = () if row.has("max_model_len") else ("engine.max_model_len=-1",)
    return Case(
        run_id,
        source,
        gpu_name(row),
        model_name(row),
        figures_in(row),
        Mixture(source, count, tuple(sizes.values()), int(output[1])),
        (*server.settings, f"agents.num_agents={clients}", *longest),
        part=None if is_whole else list(sizes).index(label),
        num_repeats=server.repeats(NUM_REPEATS, is_drawn=True),
        choices=server.choices,
        num_requests=count,
        preset=server.preset,
        assumptions=(*server.assumptions, *made),
    )
