"""Plain Mooncake requests, so that they can be imported beside logs of other formats.

`agentsim.workload.mooncake` has the rows and reads them directly as a trace; here each is one
session of one call at its time.
"""

from __future__ import annotations

from agentsim.domain.units import NS_PER_MS
from agentsim.workload.importers.hashed import hashes_of
from agentsim.workload.importers.logged import LoggedCall
from agentsim.workload.importers.sink import Sink
from agentsim.workload.importers.sources import LogFile
from agentsim.workload.mooncake import BLOCK_TOKENS, check_row
from agentsim.workload.mooncake import is_mooncake as is_row


def is_mooncake(file: LogFile) -> bool:
    """Whether the first row is one of this format."""
    return file.first is not None and is_row(file.first)


def read_mooncake(file: LogFile, sink: Sink) -> None:
    """Read the requests of a file."""
    stem = file.stem
    for number, record in sink.objects(file):
        with sink.guard():
            row, faults = check_row(record)
            if row is None or faults:
                raise file.error("; ".join(map(str, faults)), number)
            call = LoggedCall(
                id=f"{number}",
                input_tokens=row.input_length,
                output_tokens=row.output_length,
                start_ns=round(row.timestamp * NS_PER_MS),
                blocks=hashes_of(file, number, "hash_ids", row.hash_ids),
                block_tokens=BLOCK_TOKENS,
            )
            sink.call(f"{stem}-{number:07d}", call)
