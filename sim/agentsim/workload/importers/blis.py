"""BLIS' TraceV2: a header in YAML and requests in CSV, in two files or one after the other.

The header says ``trace_version``, ``time_unit: microseconds`` and perhaps
``session_context_growth``; of it only these lines are read. A request has ``session_id`` and
``round_index``, ``prefix_group`` and ``prefix_length`` (put before its ``input_tokens``),
``server_input_tokens`` (with them; 0: not recorded), times in us (0: not recorded) and perhaps
``think_time_us``, the wait before it (inference-sim, sim/workload/tracev2.go).
"""

from __future__ import annotations

import re

from agentsim.workload.importers.hashed import required
from agentsim.workload.importers.logged import LoggedCall, Piece
from agentsim.workload.importers.sink import Sink, digest
from agentsim.workload.importers.sources import LogFile, find_logs
from agentsim.workload.importers.values import in_ns

_COLUMNS = ("request_id", "session_id", "round_index", "input_tokens", "output_tokens")
_MARKS = ("prefix_group", "arrival_time_us")
_FIELD = re.compile(r"^(trace_version|time_unit|session_context_growth):\s*[\"']?([\w.-]+)", re.M)
_VERSIONS = ("2", "3")


def is_blis(file: LogFile) -> bool:
    """Whether a file is such a header, such a table, or both."""
    if file.text.startswith("trace_version:") or "\ntrace_version:" in file.text:
        return True
    return {*_COLUMNS, *_MARKS} <= set(file.columns)


def read_blis(file: LogFile, sink: Sink) -> None:
    """Read the requests of a file; one with the header alone has none."""
    header = _header(file, sink)
    adds = header.get("session_context_growth") == "accumulate"
    wholes: dict[str, int] = {}
    for number, row in sink.rows(file, (*_COLUMNS, *_MARKS), begins=_COLUMNS[0]):
        with sink.guard():
            session = row["session_id"] or f"{file.stem}-{row['request_id']}"
            call = _call(file, number, row, wholes.get(session) if adds else None)
            if session in wholes and not header:
                sink.warn("rounds without a header; taken as whole prompts", file.name)
            if row.get("status", "ok") not in ("ok", ""):
                sink.warn("requests that failed", f"{file.name}:{number}")
            sink.call(session, call)
            wholes[session] = call.input_tokens + call.output_tokens


def _header(file: LogFile, sink: Sink) -> dict[str, str]:
    """The header's lines in the file itself, or in the YAML file beside it."""
    text = file.text
    if "trace_version:" not in text and file.path is not None:
        stem = file.path.name.removesuffix(".gz").removesuffix(".csv")
        for name in (stem, stem.replace("data", "header")):
            beside = file.path.with_name(f"{name}.yaml")
            if beside.is_file() and not beside.is_symlink():
                (found,) = find_logs([str(beside)], sink.warn)
                text = found.text
    header = dict(_FIELD.findall(text))
    version, unit = header.get("trace_version"), header.get("time_unit", "microseconds")
    if version is not None and version not in _VERSIONS:
        raise file.error(f"trace_version {version!r}: expected one of {', '.join(_VERSIONS)}")
    if unit != "microseconds":
        raise file.error(f"time_unit {unit!r}: expected 'microseconds'")
    return header


def _call(file: LogFile, number: int, row: dict[str, str], whole: int | None) -> LoggedCall:
    """The call of a row; `whole`: tokens of the round before, which its input is added to."""
    own = required(file, number, "input_tokens", row["input_tokens"])
    group = row["prefix_group"]
    prefix = required(file, number, "prefix_length", row.get("prefix_length") or 0)
    prefix = prefix if group else 0
    server = required(file, number, "server_input_tokens", row.get("server_input_tokens") or 0)
    length = server or prefix + own
    round_index = required(file, number, "round_index", row["round_index"])
    is_added = whole is not None and round_index > 0
    if is_added and not server:
        length = (whole or 0) + own
    start_us = _us(file, number, row, "send_time_us") or _us(file, number, row, "arrival_time_us")
    think_us = _us(file, number, row, "think_time_us")
    pieces = None
    if prefix and not round_index:
        shared = min(prefix, length)
        rest = Piece(digest("blis", f"{file.stem}:{row['request_id'] or number}"), length - shared)
        pieces = (Piece(digest("prefix_group", f"{group}:{prefix}"), shared), rest)
    return LoggedCall(
        id=row["request_id"] or str(number),
        input_tokens=length,
        output_tokens=required(file, number, "output_tokens", row["output_tokens"]),
        model=row.get("model") or None,
        start_ns=start_us or _arrival(file, number, row),
        first_token_ns=_us(file, number, row, "first_chunk_time_us"),
        end_ns=_us(file, number, row, "last_chunk_time_us"),
        delay_ns=think_us if round_index else None,
        pieces=pieces,
        keep=min(whole or 0, length) if is_added else None,
        finish=row.get("finish_reason") or None,
    )


def _us(file: LogFile, number: int, row: dict[str, str], name: str) -> int | None:
    """Microseconds, in nanoseconds; 0 stands for what was not recorded."""
    return in_ns(file, number, name, row.get(name), 1000) or None


def _arrival(file: LogFile, number: int, row: dict[str, str]) -> int | None:
    """A time of arrival may be 0: it counts from the start of the trace."""
    return None if row["arrival_time_us"] == "" else 0
