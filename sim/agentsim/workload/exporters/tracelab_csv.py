"""TraceLab's replay CSV: rounds of a session, by how much of the round before they begin with."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

from agentsim.domain.trace import Trace
from agentsim.workload.exporters.chains import chains
from agentsim.workload.exporters.mooncake import milliseconds
from agentsim.workload.exporters.report import ExportReport

_COLUMNS = (
    "session_id",
    "round_idx",
    "prefix_len",
    "input_len",
    "output_len",
    "tool_wait_after_ms",
    "arrival_time",
)
SHARED = "prompts that begin with tokens of other calls than the one before of the agent"


def tracelab_csv_lines(trace: Trace, report: ExportReport, block_size: int) -> Iterator[bytes]:
    """A header, then a line for each call, chain by chain; `block_size` has no meaning here."""
    del block_size
    yield _line(_COLUMNS)
    for session in trace:
        report.session(session)
        for name, links in chains(session, report.lose, whole=False):
            waits = [link.wait_ns for link in links[1:]]
            for turn, (link, wait_ns) in enumerate(zip(links, [*waits, 0], strict=True)):
                call = link.call
                if _is_shared(call.extends, links[turn - 1].call.id if turn else None):
                    report.lose(SHARED)
                values = (name, turn, link.shared, call.input_tokens - link.shared)
                times = (milliseconds(wait_ns), milliseconds(links[0].at_ns))
                yield _line((*values, call.output_tokens, *times))


def _is_shared(base: str | None, before: str | None) -> bool:
    """Whether a prompt goes on from a call that is not the one before it in its chain."""
    return base is not None and base != before


def _line(values: tuple[object, ...]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(values)
    return text.getvalue().encode()
