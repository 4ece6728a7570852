"""tau-bench results: a JSON array of runs, each with the messages of its conversation.

An assistant's message is a call; its prompt is all messages before it. Text is counted, tool calls
as the JSON that stands there; the definitions of tools are not in the file, nor any times.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from agentsim.workload.importers.logged import LoggedCall, LoggedTool, Piece
from agentsim.workload.importers.records import first_text, records_in
from agentsim.workload.importers.sink import Sink, digest
from agentsim.workload.importers.sources import LogFile, expect
from agentsim.workload.importers.tokens import MESSAGE_TOKENS
from agentsim.workload.importers.values import items, table

_KEYS = {"task_id", "traj"}


def is_tau_bench(file: LogFile) -> bool:
    """Whether a file holds runs with these keys."""
    return file.keys >= _KEYS


def read_tau_bench(file: LogFile, sink: Sink) -> None:
    """Read the runs of a file."""
    for number, run in records_in(file, sink):
        with sink.guard():
            task = first_text(run, "task_id")
            if task is None:
                raise expect(file, number, "task_id", run.get("task_id"), "an id")
            session = f"{file.stem}/{task}/{first_text(run, 'trial') or 0}"
            calls = list(_calls(file, number, run, sink))
            if not calls:
                sink.warn("runs without an answer; left out", session)
            for call in calls:
                sink.call(session, call)


def _calls(file: LogFile, number: int, run: dict[str, Any], sink: Sink) -> Iterator[LoggedCall]:
    pieces: tuple[Piece, ...] = ()
    last = "user"
    for ordinal, each in enumerate(items(file, number, "traj", run.get("traj"))):
        message = table(file, number, "traj[]", each)
        role = first_text(message, "role") or ""
        called = items(file, number, "tool_calls", message.get("tool_calls"))
        piece = _piece(role, message, called, sink)
        if role == "assistant":
            yield LoggedCall(
                id=f"{ordinal}",
                input_tokens=sum(piece.tokens for piece in pieces),
                output_tokens=piece.tokens,
                pieces=pieces,
                answer=piece.digest,
                trigger=last if last in ("user", "tool") else None,
                tools=tuple(LoggedTool(_name(file, number, call)) for call in called),
                input_estimated=sink.counter.is_estimate,
                output_estimated=sink.counter.is_estimate,
            )
        pieces = (*pieces, piece)
        last = role


def _piece(role: str, message: dict[str, Any], called: list[Any], sink: Sink) -> Piece:
    content = message.get("content")
    texts = [content if isinstance(content, str) else json.dumps(content) if content else ""]
    texts.append(json.dumps(called) if called else "")
    tokens = sum(sink.count(text) for text in texts) + MESSAGE_TOKENS
    return Piece(digest(role, "\x1f".join(texts)), tokens)


def _name(file: LogFile, number: int, call: Any) -> str:
    function = table(file, number, "tool_calls[]", call).get("function")
    found = first_text(table(file, number, "function", function), "name")
    return found or "tool"
