"""Tables with one result of vLLM's serving benchmark a row: an open loop, or all at once.

Known are the number of requests, the totals of tokens and the rate; the length of each prompt and
output and the arrivals are drawn (`draws.lengths`: ShareGPT's as the benchmark samples them).
"""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from agentsim.domain.trace import Trace
from agentsim.validation.case import Case, NotSimulated
from agentsim.validation.columns import figures_in
from agentsim.validation.draws import (
    NUM_REPEATS,
    OUTPUTS,
    PROMPTS,
    lengths,
    one_call,
    poisson,
)
from agentsim.validation.servers import assumed, gpu_name, read_server
from agentsim.validation.tables import Record, columns_of_file, read_table

_NEEDED = ("n_ok", "prompt_tokens_total", "output_tokens_total", "ttft_mean_ms", "tpot_mean_ms")
_VARIANTS = ("hardware", "model", "workload", "variant", "ttft_mean_ms", "tpot_mean_ms")
_RANDOM = re.compile(r"random \S+ input")
#: ShareGPT as the benchmark samples it, where a table has no totals: requests, tokens of each.
_SHAREGPT = (1000, 217, 202)
#: Weight format in words -> suffix of the model's name.
_FORMATS = {
    "bf16": "",
    "awq": "-awq",
    "awq marlin": "-awq",
    "gptq (int4)": "-gptq",
    "gptq-marlin (int4)": "-gptq",
    "gptq (int8)": "-gptq-int8",
    "gptq marlin": "-gptq-int8",
    "gptq marlin (int8)": "-gptq-int8",
    "bitsandbytes": "-bnb",
}


@dataclass(frozen=True, slots=True)
class _Load:
    """What a benchmark sent.

    Attributes
    ----------
    rate : float
        Requests a second; infinite where all are sent at once.
    is_random : bool
        All prompts are of one length, and all outputs: the random data set.
    """

    run_id: str
    num_requests: int
    prompt_tokens: int
    output_tokens: int
    rate: float
    is_random: bool

    def trace(self, repeat: int) -> Trace:
        """The load with the draws of a repeat."""
        count = self.num_requests
        prompts = [max(1, round(self.prompt_tokens / count))] * count
        outputs = [max(1, round(self.output_tokens / count))] * count
        if not self.is_random:
            key = f"{self.run_id}/prompt"
            prompts = lengths(repeat, key, count, self.prompt_tokens, PROMPTS)
            key = f"{self.run_id}/output"
            outputs = lengths(repeat, key, count, self.output_tokens, OUTPUTS)
        times = poisson(repeat, self.run_id, self.rate, count)
        parts = enumerate(zip(times, prompts, outputs, strict=True))
        return Trace(
            one_call(f"{number:06d}", at_ns, (("~own", tokens),), made)
            for number, (at_ns, tokens, made) in parts
        )


def is_bench_table(path: Path) -> bool:
    """Whether a CSV file has one benchmark result a row."""
    columns = set(columns_of_file(path))
    is_told = bool(columns & {"gpu", "hardware"}) and bool(columns & {"model", "serve_command"})
    return set(_NEEDED) <= columns and is_told


def is_variant_table(path: Path) -> bool:
    """Whether a CSV file has one weight format a row."""
    columns = set(columns_of_file(path))
    return set(_VARIANTS) <= columns and "n_ok" not in columns


def read_bench_table(path: Path) -> Iterator[Case | NotSimulated]:
    """The runs of such a file.

    Raises
    ------
    UserError
        If a column or a value is missing or wrong.
    """
    for number, row in enumerate(read_table(path, _NEEDED), 1):
        name, given = _arguments(row)
        run_id = f"{path.parent.name}/{path.stem}/{number}"
        yield case_of_result(run_id, row, row.text("model") if row.has("model") else name, given)


def case_of_result(run_id: str, row: Record, model: str, given: str) -> Case | NotSimulated:
    """One result with the columns of such a table.

    Parameters
    ----------
    given : str
        Arguments of `vllm serve`.
    """
    load = _Load(
        run_id,
        row.count("n_ok", 1),
        row.count("prompt_tokens_total", 1),
        row.count("output_tokens_total", 1),
        request_rate(row),
        _RANDOM.fullmatch(row.text_or("workload", "")) is not None,
    )
    return _case(row, model, load, given)


def read_variant_table(path: Path) -> Iterator[Case | NotSimulated]:
    """The runs of a table of weight formats, which states no totals of tokens."""
    count, prompt, output = _SHAREGPT
    for number, row in enumerate(read_table(path, _VARIANTS), 1):
        run_id = f"{path.parent.name}/{path.stem}/{number}"
        variant = row.text("variant").lower()
        if variant not in _FORMATS:
            reason = f"weight format {row.text('variant')!r}: not one of {', '.join(_FORMATS)}"
            yield NotSimulated(run_id, path.parent.name, reason)
            continue
        model = row.text("model").rpartition("/")[2] + _FORMATS[variant]
        load = _Load(run_id, count, count * prompt, count * output, math.inf, is_random=False)
        yield _case(row, model, load, "")


def _arguments(row: Record) -> tuple[str, str]:
    """Model and other arguments of a printed ``vllm serve`` command."""
    if not row.has("serve_command"):
        return "", ""
    words = shlex.split(row.text("serve_command"))
    if words[:2] != ["vllm", "serve"] or len(words) < 3:
        raise row.fault("serve_command", "vllm serve MODEL ...")
    return words[2], shlex.join(words[3:])


def _case(row: Record, model: str, load: _Load, given: str) -> Case | NotSimulated:
    run_id = load.run_id
    source = run_id.partition("/")[0]
    server = read_server(row, given=given)
    if server.obstacle is not None:
        return NotSimulated(run_id, source, server.obstacle)
    settings = [*server.settings, *arrival_settings(row, load.num_requests)]
    if not row.has("max_model_len") and "--max-model-len" not in given:
        settings.append("engine.max_model_len=-1")
    made = list(server.assumptions)
    if load.is_random:
        made.append(assumed("lengths", "all alike", "the benchmark's random data set"))
    else:
        means = [round(n / load.num_requests) for n in (load.prompt_tokens, load.output_tokens)]
        about = "drawn: lognormal as in ShareGPT, scaled to the totals of the source"
        made.append(assumed("lengths", means, about))
    return Case(
        run_id,
        source,
        gpu_name(row),
        model,
        figures_in(row),
        load.trace,
        tuple(settings),
        num_repeats=server.repeats(
            NUM_REPEATS, is_drawn=not (load.is_random and math.isinf(load.rate))
        ),
        choices=server.choices,
        num_requests=load.num_requests,
        vllm_args=given or None,
        preset=server.preset,
        assumptions=tuple(made),
    )


def arrival_settings(row: Record, num_requests: int) -> list[str]:
    """How requests are sent: at their times, or by so many clients that wait for their answers.

    A benchmark with a rate and a bound (`max_concurrency`) starts its clients at that rate.
    """
    if not row.has("max_concurrency") or row.count("max_concurrency", 1) >= num_requests:
        return ["agents.arrival=recorded"]
    settings = [f"agents.num_agents={row.count('max_concurrency', 1)}"]
    rate = request_rate(row)
    return settings if math.isinf(rate) else [*settings, f"agents.ramp_s={1 / rate!r}"]


def request_rate(row: Record) -> float:
    """Requests a second; infinite where all are sent at once."""
    if row.text_or("request_rate", "inf") == "inf":
        return math.inf
    rate = row.number("request_rate")
    if not rate:
        raise row.fault("request_rate", "a rate above 0, or inf")
    return rate
