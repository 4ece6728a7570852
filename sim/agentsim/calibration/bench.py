"""Results of ``vllm bench serve --save-result --save-detailed`` as measured runs.

For files that do not state their server (`agentsim.validation.bench_files` reads those that do):
the command of the fit says which GPU it was, and how it was set.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from agentsim.domain.trace import Trace
from agentsim.domain.units import seconds_to_ns
from agentsim.errors import ConfigError, UnknownName
from agentsim.machine.catalog import find_model
from agentsim.validation import Case, MeasuredCall, measured_run
from agentsim.validation.bench_files import SERVER_FILE
from agentsim.validation.case import figures_of
from agentsim.validation.draws import one_call
from agentsim.validation.tables import Record, read_object

_LISTS = ("input_lens", "output_lens", "ttfts", "itls", "start_times")
#: Beyond this a mean in milliseconds is not the mean of the seconds beside it.
_MOST = 30.0


def is_stated(path: Path) -> bool:
    """Whether the file, or ``server.toml`` beside it, says which GPU it is of."""
    return read_object(path).has("gpu") or (path.parent / SERVER_FILE).is_file()


def read_bench(path: Path, gpu: str, model: str | None) -> Iterator[Case]:
    """The run of a detailed result.

    Parameters
    ----------
    model : str or None
        What was served, where the name in the file is in no table.

    Raises
    ------
    UnknownName
        If neither is in the table.
    ConfigError, UserError
        Naming the file: no detailed result, lists of different lengths, negative times, mixed
        units.
    """
    record = read_object(path)
    lists = {name: record.fields.get(name) for name in _LISTS}
    for name, values in lists.items():
        if not isinstance(values, list):
            raise ConfigError(
                f"{path}: missing field {name!r}: expected the result of 'vllm bench serve "
                "--save-result --save-detailed'"
            )
    lengths = {name: len(values or ()) for name, values in lists.items()}
    if len(set(lengths.values())) != 1 or not lengths["ttfts"]:
        raise ConfigError(f"{path}: expected lists of one length, got {lengths}")
    calls = [_call(path, number, lists) for number in range(lengths["ttfts"])]
    start = min(call.submitted_ns for call in calls)
    calls = sorted((_since(call, start) for call in calls), key=lambda call: call.submitted_ns)
    figures = figures_of(measured_run(calls))
    _check_units(path, record, figures[("ttft", "mean")])
    sessions = [
        one_call(call.session, call.submitted_ns, (("~own", call.prompt_tokens),),
                 call.output_tokens)
        for call in calls
    ]  # fmt: skip
    yield Case(
        run_id=path.stem,
        source=path.name,
        gpu=gpu,
        model=_model(record, model),
        measured=figures,
        trace=lambda _: Trace(sessions),
        settings=("agents.arrival=recorded",),
        num_repeats=1,
    )


def _call(path: Path, number: int, lists: dict[str, list[object] | None]) -> MeasuredCall:
    prompt, output, first, gaps, start = (_item(lists, name, number) for name in _LISTS)
    row = Record(
        f"{path}: request {number + 1}",
        {"input_lens": prompt, "output_lens": output, "ttfts": first, "start_times": start},
    )
    if not isinstance(gaps, list):
        raise row.fault("itls", "a list of seconds")
    pieces = [Record(row.where, {"itls": gap}).number("itls") for gap in gaps]
    made = row.count("output_lens")
    at_ns, first_s = seconds_to_ns(row.number("start_times")), row.number("ttfts")
    first_ns = at_ns + seconds_to_ns(first_s)
    return MeasuredCall(
        session=f"{number:07d}",
        call="main/0",
        submitted_ns=at_ns,
        first_token_ns=first_ns,
        finished_ns=first_ns + seconds_to_ns(sum(pieces)),
        prompt_tokens=row.count("input_lens", 1),
        output_tokens=max(1, made),
        status="finished" if made and first_s > 0 else "failed",
    )


def _item(lists: dict[str, list[object] | None], name: str, number: int) -> object:
    return (lists[name] or [])[number]


def _since(call: MeasuredCall, start_ns: int) -> MeasuredCall:
    return MeasuredCall(
        call.session, call.call, call.submitted_ns - start_ns, call.first_token_ns - start_ns,
        call.finished_ns - start_ns, call.prompt_tokens, call.output_tokens, status=call.status,
    )  # fmt: skip


def _check_units(path: Path, record: Record, mean_s: float) -> None:
    if not record.has("mean_ttft_ms"):
        return
    ratio = record.number("mean_ttft_ms") / (1e3 * mean_s)
    if not 1 / _MOST < ratio < _MOST:
        raise ConfigError(
            f"{path}: 'mean_ttft_ms' is {1e3 * ratio:.3g} times the mean of 'ttfts', expected "
            "1000: mixed units"
        )


def _model(record: Record, given: str | None) -> str:
    """The name in the file, if it is in the table; else the one that the user gave."""
    name = record.text_or("model_id", given or "")
    try:
        return find_model(name).name
    except UnknownName:
        if given is None:
            raise
        return given
