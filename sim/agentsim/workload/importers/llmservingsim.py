"""LLMServingSim's workloads: sessions of requests with tool times between, or single requests.

``{"session_id", "arrival_time_ns", "sub_requests": [{"input_toks", "output_toks",
"tool_duration_ns", "input_tok_ids"}]}``: the tool runs after the answer. Rows without
``sub_requests`` are requests by themselves. Prompts share what their token ids share; without ids
LLMServingSim reuses nothing, here the growth of the prompts tells.
"""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from agentsim.workload.importers.hashed import hashes_of, required
from agentsim.workload.importers.logged import LoggedCall, LoggedTool
from agentsim.workload.importers.sink import Sink
from agentsim.workload.importers.sources import LogFile, expect
from agentsim.workload.importers.values import items, table, tokens

#: Tokens of the blocks that token ids are cut into: vLLM's own.
_BLOCK_TOKENS = 16
_MAX_NS = 4 * 10**18


def is_llmservingsim(file: LogFile) -> bool:
    """Whether the first row is a session or a request of this kind."""
    first = file.first or {}
    return "sub_requests" in first or {"input_toks", "output_toks"} <= set(first)


def read_llmservingsim(file: LogFile, sink: Sink) -> None:
    """Read the sessions of a file."""
    for number, row in sink.objects(file):
        with sink.guard():
            name = row.get("session_id", f"{file.stem}-{number:07d}")
            if isinstance(name, bool) or not isinstance(name, int | str) or name == "":
                raise expect(file, number, "session_id", name, "a string that is not empty")
            for call in _calls(file, number, row, sink):
                sink.call(str(name), call)


def _calls(file: LogFile, number: int, row: dict[str, Any], sink: Sink) -> list[LoggedCall]:
    start_ns = _ns(file, number, "arrival_time_ns", row.get("arrival_time_ns"))
    parts = items(file, number, "sub_requests", row.get("sub_requests", [row]))
    calls: list[LoggedCall] = []
    wait_ns: int | None = None
    for index, value in enumerate(parts):
        part = table(file, number, f"sub_requests[{index}]", value)
        lasts_ns = _ns(file, number, "tool_duration_ns", part.get("tool_duration_ns"))
        blocks = _blocks(file, number, part)
        if index and blocks is None:
            sink.warn("prompts without token ids; what they share is estimated", str(file.name))
        calls.append(
            LoggedCall(
                id=str(index),
                input_tokens=required(file, number, "input_toks", part.get("input_toks")),
                output_tokens=required(file, number, "output_toks", part.get("output_toks")),
                start_ns=None if index else start_ns,
                after=(str(index - 1),) if index else (),
                delay_ns=wait_ns if index else None,
                trigger="tool" if index else None,
                blocks=blocks,
                block_tokens=_BLOCK_TOKENS if blocks is not None else 0,
                hides_blocks=blocks is not None,
                keep=tokens(file, number, "prefix_reuse_toks", part.get("prefix_reuse_toks")),
                tools=(LoggedTool("unnamed", duration_ns=lasts_ns),) if lasts_ns else (),
            )
        )
        wait_ns = lasts_ns
    return calls


def _ns(file: LogFile, number: int, name: str, value: Any) -> int | None:
    """A time in nanoseconds; None where the log has none."""
    if value is None:
        return None
    found = int(value) if isinstance(value, float) and value.is_integer() else value
    if isinstance(found, bool) or not isinstance(found, int) or not 0 <= found <= _MAX_NS:
        raise expect(file, number, name, value, "an integer of nanoseconds >= 0")
    return found


def _blocks(file: LogFile, number: int, part: dict[str, Any]) -> tuple[int, ...] | None:
    """Chained hashes of the token ids of a prompt."""
    if not part.get("input_tok_ids"):
        return None
    ids = hashes_of(file, number, "input_tok_ids", part["input_tok_ids"])
    if len(ids) != part.get("input_toks"):
        raise expect(file, number, "input_tok_ids", len(ids), f"{part.get('input_toks')} ids")
    found: list[int] = []
    chain = hashlib.blake2b(digest_size=8)
    for at in range(0, len(ids), _BLOCK_TOKENS):
        chain.update(msgspec.msgpack.encode(ids[at : at + _BLOCK_TOKENS]))
        found.append(int.from_bytes(chain.digest(), "little") >> 1)
    return tuple(found)
