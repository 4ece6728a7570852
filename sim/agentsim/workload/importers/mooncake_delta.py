"""Mooncake rows that hold what a turn adds to its session (Dynamo's ``mooncake-delta``).

Also how aiperf takes the rows of a session by default. The prompt of a turn is that of the turn
before, its answer, and the row's ``input_length``.
"""

from __future__ import annotations

from agentsim.workload.importers.aiperf import adds_to_session, has_turns, read_turns
from agentsim.workload.importers.sink import Sink
from agentsim.workload.importers.sources import LogFile


def is_mooncake_delta(file: LogFile) -> bool:
    """Whether a file has rows of sessions, most of which do not repeat the turn before."""
    return has_turns(file) and adds_to_session(file)


def read_mooncake_delta(file: LogFile, sink: Sink) -> None:
    """Read the rows of a file."""
    read_turns(file, sink, adds=True)
