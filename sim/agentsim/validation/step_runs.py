"""Folders of closed-loop runs: ``workload.json``, ``engine.json``, ``runK.requests.jsonl``.

The load is known in full (who waits for whom, which tokens are shared), so nothing is drawn; the
measured figures are means over the repeats K.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from agentsim.domain.specs import ModelSpec
from agentsim.domain.trace import Call, Session, Trace
from agentsim.domain.units import seconds_to_ns
from agentsim.errors import UserError
from agentsim.machine.catalog import models
from agentsim.validation.case import (
    Case,
    Figures,
    MeasuredCall,
    NotSimulated,
    figure,
    figures_of,
    measured_run,
)
from agentsim.validation.loads import Replayed
from agentsim.validation.servers import ENGINES_CLOCK
from agentsim.validation.tables import Record, read_object, read_objects

#: Where the engine ran, in `agentsim list gpus`, as long as its file does not say.
_DEVICE = "cpu"
#: Field of the file's ``engine`` -> setting.
_SETTINGS = {
    "max_model_len": "engine.max_model_len",
    "max_num_batched_tokens": "engine.max_num_batched_tokens",
    "max_num_seqs": "engine.max_num_seqs",
    "block_size": "engine.block_size",
    "num_gpu_blocks_override": "engine.num_gpu_blocks",
    "enable_prefix_caching": "engine.enable_prefix_caching",
    "enforce_eager": "engine.enforce_eager",
    "tensor_parallel_size": "engine.tensor_parallel_size",
}
#: Field beside it -> setting.
_BESIDE = {
    "policy": "engine.policy",
    "async_scheduling": "engine.async_scheduling",
    "watermark": "engine.watermark",
    "scheduler_reserve_full_isl": "engine.scheduler_reserve_full_isl",
    "chunked_prefill": "engine.enable_chunked_prefill",
}


def is_step_folder(folder: Path) -> bool:
    """Whether a folder is of this layout."""
    return (folder / "workload.json").is_file() and (folder / "engine.json").is_file()


def read_step_folder(folder: Path) -> Iterator[Case | NotSimulated]:
    """The run of such a folder.

    Raises
    ------
    UserError
        If a file or a field is missing or wrong.
    """
    engine = read_object(folder / "engine.json")
    files = sorted(folder.glob("*.requests.jsonl*"))
    if not files:
        raise UserError(f"{folder}: no file runK.requests.jsonl")
    trace = read_workload(folder / "workload.json")
    yield Case(
        folder.name,
        folder.parent.name,
        str(engine.fields.get("device", _DEVICE)),
        _model_name(engine),
        _means([_figures(path) for path in files]),
        Replayed(trace),
        (*_settings(engine), *ENGINES_CLOCK),
        num_repeats=1,
        num_requests=trace.num_calls,
    )


def _settings(engine: Record) -> tuple[str, ...]:
    given = engine.fields.get("engine")
    if not isinstance(given, dict):
        raise engine.fault("engine", "an object with vLLM's settings")
    found = {setting: given[name] for name, setting in _SETTINGS.items() if name in given}
    found |= {s: engine.fields[name] for name, s in _BESIDE.items() if name in engine.fields}
    settings = [f"{setting}={_toml(value)}" for setting, value in found.items()]
    return (*settings, "agents.arrival=recorded")


def _toml(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _model_name(engine: Record) -> str:
    """The model of the tables that has the shape of the file's ``model``."""
    shape = engine.fields.get("model")
    if not isinstance(shape, dict):
        raise engine.fault("model", "an object as in config.json")
    wanted = tuple(
        shape.get(name)
        for name in (
            "num_hidden_layers",
            "hidden_size",
            "intermediate_size",
            "num_attention_heads",
            "num_key_value_heads",
            "vocab_size",
        )
    )
    for name, model in models().items():
        if _shape(model) == wanted and model.weight_format.name == "bf16":
            return name
    return f"{shape.get('model_type')} of {wanted[0]} layers and hidden size {wanted[1]}"


def _shape(model: ModelSpec) -> tuple[int, ...]:
    return (
        sum(group.num_layers for group in model.attention),
        model.hidden,
        model.intermediate,
        model.num_heads,
        model.attention[0].num_kv_heads,
        model.vocab,
    )


def _figures(path: Path) -> dict[tuple[str, str], float]:
    """The figures of one repeat: with cached tokens, whose number is certain."""
    rows = read_objects(path)
    if not rows:
        raise UserError(f"{path}: no requests: expected at least one line")
    run = measured_run([_measured(row) for row in rows])
    found = figures_of(run)
    cached = figure(run, "cached_tokens", "value")
    return found if cached is None else {**found, ("cached_tokens", "value"): cached}


def _measured(row: Record) -> MeasuredCall:
    arrived, first, finished = (
        seconds_to_ns(row.number(name)) for name in ("t_arrival", "t_first_token", "t_finish")
    )
    if not arrived <= first <= finished:
        raise row.fault("t_first_token", "a time between t_arrival and t_finish")
    name = row.text("id")
    return MeasuredCall(
        session=row.text_or("session", name),
        call=name,
        submitted_ns=arrived,
        first_token_ns=first,
        finished_ns=finished,
        prompt_tokens=row.count("prompt_len", 1),
        output_tokens=row.count("output_len", 1),
        cached_tokens=row.count_or("cached_tokens", 0),
    )


def _means(repeats: Sequence[Figures]) -> Figures:
    """The mean of each figure that all repeats have."""
    first, *others = repeats
    common = [key for key in first if all(key in figures for figures in others)]
    return {key: fmean(figures[key] for figures in repeats) for key in common}


def read_workload(path: Path) -> Trace:
    """The load of such a run: sessions whose turns wait for one another.

    Raises
    ------
    UserError
        If a field is missing or wrong.
    """
    plan = read_object(path)
    sessions = plan.fields.get("sessions")
    if not isinstance(sessions, list) or not sessions:
        raise plan.fault("sessions", "a list of sessions")
    return Trace([_session(path, number, session) for number, session in enumerate(sessions)])


def _session(path: Path, number: int, session: Any) -> Session:
    where = f"{path}: sessions[{number}]"
    row = Record(where, session if isinstance(session, dict) else {})
    turns = row.fields.get("turns")
    if not isinstance(turns, list) or not turns:
        raise row.fault("turns", "a list of turns")
    calls: list[Call] = []
    wait_ns = 0
    for place, given in enumerate(turns):
        turn = Record(f"{where}.turns[{place}]", given if isinstance(given, dict) else {})
        segments = _segments(turn)
        calls.append(
            Call(
                id=turn.text("id"),
                input_tokens=sum(length for _, length in segments),
                output_tokens=turn.count("output_len", 1),
                after=(calls[-1].id,) if calls else (),
                delay_ns=wait_ns,
                turn=place,
                segments=segments,
            )
        )
        wait_ns = seconds_to_ns(turn.number("wait_s"))
    return Session(f"{number:05d}", tuple(calls), at_ns=seconds_to_ns(row.number("t_start")))


def _segments(turn: Record) -> tuple[tuple[str, int], ...]:
    given = turn.fields.get("prompt")
    expected = "a list of [segment, length]"
    if not isinstance(given, list) or not given:
        raise turn.fault("prompt", expected)
    for part in given:
        is_pair = isinstance(part, list) and len(part) == 2 and isinstance(part[0], str)
        if not is_pair or not isinstance(part[1], int) or part[1] < 1:
            raise turn.fault("prompt", expected)
    return tuple((name, length) for name, length in given)
