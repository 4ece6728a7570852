"""Mooncake JSONL: every call at its time, with hashes; open loop."""

from __future__ import annotations

import heapq
from collections.abc import Iterator

import msgspec

from agentsim.domain.trace import Trace
from agentsim.domain.units import NS_PER_MS
from agentsim.workload.exporters.prompts import BlockIds, SessionBlocks, SessionPrompts
from agentsim.workload.exporters.report import ExportReport
from agentsim.workload.exporters.times import submissions

NO_LOOP = "calls that wait for answers; sent at fixed times"


def mooncake_lines(trace: Trace, report: ExportReport, block_size: int) -> Iterator[bytes]:
    """A line for each call, in the order of their times."""
    ids = BlockIds(block_size)
    waiting: list[tuple[int, int, bytes]] = []
    number = 0
    for session in trace:
        while waiting and waiting[0][0] < session.at_ns:
            yield heapq.heappop(waiting)[2]
        report.session(session)
        at_ns = submissions(session, report.lose)
        prompts, blocks = SessionPrompts(session), SessionBlocks(ids)
        for call in session.calls:
            if call.after:
                report.lose(NO_LOOP)
            row = {
                "timestamp": milliseconds(at_ns[call.id]),
                "input_length": call.input_tokens,
                "output_length": call.output_tokens,
                "hash_ids": blocks.add(call, prompts.add(call)),
            }
            heapq.heappush(waiting, (at_ns[call.id], number, msgspec.json.encode(row)))
            number += 1
    while waiting:
        yield heapq.heappop(waiting)[2]


def milliseconds(time_ns: int) -> int | float:
    """A time in ms, whole where it is."""
    whole, rest = divmod(time_ns, NS_PER_MS)
    return time_ns / NS_PER_MS if rest else whole
