"""Tables with one row a load stage: ``run_id``, ``stage`` (-1 the whole run), ``workload``.

Only means and quantiles are known. The arrivals inside a stage, and which system prompt a request
begins with, are drawn; lengths, rates and groups are those of the named workload.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from agentsim.domain.chance import uniform
from agentsim.domain.trace import Session, Trace
from agentsim.domain.units import seconds_to_ns
from agentsim.validation.case import Case, Figures, NotSimulated
from agentsim.validation.draws import (
    NUM_REPEATS,
    arrivals_in,
    choices,
    one_call,
    shared_and_own,
)
from agentsim.validation.servers import assumed, read_server
from agentsim.validation.tables import Record, columns_of_file, read_table

COLUMNS = ("run_id", "stage", "gpu", "model", "workload", "e2e_mean_ms", "ttft_mean_ms")
#: Seconds of a stage, and of the stage of a run that has only one.
STAGE_S, ONLY_STAGE_S = 600.0, 1200.0
#: Prompts that the client of these runs has and sends in turn, as request-level runs of the same
#: client and workloads show (`agentsim.validation.cycles`).
NUM_PROMPTS = 100
_STATISTICS = ("mean", "p90", "p99")


@dataclass(frozen=True, slots=True)
class Workload:
    """What the requests of a named workload are.

    Attributes
    ----------
    rates : tuple of float
        Requests a second of each stage.
    rates_spread : tuple of float or None
        Bounds that the rate is drawn between, where no source states it.
    """

    prompt_tokens: int
    output_tokens: int
    rates: tuple[float, ...]
    num_groups: int
    shared_tokens: int
    rates_spread: tuple[float, float] | None = None


#: The workloads of the inference-sim runs as their documentation has them. The rate of
#: reasoning-lite is stated nowhere: general-lite runs at 0.3 of general, reasoning at 4 a second.
WORKLOADS = {
    "general": Workload(575, 248, (8.0, 20.0), 9, 100),
    "general-lite": Workload(575, 248, (2.5, 6.0), 9, 100),
    "codegen": Workload(592, 247, (5.0, 10.0), 11, 100),
    "roleplay": Workload(786, 251, (6.0,), 10, 150),
    "reasoning": Workload(1081, 1448, (4.0,), 23, 100),
    "reasoning-lite": Workload(1081, 1448, (1.2,), 23, 100, (1.0, 1.4)),
}


def is_stage_table(path: Path) -> bool:
    """Whether a CSV file is of this layout."""
    return set(COLUMNS[:5]) <= set(columns_of_file(path))


def read_stage_table(path: Path) -> Iterator[Case | NotSimulated]:
    """The runs of such a file.

    Raises
    ------
    UserError
        If a column or a value is missing or wrong.
    """
    runs: dict[str, dict[int, Record]] = {}
    for row in read_table(path, COLUMNS):
        number = -1 if row.text("stage") == "-1" else row.count("stage")
        stages = runs.setdefault(row.text("run_id"), {})
        if number in stages:
            raise row.fault("stage", "a stage that the run does not have yet")
        stages[number] = row
    for run_id, stages in runs.items():
        yield _case(path.parent.name, run_id, stages)


def _case(source: str, run_id: str, rows: dict[int, Record]) -> Case | NotSimulated:
    row = rows.get(-1) or rows[min(rows)]
    server = read_server(row, is_sampled=True)
    if server.obstacle is not None:
        return NotSimulated(run_id, source, server.obstacle)
    name = row.text("workload").replace("-lite-lite", "-lite")
    workload = WORKLOADS.get(name)
    if workload is None:
        known = ", ".join(WORKLOADS)
        return NotSimulated(run_id, source, f"workload {name!r}: not one of {known}")
    rates = _rates(row) or workload.rates
    is_stated = row.has("stage_rates_req_per_s")
    numbers = sorted(number for number in rows if number >= 0)
    if numbers and numbers != list(range(len(rates))):
        raise row.fault("stage_rates_req_per_s", f"the rates of {len(numbers)} stages")
    spread = None if is_stated else workload.rates_spread
    made = [
        assumed("arrivals", "Poisson", "drawn: the source has the rate of each stage alone"),
        assumed("prompts sent in turn", NUM_PROMPTS, "as in request-level runs of this client"),
        assumed("seconds of a stage", _seconds(rates), "the source's documentation"),
        assumed(
            "output_tokens",
            workload.output_tokens,
            "as requested; the ITL that the source prints divides by the client's own count",
        ),
    ]
    if not is_stated:
        about = f"drawn from {spread}" if spread else "as other runs of the workload have them"
        made.append(assumed("rates", list(rates), f"not stated: {about}"))
    load = _Load(run_id, workload, rates, spread)
    return Case(
        run_id,
        source,
        row.text("gpu"),
        row.text("model"),
        _figures(rows[-1], workload) if -1 in rows else {},
        load,
        (*server.settings, "agents.arrival=recorded", *_longest(row)),
        tuple(_figures(rows[number], workload) for number in numbers),
        num_repeats=server.repeats(NUM_REPEATS, is_drawn=True),
        choices=server.choices,
        num_requests=load.num_requests,
        preset=server.preset,
        assumptions=(*server.assumptions, *made),
    )


def _longest(row: Record) -> tuple[str, ...]:
    """4096 tokens in all runs of the source, which has no column for it."""
    return () if row.has("max_model_len") else ("engine.max_model_len=4096",)


def _rates(row: Record) -> tuple[float, ...]:
    if not row.has("stage_rates_req_per_s"):
        return ()
    parts = row.text("stage_rates_req_per_s").split(";")
    fields = [Record(row.where, {"stage_rates_req_per_s": part}) for part in parts]
    rates = tuple(field.number("stage_rates_req_per_s") for field in fields)
    if not all(rates):
        raise row.fault("stage_rates_req_per_s", "rates above 0")
    return rates


def _seconds(rates: tuple[float, ...]) -> float:
    return ONLY_STAGE_S if len(rates) == 1 else STAGE_S


def _figures(row: Record, workload: Workload) -> Figures:
    """Latencies in seconds; ITL as (E2E - TTFT) / (requested output - 1), which is linear."""
    found: dict[tuple[str, str], float] = {}
    for metric in ("ttft", "e2e"):
        for statistic in _STATISTICS:
            value = row.number_or_none(f"{metric}_{statistic}_ms")
            if value is not None:
                found[metric, statistic] = value / 1000
    gap_s = row.number("e2e_mean_ms") - row.number("ttft_mean_ms")
    if gap_s < 0:
        raise row.fault("ttft_mean_ms", "no more than e2e_mean_ms")
    found["itl", "mean"] = gap_s / 1000 / (workload.output_tokens - 1)
    return found


@dataclass(frozen=True, slots=True)
class _Load:
    """Requests of the workload's list in turn, at the rate of each stage."""

    run_id: str
    workload: Workload
    rates: tuple[float, ...]
    spread: tuple[float, float] | None

    @property
    def num_requests(self) -> int:
        """About how many are sent."""
        return round(sum(self.rates) * _seconds(self.rates))

    def __call__(self, repeat: int) -> Trace:
        workload, lasts_s = self.workload, _seconds(self.rates)
        sessions: list[Session] = []
        groups = choices(repeat, "group", self.run_id, NUM_PROMPTS, workload.num_groups)
        prompts = [
            shared_and_own(
                group, workload.shared_tokens, workload.prompt_tokens, f"question-{number}"
            )
            for number, group in enumerate(groups)
        ]
        for stage, rate in enumerate(self.rates):
            times = arrivals_in(repeat, self.run_id, stage, self._rate(repeat, rate), lasts_s)
            begin_ns = seconds_to_ns(stage * lasts_s)
            for number, at_ns in enumerate(times):
                prompt = prompts[len(sessions) % NUM_PROMPTS]
                name = f"{stage}/{number:07d}"
                sessions.append(one_call(name, begin_ns + at_ns, prompt, workload.output_tokens))
        return Trace(sessions)

    def _rate(self, repeat: int, rate: float) -> float:
        """One rate from each of as many equal parts of its spread as there are repeats."""
        if self.spread is None:
            return rate
        low, high = self.spread
        share = (repeat + uniform(repeat, "rate", self.run_id, 0)) / NUM_REPEATS
        return low + share * (high - low)
