"""The formats that a trace can be exported to, one file and one row each: `TARGETS`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from agentsim.domain.trace import Trace
from agentsim.errors import ConfigError
from agentsim.registry import Registry
from agentsim.workload.exporters.agentic_mooncake import agentic_mooncake_lines
from agentsim.workload.exporters.aiperf import aiperf_lines
from agentsim.workload.exporters.mooncake import mooncake_lines
from agentsim.workload.exporters.report import ExportReport
from agentsim.workload.exporters.tracelab_csv import tracelab_csv_lines
from agentsim.workload.heads import share_heads
from agentsim.workload.write import write_lines

#: Tokens that a hash stands for in the public Mooncake traces, and where aiperf and Dynamo are not
#: told otherwise.
BLOCK_TOKENS = 512


@dataclass(frozen=True, slots=True)
class Target:
    """One format to export to.

    Attributes
    ----------
    about : str
        What it is, in a few words.
    lines : function
        The lines of its file, given a trace, a report to fill in and the tokens of a block.
    """

    about: str
    lines: Callable[[Trace, ExportReport, int], Iterator[bytes]]


TARGETS: Registry[Target] = Registry(
    "export format",
    {
        "mooncake": Target("Mooncake requests at fixed times", mooncake_lines),
        "aiperf": Target("Mooncake rows with sessions and waits, for aiperf", aiperf_lines),
        "agentic-mooncake": Target(
            "Dynamo's Mooncake rows that wait for one another", agentic_mooncake_lines
        ),
        "tracelab-csv": Target("TraceLab's replay CSV", tracelab_csv_lines),
    },
)


def export(
    trace: Trace, target: str, path: str | os.PathLike[str], *, block_size: int = BLOCK_TOKENS
) -> ExportReport:
    """Write a trace in another format; the file appears when it is complete.

    Parameters
    ----------
    trace : Trace
        Sessions that declare equal heads share them in the file.
    target : str
        A name in `TARGETS`.
    block_size : int
        Tokens that a hash stands for, where the target has hashes.

    Returns
    -------
    ExportReport
        What was written, and what the target cannot hold.

    Raises
    ------
    UnknownName, ConfigError
        No such target, no such block size.
    TraceError
        If the file cannot be written.
    """
    if block_size < 1:
        raise ConfigError(f"--block-size: expected an integer >= 1, got {block_size}")
    report = ExportReport()
    write_lines(TARGETS[target].lines(share_heads(trace), report, block_size), path)
    return report
