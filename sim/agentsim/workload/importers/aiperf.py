"""Mooncake rows with sessions, as aiperf replays them (and Dynamo's ``mooncake`` with turns).

``session_id`` joins the rows of a conversation, ``delay`` is the wait in ms after the turn before.
The prompt is ``input_length`` with or without ``hash_ids``, a ``text_input``, or whole ``messages``
(also as ``payload``, the body of a request). Whether a row's length is the whole prompt or what was
added since the last turn is not in the file: it shows in hashes and sizes, see `adds_to_session`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from agentsim.domain.units import NS_PER_MS
from agentsim.workload.importers.hashed import (
    Hash,
    block_tokens_of,
    blocks_of,
    hashes_of,
    head_rows,
    lengths_and_hashes,
    required,
)
from agentsim.workload.importers.logged import LoggedCall, Piece
from agentsim.workload.importers.sink import Sink
from agentsim.workload.importers.sources import LogFile, expect
from agentsim.workload.importers.values import in_ns, items, table, tokens

_GRAPH = ("wait_for", "branches", "tool_wait_ms", "dependencies", "play_id")
_OTHERS = (*_GRAPH, "chat_id", "type", "round_index", "prefix_tokens")
_DIALECT = ("session_id", "delay", "delay_ms", "request_id", "text_input", "messages", "payload")


def has_turns(file: LogFile) -> bool:
    """Whether a file has Mooncake's rows with more than the four fields of the plain format."""
    first = file.first
    if first is None or any(name in first for name in _OTHERS):
        return False
    if any(name in row for row in head_rows(file) for name in _GRAPH):
        return False
    if "text_input" in first or ("output_length" in first and _is_body(first)):
        return True
    if "input_length" not in first:
        return False
    return any(name in first for name in _DIALECT) or "timestamp" not in first


def _is_body(row: dict[str, Any]) -> bool:
    return "messages" in row or "payload" in row


def is_aiperf(file: LogFile) -> bool:
    """Whether a file has such rows, and they hold whole prompts."""
    return has_turns(file) and not adds_to_session(file)


def read_aiperf(file: LogFile, sink: Sink) -> None:
    """Read the rows of a file; those of a session hold whole prompts."""
    read_turns(file, sink, adds=False)


def adds_to_session(file: LogFile) -> bool:
    """Whether rows hold what was added since the turn before, by most pairs of turns in the head.

    Whole prompts go on with the hashes of the one before; without hashes they are at least as long
    as it and its answer.
    """
    last: dict[str, dict[str, Any]] = {}
    votes = 0
    for row in head_rows(file):
        session = row.get("session_id")
        before = last.get(str(session)) if session is not None else None
        if session is not None:
            last[str(session)] = row
        if before is None:
            continue
        old, new = before.get("hash_ids"), row.get("hash_ids")
        if isinstance(old, list) and isinstance(new, list) and old and new:
            votes += 1 if old[0] != new[0] else -1
        elif "text_input" in row:
            votes += 1
        else:
            sizes = [before.get("input_length"), before.get("output_length", 0)]
            length = row.get("input_length")
            if isinstance(length, int) and all(isinstance(size, int) for size in sizes):
                votes += 1 if length < sum(size for size in sizes if size) else -1
    return votes > 0


@dataclass
class _Turn:
    """The last turn of a session: its id, and tokens of its prompt and answer together."""

    id: str
    whole: int


def read_turns(file: LogFile, sink: Sink, *, adds: bool) -> None:
    """Read the rows of a file.

    Parameters
    ----------
    file : LogFile
    sink : Sink
    adds : bool
        A row holds what was added since the turn before.
    """
    size = block_tokens_of(lengths_and_hashes(head_rows(file)))
    turns: dict[str, _Turn] = {}
    for number, row in sink.objects(file):
        with sink.guard():
            session = row.get("session_id")
            if session is not None and (not isinstance(session, str | int) or session == ""):
                raise expect(file, number, "session_id", session, "a string that is not empty")
            before = turns.get(str(session)) if session is not None else None
            call = _call(file, number, row, sink, size=size, before=before if adds else None)
            if before is not None:
                call = msgspec.structs.replace(call, after=(before.id,))
            sink.call(f"{file.stem}-{number:07d}" if session is None else str(session), call)
            if session is not None:
                turns[str(session)] = _Turn(call.id, call.input_tokens + call.output_tokens)


def _call(
    file: LogFile,
    number: int,
    row: dict[str, Any],
    sink: Sink,
    *,
    size: int,
    before: _Turn | None,
) -> LoggedCall:
    """The call of a row; `before`: the turn that its input is added to."""
    name = str(row.get("request_id", number))
    pieces = _pieces(file, number, row, sink)
    hashes: tuple[Hash, ...] | None = None
    if pieces is not None:
        length = sum(piece.tokens for piece in pieces)
    else:
        length = required(file, number, "input_length", row.get("input_length"))
        if row.get("hash_ids") is not None:
            hashes = hashes_of(file, number, "hash_ids", row["hash_ids"])
            own = f"{file.stem}-{number}"
            hashes = blocks_of(file, number, hashes, length=length, size=size, name=own)
    output = tokens(file, number, "output_length", row.get("output_length"))
    if output is None:
        sink.warn("answers of unknown length; taken as empty", f"{file.name}:{number}")
    delay = row.get("delay", row.get("delay_ms"))
    call = LoggedCall(
        id=name,
        input_tokens=length,
        output_tokens=output or 0,
        output_estimated=output is None,
        input_estimated=pieces is not None and sink.counter.is_estimate,
        start_ns=in_ns(file, number, "timestamp", row.get("timestamp"), NS_PER_MS),
        delay_ns=in_ns(file, number, "delay", delay, NS_PER_MS),
        blocks=hashes,
        block_tokens=size if hashes is not None else 0,
        pieces=pieces,
    )
    if before is None:
        return call
    return msgspec.structs.replace(
        call,
        input_tokens=before.whole + length,
        base=before.id,
        keep=before.whole,
        blocks=None,
        block_tokens=0,
        pieces=None,
    )


def _pieces(
    file: LogFile, number: int, row: dict[str, Any], sink: Sink
) -> tuple[Piece, ...] | None:
    """The prompt as text, where the row has it."""
    text = row.get("text_input")
    if text is not None:
        if not isinstance(text, str):
            raise expect(file, number, "text_input", text, "a string")
        return (sink.piece("user", text),)
    body = table(file, number, "payload", row.get("payload")) or row
    if body.get("messages") is None:
        return None
    found = []
    if body.get("tools"):
        found.append(sink.piece("tools", _text(body["tools"])))
    for index, message in enumerate(items(file, number, "messages", body["messages"])):
        each = table(file, number, f"messages[{index}]", message)
        rest = {key: value for key, value in each.items() if key not in ("role", "content")}
        text = _text(each.get("content")) + (_text(rest) if rest else "")
        found.append(sink.piece(str(each.get("role", "")), text))
    return tuple(found)


def _text(value: Any) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    return msgspec.json.encode(value, order="sorted").decode()
