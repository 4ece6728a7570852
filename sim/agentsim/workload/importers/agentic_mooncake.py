"""Dynamo's ``agentic_mooncake``: Mooncake rows that wait for one another.

First version: ``{"request_id", "session_id", "input_length", "output_length", "hash_ids",
"wait_for": [...], "delay", "tool_wait_ms", "timestamp"}`` (ms); a row is sent ``delay`` +
``tool_wait_ms`` after the last of ``wait_for`` is answered, roots at ``timestamp``. Second version:
a header with ``block_size``, then rows with ``play_id``, ``not_before_ms`` and ``dependencies``
(``request_id``, ``trigger``, ``delay_ms``). All that wait for one another are a session here, their
``session_id`` the agents of it.
"""

from __future__ import annotations

from typing import Any

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
from agentsim.workload.importers.logged import LoggedCall
from agentsim.workload.importers.sink import Sink
from agentsim.workload.importers.sources import LogFile, expect
from agentsim.workload.importers.values import in_ns, items, table

_SCHEMA = "dynamo.agentic_mooncake"
_GRAPH = ("wait_for", "branches", "tool_wait_ms", "dependencies", "play_id")


def is_agentic_mooncake(file: LogFile) -> bool:
    """Whether a file has rows with request ids that wait for one another, or the header."""
    first = file.first or {}
    if first.get("schema") == _SCHEMA:
        return True
    if "request_id" not in first or not {"input_length", "input_tokens"} & set(first):
        return False
    return any(name in row for row in head_rows(file) for name in _GRAPH)


def read_agentic_mooncake(file: LogFile, sink: Sink) -> None:
    """Read the rows of a file."""
    _Reader(file, sink).read()


class _Reader:
    """The rows of one file, and which of their sessions are one."""

    def __init__(self, file: LogFile, sink: Sink) -> None:
        self._file, self._sink = file, sink
        self._size = 0
        self._is_local = False
        self._sessions: dict[str, str] = {}  # of requests
        self._agents: dict[str, str] = {}  # of the log's sessions
        self._joined: dict[str, str] = {}  # sessions that became part of another

    def read(self) -> None:
        """Read them all; sessions that turn out to be one are joined at the end."""
        self._size = block_tokens_of(lengths_and_hashes(head_rows(self._file)))
        for number, row in self._sink.objects(self._file):
            with self._sink.guard():
                if row.get("schema") == _SCHEMA:
                    self._header(number, row)
                else:
                    self._row(number, row)
        for session in self._joined:
            self._sink.join(self._whole(session), session)

    def _header(self, number: int, row: dict[str, Any]) -> None:
        self._size = required(self._file, number, "block_size", row.get("block_size"))
        if not self._size:
            raise expect(self._file, number, "block_size", 0, "an integer >= 1")
        self._is_local = row.get("hash_id_scope") == "local"

    def _row(self, number: int, row: dict[str, Any]) -> None:
        name = self._name(number, "request_id", row.get("request_id"))
        log_session = self._name(number, "session_id", row.get("session_id", name))
        after, delay_ns = self._waits(number, row)
        play = row.get("play_id")
        own = str(play) if play is not None else log_session
        known = [self._sessions[other] for other in after if other in self._sessions]
        session = self._sessions.get(name) or self._whole(known[0] if known else own)
        for other in (*known, *([own] if own in self._joined or not known else [])):
            self._join(session, other)
        is_root = not after
        agent = self._agents.setdefault(log_session, "main" if is_root else log_session)
        call = LoggedCall(
            id=name,
            agent=agent,
            after=after,
            delay_ns=delay_ns,
            start_ns=self._start_ns(number, row) if is_root else None,
            input_tokens=required(self._file, number, "input_length", _first(row, "input_")),
            output_tokens=required(self._file, number, "output_length", _first(row, "output_")),
            model=row.get("model") if isinstance(row.get("model"), str) else None,
            trigger="tool" if row.get("tool_wait_ms") else None,
            **self._blocks(number, row, name),
        )
        self._sink.call(session, call)
        self._sessions[name] = session

    def _name(self, number: int, name: str, value: Any) -> str:
        if isinstance(value, bool) or not isinstance(value, int | str) or value == "":
            raise expect(self._file, number, name, value, "a string that is not empty")
        return str(value)

    def _join(self, session: str, other: str) -> None:
        one, two = self._whole(session), self._whole(other)
        if one != two:
            self._joined[two] = one

    def _whole(self, session: str) -> str:
        """The session that a session became part of."""
        while session in self._joined:
            session = self._joined[session]
        return session

    def _waits(self, number: int, row: dict[str, Any]) -> tuple[tuple[str, ...], int | None]:
        """What a row waits for, and how long after that it is sent."""
        file = self._file
        if "dependencies" not in row:
            names = items(file, number, "wait_for", row.get("wait_for"))
            after = tuple(self._name(number, "wait_for", each) for each in names)
            waits = [
                in_ns(file, number, "delay", row.get("delay", row.get("delay_ms")), NS_PER_MS),
                in_ns(file, number, "tool_wait_ms", row.get("tool_wait_ms"), NS_PER_MS),
            ]
            known = [wait for wait in waits if wait is not None]
            return after, sum(known) if known and after else None
        found: list[tuple[str, int]] = []
        for index, value in enumerate(items(file, number, "dependencies", row["dependencies"])):
            each = table(file, number, f"dependencies[{index}]", value)
            other = self._name(number, "request_id", each.get("request_id"))
            wait_ns = in_ns(file, number, "delay_ms", each.get("delay_ms"), NS_PER_MS)
            found.append((other, wait_ns or 0))
            if each.get("trigger", "completion") != "completion":
                self._sink.warn(
                    "waits for the start of another request; taken as for its answer",
                    f"{file.name}:{number}",
                )
        if len({wait for _, wait in found}) > 1:
            self._sink.warn(
                "several waits with times of their own; the longest counts from the last answer",
                f"{file.name}:{number}",
            )
        return tuple(other for other, _ in found), max((w for _, w in found), default=None)

    def _start_ns(self, number: int, row: dict[str, Any]) -> int | None:
        name = "not_before_ms" if "not_before_ms" in row else "timestamp"
        return in_ns(self._file, number, name, row.get(name, row.get("created_time")), NS_PER_MS)

    def _blocks(self, number: int, row: dict[str, Any], name: str) -> dict[str, Any]:
        if row.get("hash_ids") is None:
            return {}
        hashes: tuple[Hash, ...] = hashes_of(self._file, number, "hash_ids", row["hash_ids"])
        length = required(self._file, number, "input_length", _first(row, "input_"))
        hashes = blocks_of(self._file, number, hashes, length=length, size=self._size, name=name)
        if self._is_local:
            play = row.get("play_id", "")
            hashes = tuple(f"{play}:{each}" for each in hashes)
        return {"blocks": hashes, "block_tokens": self._size}


def _first(row: dict[str, Any], kind: str) -> Any:
    """A length under either of its names."""
    return row.get(f"{kind}length", row.get(f"{kind}tokens"))
