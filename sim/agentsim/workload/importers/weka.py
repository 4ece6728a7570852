"""WEKA's traces of Claude Code seen by a proxy: a JSON document a session, sub-agents nested in it.

``{"id", "block_size", "tool_tokens", "system_tokens", "requests": [{"t", "type": "n"|"s", "model",
"in", "out", "hash_ids", "input_types", "stop", "api_time", "ttft", "think_time"}, {"type":
"subagent", "agent_id", "t", "duration_ms", "requests": [...]}]}``, times in seconds. Hashes are
chained, 64 tokens each, and numbered anew in every file (kv-cache-tester).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from agentsim.domain.units import NS_PER_MS
from agentsim.workload.importers.hashed import (
    Hash,
    SharedBlocks,
    common_blocks,
    hashes_of,
    required,
)
from agentsim.workload.importers.logged import LoggedCall, SessionFacts
from agentsim.workload.importers.sink import Sink
from agentsim.workload.importers.sources import LogFile, expect
from agentsim.workload.importers.values import in_ns, items, nanoseconds, table, tokens

#: Times of main requests are whole seconds.
_ROUNDED_NS = 1_500_000_000


def is_weka(file: LogFile) -> bool:
    """Whether a file begins with such a document."""
    fields = ('"requests"', '"block_size"', '"hash_ids"')
    return file.text.lstrip().startswith("{") and all(name in file.text for name in fields)


def read_weka(file: LogFile, sink: Sink) -> None:
    """Read the session of a file, or the sessions of one with a document a line."""
    if file.first is not None or ".jsonl" in file.name:
        for number, document in sink.objects(file):
            with sink.guard():
                _Reader(file, sink, number).read(document)
        return
    with sink.guard():
        _Reader(file, sink, None).read(table(file, None, "document", file.document()))


@dataclass
class _Before:
    """The last call of an agent, and the sub-agents that ended since."""

    id: str
    hashes: tuple[Hash, ...]
    end_ns: int | None
    joined: list[str] = field(default_factory=list)


class _Reader:
    """One session."""

    def __init__(self, file: LogFile, sink: Sink, number: int | None) -> None:
        self._file, self._sink, self._number = file, sink, number
        self._shared = SharedBlocks()
        self._session = ""
        self._size = 0
        self._made: list[LoggedCall] = []

    def read(self, document: dict[str, Any]) -> None:
        """Read it whole, then hand it over."""
        name = document.get("id")
        if not isinstance(name, str) or not name:
            raise expect(self._file, self._number, "id", name, "a string that is not empty")
        self._session = name
        self._size = required(self._file, self._number, "block_size", document.get("block_size"))
        if document.get("hash_id_scope", "local") != "local":
            self._sink.warn("hashes shared by sessions; taken as the session's own", name)
        self._requests("main", document.get("requests"), 0, None)
        for call in self._made:
            self._sink.call(name, call)
        system, tool = (
            tokens(self._file, self._number, key, document.get(key)) or 0
            for key in ("system_tokens", "tool_tokens")
        )
        self._sink.facts(
            name, SessionFacts(system_tokens=system, tool_tokens=tool, shares_heads=True)
        )

    def _requests(self, agent: str, value: Any, zero_ns: int, parent: _Before | None) -> str | None:
        """Read the requests of an agent that began at `zero_ns`; the id of its last one."""
        before: _Before | None = None
        for index, each in enumerate(items(self._file, self._number, "requests", value)):
            row = table(self._file, self._number, f"{agent}: requests[{index}]", each)
            if row.get("type") == "subagent":
                self._sub_agent(row, zero_ns, before)
            else:
                call = self._call(
                    agent,
                    index,
                    row,
                    zero_ns=zero_ns,
                    before=before or parent,
                    is_first=before is None,
                )
                hashes = hashes_of(self._file, self._number, "hash_ids", row.get("hash_ids"))
                self._shared.add(call.id, hashes)
                self._made.append(call)
                before = _Before(call.id, hashes, call.end_ns)
        return before.id if before is not None else None

    def _sub_agent(self, row: dict[str, Any], zero_ns: int, before: _Before | None) -> None:
        name = row.get("agent_id")
        if not isinstance(name, str) or not name:
            raise expect(self._file, self._number, "agent_id", name, "a string that is not empty")
        at_ns = zero_ns + (nanoseconds(self._file, self._number, "t", row.get("t")) or 0)
        lasted_ms = row.get("duration_ms")
        lasted_ns = in_ns(self._file, self._number, "duration_ms", lasted_ms, NS_PER_MS)
        began_ns = at_ns - (lasted_ns or 0)
        known_ns = before.end_ns if before is not None else None
        if known_ns is None or began_ns < known_ns - _ROUNDED_NS:
            began_ns = at_ns  # `t` is when it ended, where that fits what went before
        last = self._requests(name, row.get("requests"), began_ns, before)
        if last is not None and before is not None:
            before.joined.append(last)

    def _call(
        self,
        agent: str,
        index: int,
        row: dict[str, Any],
        *,
        zero_ns: int,
        before: _Before | None,
        is_first: bool,
    ) -> LoggedCall:
        file, number = self._file, self._number
        input_tokens = required(file, number, "in", row.get("in"))
        hashes = hashes_of(file, number, "hash_ids", row.get("hash_ids"))
        if len(hashes) * self._size > input_tokens:
            expected = f"at most {input_tokens // self._size} hashes"
            raise expect(file, number, "hash_ids", len(hashes), expected)
        t_ns = nanoseconds(file, number, "t", row.get("t"))
        start_ns = None if t_ns is None else zero_ns + t_ns
        lasted_ns = nanoseconds(file, number, "api_time", row.get("api_time"))
        first_ns = nanoseconds(file, number, "ttft", row.get("ttft"))
        is_sub = agent != "main" and is_first
        base, blocks = self._base(hashes, None if is_first else before)
        return LoggedCall(
            id=f"{agent}/{index}",
            agent=agent,
            input_tokens=input_tokens,
            output_tokens=required(file, number, "out", row.get("out")),
            model=row.get("model") if isinstance(row.get("model"), str) else None,
            start_ns=start_ns,
            first_token_ns=_sum(start_ns, first_ns),
            end_ns=_sum(start_ns, lasted_ns),
            delay_ns=self._delay_ns(row, before, is_first=is_first),
            after=() if before is None else (before.id, *(() if is_first else before.joined)),
            base=base,
            keep=blocks * self._size,
            seen_to=self._size,
            trigger="spawn" if is_sub else _trigger(row),
            finish=row.get("stop") or None if isinstance(row.get("stop"), str) else None,
        )

    def _delay_ns(
        self, row: dict[str, Any], before: _Before | None, *, is_first: bool
    ) -> int | None:
        """The wait as logged, where it counts from the end of what the call waits for."""
        if before is None:
            return None
        if is_first:
            return 0  # a sub-agent begins when the call that asks for it ends
        if before.end_ns is None or before.joined:
            return None
        return nanoseconds(self._file, self._number, "think_time", row.get("think_time"))

    def _base(self, hashes: tuple[Hash, ...], before: _Before | None) -> tuple[str | None, int]:
        """The call that a prompt goes on from, and how many blocks they share."""
        name, blocks = self._shared.find(hashes)
        if before is not None and common_blocks(before.hashes, hashes) >= blocks:
            return before.id, common_blocks(before.hashes, hashes)
        return name or None, blocks


def _sum(one: int | None, other: int | None) -> int | None:
    return None if one is None or other is None else one + other


def _trigger(row: dict[str, Any]) -> str | None:
    kinds = row.get("input_types")
    if not isinstance(kinds, list) or not kinds:
        return None
    return "tool" if "tool_result" in kinds else "user"
