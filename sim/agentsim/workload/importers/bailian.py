"""Alibaba's Bailian traces: chat requests with block hashes, linked by the chat they go on with.

``{"chat_id", "parent_chat_id", "timestamp", "input_length", "output_length", "type", "turn",
"hash_ids"}``: timestamps in seconds, blocks of 16 tokens, -1 for no parent
(qwen-bailian-usagetraces-anon). A session is a root with all that goes on from it.
"""

from __future__ import annotations

from typing import Any

from agentsim.workload.importers.hashed import blocks_of, hashes_of, required
from agentsim.workload.importers.logged import LoggedCall
from agentsim.workload.importers.sink import Sink
from agentsim.workload.importers.sources import LogFile, expect
from agentsim.workload.importers.values import nanoseconds

BLOCK_TOKENS = 16


def is_bailian(file: LogFile) -> bool:
    """Whether the first row has these fields."""
    first = file.first or {}
    return "chat_id" in first and "input_length" in first


def read_bailian(file: LogFile, sink: Sink) -> None:
    """Read the requests of a file. A request comes after the one that it goes on from."""
    roots: dict[str, str] = {}
    for number, row in sink.objects(file):
        with sink.guard():
            chat = _id(file, number, "chat_id", row.get("chat_id"))
            parent = _id(file, number, "parent_chat_id", row.get("parent_chat_id", -1))
            if parent != "-1" and parent not in roots:
                sink.warn("chats that go on from one not logged before", f"{file.name}:{number}")
            sink.call(
                roots.get(parent, chat),
                LoggedCall(
                    id=chat,
                    input_tokens=required(file, number, "input_length", row.get("input_length")),
                    output_tokens=required(file, number, "output_length", row.get("output_length")),
                    start_ns=nanoseconds(file, number, "timestamp", row.get("timestamp")),
                    after=(parent,) if parent in roots else (),
                    trigger="user",
                    **_blocks(file, number, row, chat),
                ),
            )
            roots[chat] = roots.get(parent, chat)


def _id(file: LogFile, number: int, name: str, value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int | str) or value == "":
        raise expect(file, number, name, value, "an integer or a string that is not empty")
    return str(value)


def _blocks(file: LogFile, number: int, row: dict[str, Any], chat: str) -> dict[str, Any]:
    if row.get("hash_ids") is None:
        return {}
    hashes = hashes_of(file, number, "hash_ids", row["hash_ids"])
    length = required(file, number, "input_length", row.get("input_length"))
    blocks = blocks_of(file, number, hashes, length=length, size=BLOCK_TOKENS, name=f"chat-{chat}")
    return {"blocks": blocks, "block_tokens": BLOCK_TOKENS}
