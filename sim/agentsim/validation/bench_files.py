"""Results of ``vllm bench serve --save-result [--save-detailed]``, one JSON file a run.

Such a file does not say what served: ``server.toml`` beside it does, or vLLM's ``--metadata``,
whose keys stand in the file itself and come first. Keys are the columns of ``runs.csv``.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from agentsim.domain.units import seconds_to_ns
from agentsim.errors import UserError
from agentsim.validation.bench_tables import arrival_settings, case_of_result, request_rate
from agentsim.validation.case import Case, MeasuredCall, NotSimulated, figures_of, measured_run
from agentsim.validation.columns import figures_in
from agentsim.validation.draws import NUM_REPEATS
from agentsim.validation.loads import Sent, SentAtRate
from agentsim.validation.prompts import prompts_of
from agentsim.validation.servers import assumed, gpu_name, model_name, read_server
from agentsim.validation.tables import Record, read_object, read_text

#: What a result always has, and what `--save-detailed` adds.
_RESULT = ("model_id", "completed", "total_input_tokens", "total_output_tokens", "duration")
_DETAILED = ("input_lens", "output_lens", "ttfts", "itls", "errors")
#: States the server of all results in its folder.
SERVER_FILE = "server.toml"
#: What it may state.
SERVER_KEYS = (
    *("gpu", "model", "engine_version", "tp", "dp", "replicas", "routing", "dtype"),
    *("max_model_len", "max_num_seqs", "max_num_batched_tokens", "block_size"),
    *("gpu_memory_utilization", "kv_cache_memory_bytes", "num_gpu_blocks", "prefix_caching"),
    *("chunked_prefill", "kv_cpu_offload_gib", "expert_parallel", "vllm_args"),
    *("system_prompt_groups", "shared_system_prompt_tokens"),
)
#: Field of the file -> column of a table of results.
_COLUMNS = {
    "completed": "n_ok",
    "total_input_tokens": "prompt_tokens_total",
    "total_output_tokens": "output_tokens_total",
    "duration": "duration_s",
    "request_throughput": "req_per_s",
    "output_throughput": "output_tok_per_s",
}
_METRICS = {"ttft": "ttft", "tpot": "tpot", "itl": "itl", "e2el": "e2e"}
_STATISTICS = ("mean", "median", "p50", "p90", "p95", "p99")
#: How far the file's own means may be from its requests.
_TOLERANCE = 0.05


def is_bench_file(path: Path) -> bool:
    """Whether a JSON file is such a result."""
    return set(_RESULT) <= set(read_object(path).fields) if _may_be(path) else False


def _may_be(path: Path) -> bool:
    """Whether it is worth reading as one object: other files may be lists, or not JSON at all."""
    text = read_text(path)
    return text.lstrip().startswith("{") and all(f'"{name}"' in text for name in _RESULT)


def read_bench_file(path: Path) -> Iterator[Case | NotSimulated]:
    """The run of such a file.

    Raises
    ------
    UserError
        If a field of it or of ``server.toml`` is missing or wrong.
    """
    found = read_object(path)
    run_id = f"{path.parent.name}/{path.name.partition('.json')[0]}"
    stated = {"model": found.text("model_id"), **_server_of(path.parent)}
    row = Record(found.where, {"run_id": run_id, **stated, **_columns(found)})
    if not row.has("gpu"):
        reason = f"no GPU: state it in {SERVER_FILE} beside the file, or by --metadata gpu=NAME"
        yield NotSimulated(run_id, path.parent.name, reason)
    elif not row.count("n_ok"):
        yield NotSimulated(run_id, path.parent.name, "no request was answered")
    elif all(name in found.fields for name in _DETAILED):
        yield _detailed(row, found)
    else:
        yield case_of_result(run_id, row, model_name(row), row.text_or("vllm_args", ""))


def _server_of(folder: Path) -> dict[str, Any]:
    """What ``server.toml`` states."""
    path = folder / SERVER_FILE
    if not path.is_file():
        return {}
    try:
        stated = tomllib.loads(read_text(path))
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{path}: not TOML: {error}") from error
    for name in stated:
        if name not in SERVER_KEYS:
            known = ", ".join(SERVER_KEYS)
            raise UserError(f"{path}: unknown key {name!r}; known: {known}")
    return stated


def _columns(found: Record) -> dict[str, Any]:
    """The file's fields under the names of tables: ``mean_ttft_ms`` is ttft_mean_ms."""
    fields = {name: found.fields[name] for name in SERVER_KEYS if found.has(name)}
    fields |= {name: found.fields.get(name) for name in ("request_rate", "max_concurrency")}
    fields |= {column: found.fields.get(name) for name, column in _COLUMNS.items()}
    for statistic in _STATISTICS:
        for name, column in _METRICS.items():
            fields[f"{column}_{statistic}_ms"] = found.fields.get(f"{statistic}_{name}_ms")
    return fields


def _detailed(row: Record, found: Record) -> Case | NotSimulated:
    """A run with each of its requests."""
    run_id, given = row.text("run_id"), row.text_or("vllm_args", "")
    source = run_id.partition("/")[0]
    server = read_server(row, given=given)
    if server.obstacle is not None:
        return NotSimulated(run_id, source, server.obstacle)
    calls, failed = _calls(found)
    if not calls:
        raise found.fault("errors", "at least one request without an error")
    measured = dict(figures_of(measured_run(calls)))
    stated = figures_in(row)
    _check_mean(found, measured["ttft", "mean"])
    measured |= {key: value for key, value in stated.items() if key[0] == "gap"}
    is_timed = "start_times" in found.fields
    if not is_timed:
        whole = ("makespan", "output_rate")
        measured |= {key: value for key, value in stated.items() if key[0] in whole}
    prompts = prompts_of(row, [call.prompt_tokens for call in calls])
    settings = [*server.settings, *arrival_settings(row, len(calls))]
    if not row.has("max_model_len") and "--max-model-len" not in given:
        settings.append("engine.max_model_len=-1")
    made = [*server.assumptions, *prompts.assumptions]
    if failed:
        made.append(assumed("failed requests", failed, "left out: they may not have been served"))
    rate = request_rate(row)
    is_drawn = not is_timed and math.isfinite(rate)
    if is_drawn:
        made.append(assumed("arrivals", "Poisson", "drawn: the file has no start_times"))
    load = Sent(tuple(calls), prompts.of_repeat)
    return Case(
        run_id,
        source,
        gpu_name(row),
        model_name(row),
        measured,
        SentAtRate(load, rate, run_id) if is_drawn else load,
        tuple(settings),
        num_repeats=server.repeats(NUM_REPEATS, is_drawn=is_drawn or prompts.is_drawn),
        choices=server.choices,
        num_requests=len(calls),
        vllm_args=given or None,
        preset=server.preset,
        logged_blocks=row.count("num_gpu_blocks", 1) if row.has("num_gpu_blocks") else None,
        assumptions=tuple(made),
    )


def _calls(found: Record) -> tuple[list[MeasuredCall], int]:
    """The requests that were answered in the order of sending, and how many were not."""
    names = [*_DETAILED, *(name for name in ("start_times", "latencies") if name in found.fields)]
    for name in names:
        column = found.fields[name]
        if not isinstance(column, list) or len(column) != len(found.fields["input_lens"]):
            raise found.fault(name, "a list with a value for each request")
    rows = [
        Record(f"{found.where}: request {number}", dict(zip(names, values, strict=True)))
        for number, values in enumerate(zip(*(found.fields[name] for name in names), strict=True))
    ]
    answered = [row for row in rows if not row.fields["errors"]]
    starts = [row.number("start_times") if "start_times" in names else 0.0 for row in answered]
    first_s = min(starts, default=0.0)
    calls = [
        _call(row, start_s - first_s)
        for start_s, row in sorted(zip(starts, answered, strict=True), key=lambda pair: pair[0])
    ]
    named = [replace(call, session=f"0/{number:07d}") for number, call in enumerate(calls)]
    return named, len(rows) - len(answered)


def _call(row: Record, start_s: float) -> MeasuredCall:
    gaps = row.fields["itls"]
    if not isinstance(gaps, list):
        raise row.fault("itls", "a list of seconds")
    ttft_s = row.number("ttfts")
    later_s = sum(Record(row.where, {"itls": gap}).number("itls") for gap in gaps)
    e2e_s = row.number("latencies") if "latencies" in row.fields else ttft_s + later_s
    if e2e_s < ttft_s:
        raise row.fault("ttfts", "no more than the whole latency")
    at_ns = seconds_to_ns(start_s)
    return MeasuredCall(
        session="",
        call="main/0",
        submitted_ns=at_ns,
        first_token_ns=at_ns + seconds_to_ns(ttft_s),
        finished_ns=at_ns + seconds_to_ns(e2e_s),
        prompt_tokens=row.count("input_lens", 1),
        output_tokens=row.count("output_lens", 1),
    )


def _check_mean(found: Record, ttft_s: float) -> None:
    """Refuse a file whose requests are in another unit than its means."""
    if found.has("mean_ttft_ms"):
        stated_s = found.number("mean_ttft_ms") / 1000
        if abs(stated_s - ttft_s) > _TOLERANCE * max(stated_s, ttft_s):
            raise found.fault("mean_ttft_ms", f"1000 times the mean of ttfts ({ttft_s:.6g} s)")
