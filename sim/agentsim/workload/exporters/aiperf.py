"""aiperf's dialect of Mooncake JSONL: sessions of turns, each with the wait before it.

aiperf puts the rows of a session one after the other, with the server's answers between them, so a
row holds what its turn adds. A turn that does not go on with all that went before (compaction,
/clear) begins a session of its own.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from agentsim.domain.trace import Trace
from agentsim.workload.exporters.chains import chains
from agentsim.workload.exporters.mooncake import milliseconds
from agentsim.workload.exporters.prompts import BlockIds
from agentsim.workload.exporters.report import ExportReport


def aiperf_lines(trace: Trace, report: ExportReport, block_size: int) -> Iterator[bytes]:
    """A line for each call, chain by chain."""
    ids = BlockIds(block_size)
    for session in trace:
        report.session(session)
        for name, links in chains(session, report.lose, whole=True):
            for turn, (call, prompt, shared, wait_ns, at_ns) in enumerate(links):
                added = call.input_tokens - shared if turn else call.input_tokens
                row = {
                    "session_id": name,
                    **(
                        {"delay": milliseconds(wait_ns)}
                        if turn
                        else {"timestamp": milliseconds(at_ns)}
                    ),
                    "input_length": added,
                    "output_length": call.output_tokens,
                    "hash_ids": ids.fresh(added) if turn else ids.of(prompt, call.adapter),
                }
                yield msgspec.json.encode(row)
