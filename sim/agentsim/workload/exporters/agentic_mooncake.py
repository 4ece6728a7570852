"""Dynamo's ``agentic_mooncake`` (first version): calls that wait for one another, with hashes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from agentsim.domain.trace import Call, Session, Trace
from agentsim.workload.exporters.mooncake import milliseconds
from agentsim.workload.exporters.prompts import BlockIds, SessionBlocks, SessionPrompts
from agentsim.workload.exporters.report import ExportReport
from agentsim.workload.exporters.times import wait_ns


def agentic_mooncake_lines(trace: Trace, report: ExportReport, block_size: int) -> Iterator[bytes]:
    """A line for each call, session by session."""
    ids = BlockIds(block_size)
    for session in trace:
        report.session(session)
        calls = {call.id: call for call in session.calls}
        prompts, blocks = SessionPrompts(session), SessionBlocks(ids)
        for call in session.calls:
            row = {
                "request_id": f"{session.id}/{call.id}",
                "session_id": session.id if call.agent == "main" else f"{session.id}/{call.agent}",
                "input_length": call.input_tokens,
                "output_length": call.output_tokens,
                "hash_ids": blocks.add(call, prompts.add(call)),
                "wait_for": [f"{session.id}/{other}" for other in call.after],
                **_times(session, call, calls, report),
            }
            yield msgspec.json.encode(row)


def _times(
    session: Session, call: Call, calls: dict[str, Call], report: ExportReport
) -> dict[str, Any]:
    """Roots have a time, the others a wait: that for tools has its own field."""
    if not call.after:
        at_ns = call.at_ns if call.at_ns is not None else call.delay_ns or 0
        return {"timestamp": milliseconds(session.at_ns + at_ns)}
    name = "tool_wait_ms" if call.trigger == "tool" else "delay"
    return {name: milliseconds(wait_ns(call, calls, report.lose))}
