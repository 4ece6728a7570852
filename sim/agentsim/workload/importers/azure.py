"""Azure's LLM inference traces: one CSV row a request, with its arrival and two token counts.

``TIMESTAMP,ContextTokens,GeneratedTokens`` (Patel et al., "Splitwise", ISCA 2024, and its
AzurePublicDataset). A request is a session of one call; who goes on with whose conversation, and
what prompts share, is not in the file.
"""

from __future__ import annotations

from agentsim.workload.importers.logged import LoggedCall
from agentsim.workload.importers.sink import Sink
from agentsim.workload.importers.sources import LogFile
from agentsim.workload.importers.values import timestamp, tokens

_COLUMNS = ("TIMESTAMP", "ContextTokens", "GeneratedTokens")


def is_azure(file: LogFile) -> bool:
    """Whether a file has these columns."""
    return file.columns[: len(_COLUMNS)] == _COLUMNS


def read_azure(file: LogFile, sink: Sink) -> None:
    """Read the requests of a file."""
    stem = file.stem
    for number, row in sink.rows(file, _COLUMNS):
        with sink.guard():
            call = LoggedCall(
                id=f"{number}",
                input_tokens=tokens(file, number, "ContextTokens", row["ContextTokens"]) or 0,
                output_tokens=tokens(file, number, "GeneratedTokens", row["GeneratedTokens"]) or 0,
                start_ns=timestamp(file, number, "TIMESTAMP", row["TIMESTAMP"]),
            )
            sink.call(f"{stem}-{number:07d}", call)
