"""BurstGPT: requests to ChatGPT and GPT-4 of a campus, a CSV row each.

``Timestamp,Session ID,Elapsed time,Model,Request tokens,Response tokens,Total tokens,Log Type``,
times in seconds; older files have no ``Session ID`` and ``Elapsed time`` (Wang et al., "BurstGPT",
KDD 2025). Only conversation logs have a session. Failed requests have 0 response tokens.
"""

from __future__ import annotations

from agentsim.workload.importers.hashed import required
from agentsim.workload.importers.logged import LoggedCall
from agentsim.workload.importers.sink import Sink
from agentsim.workload.importers.sources import LogFile
from agentsim.workload.importers.values import nanoseconds

_COLUMNS = ("Timestamp", "Model", "Request tokens", "Response tokens")


def is_burstgpt(file: LogFile) -> bool:
    """Whether a file has these columns."""
    return set(_COLUMNS) <= set(file.columns)


def read_burstgpt(file: LogFile, sink: Sink) -> None:
    """Read the requests of a file."""
    for number, row in sink.rows(file, _COLUMNS):
        with sink.guard():
            start_ns = nanoseconds(file, number, "Timestamp", row["Timestamp"])
            lasted_ns = nanoseconds(file, number, "Elapsed time", row.get("Elapsed time"))
            output = required(file, number, "Response tokens", row["Response tokens"])
            if not output:
                sink.warn("failed requests, without an answer", f"{file.name}:{number}")
            call = LoggedCall(
                id=str(number),
                input_tokens=required(file, number, "Request tokens", row["Request tokens"]),
                output_tokens=output,
                model=row["Model"] or None,
                start_ns=start_ns,
                end_ns=None if start_ns is None or lasted_ns is None else start_ns + lasted_ns,
                finish=None if output else "error",
            )
            sink.call(row.get("Session ID") or f"{file.stem}-{number:07d}", call)
