"""Claude Code's session files, ``~/.claude/projects/*/*.jsonl``, and its ``stream-json`` output.

One JSON record a line, one for each block of a message: records with one ``message.id`` are one
call, and its prompt is ``input_tokens + cache_creation_input_tokens + cache_read_input_tokens``. A
record bears the time at which its block ended, so a call starts when the last input before it was
written. Sub-agents stand in the same file (2.0: ``isSidechain``), in files of their own (2.1:
``agentId``), or name the tool use that started them (``stream-json``, which has no times).

Start at `read_claude_code`, which takes records in; `claude_calls` puts the calls out.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from agentsim.workload.importers.claude_calls import Chain, Emitter, Message, ToolUse
from agentsim.workload.importers.sink import Sink
from agentsim.workload.importers.sources import LogFile
from agentsim.workload.importers.values import items, table, timestamp, tokens

#: Model name of what Claude Code itself writes in place of an answer.
SYNTHETIC = "<synthetic>"
#: Records whose place in the conversation is remembered.
REMEMBERED = 20_000
_PROMPT = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
_ANSWER = "output_tokens"
_RESETS = {
    "compact_boundary": "compactions; the request for the summary is not in the log",
    "microcompact_boundary": "old tool results cleared; what of the prefix is left is not known",
}
#: Kinds of records that only these files have.
_KINDS = {"queue-operation", "file-history-snapshot", "last-prompt", "ai-title"}


def is_claude_code(file: LogFile) -> bool:
    """Whether its first lines are records of a session, or the head of ``stream-json``."""
    for record in _first_records(file):
        kind, message = _text(record, "type"), record.get("message")
        if kind in ("user", "assistant") and isinstance(message, dict):
            return "sessionId" in record or ("session_id" in record and "uuid" in record)
        if kind == "system" and record.get("subtype") == "init":
            return "session_id" in record and "tools" in record
        if kind in _KINDS or (kind == "summary" and "leafUuid" in record):
            return True
    return False


def _first_records(file: LogFile) -> Iterator[dict[str, Any]]:
    for line in file.head.split(b"\n")[:50]:
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict):
            yield value


def read_claude_code(file: LogFile, sink: Sink) -> None:
    """Read the records of a file."""
    reader = _Reader(file, sink)
    for number, record in sink.objects(file):
        with sink.guard():
            reader.add(number, record)
    reader.emitter.finish()


@dataclass(frozen=True, slots=True)
class _Record:
    """A line of a file, with the parts that are looked at most."""

    number: int
    fields: dict[str, Any]
    message: dict[str, Any]
    at_ns: int | None


class _Reader:
    """What is known of a file while it is read."""

    def __init__(self, file: LogFile, sink: Sink) -> None:
        self._file, self._sink = file, sink
        self.emitter = Emitter(sink)
        self._chains: dict[tuple[str, str], Chain] = {}
        # of a record: whose context it belongs to, and the last call up to it
        self._places: dict[str, tuple[Chain, str | None]] = {}
        self._tasks: dict[str, tuple[Message, str]] = {}  # open: the call, the prompt

    def add(self, number: int, fields: dict[str, Any]) -> None:
        """Take in a record; unknown kinds are passed over."""
        kind = fields.get("type")
        if kind not in ("user", "assistant", "system") and "parentUuid" not in fields:
            return
        said = fields.get("message") if kind in ("user", "assistant") else None
        at_ns = timestamp(self._file, number, "timestamp", fields.get("timestamp"))
        message = table(self._file, number, "message", said)
        record = _Record(number, fields, message, at_ns)
        place = self._places.get(_text(fields, "parentUuid"))
        chain = self._chain(record, None if place is None else place[0])
        last = place[1] if place is not None and place[0] is chain else None
        if kind == "user":
            self._input(record, chain)
        elif kind == "assistant":
            last = self._answer(record, chain, last) or last
        elif (subtype := _text(fields, "subtype")) in _RESETS:
            chain.is_reset = True
            self._sink.warn(_RESETS[subtype], self._where(record))
        if uuid := _text(fields, "uuid"):
            if len(self._places) >= REMEMBERED:
                del self._places[next(iter(self._places))]
            self._places[uuid] = (chain, last)

    def _where(self, record: _Record) -> str:
        return f"{self._file.name}:{record.number}"

    def _chain(self, record: _Record, parent: Chain | None) -> Chain:
        """Whose context a record belongs to."""
        fields = record.fields
        session = _text(fields, "sessionId") or _text(fields, "session_id") or self._file.stem
        is_side = fields.get("isSidechain") is True
        tool = _text(fields, "parent_tool_use_id")
        agent = _text(fields, "agentId") if is_side else tool
        if is_side and not agent:
            if parent is not None and not parent.is_main:
                return parent
            agent = _text(fields, "uuid")[:8]
        found = self._chains.get((session, agent))
        if found is None:
            if not agent and parent is not None and parent.is_main:
                found = parent  # goes on under another session's name
            elif agent:
                found = Chain(session, f"sub-{agent}", is_main=False)
                if tool or not fields.get("agentId"):
                    found.spawner = self._spawner(tool, _written(record.message.get("content")))
            else:
                found = Chain(session, "main", is_main=True)
                found.is_whole = fields.get("parentUuid") is None
            self._chains[session, agent] = found
        return found

    def _spawner(self, tool: str, prompt: str) -> Message | None:
        """The call that started an agent: by its tool use, by its prompt, or the first open."""
        if not tool:
            same = (use for use, (_, text) in self._tasks.items() if text == prompt)
            tool = next(same, next(iter(self._tasks), ""))
        return self._tasks.pop(tool, (None, ""))[0]

    def _input(self, record: _Record, chain: Chain) -> None:
        """A record of what goes into the next prompt."""
        fields, content = record.fields, record.message.get("content")
        chain.input_ns = record.at_ns if record.at_ns is not None else chain.input_ns
        if fields.get("isCompactSummary") is True:
            chain.is_reset = True
            return
        if not chain.has_calls:
            chain.characters += len(_written(content))
        results = [
            block
            for block in self._blocks(record)
            if isinstance(block, dict) and block.get("type") == "tool_result"
        ]
        for block in results:
            self._result(record, _text(block, "tool_use_id"), chain)
        if results:
            chain.trigger = "tool"
        elif fields.get("isMeta") is not True:
            origin = fields.get("origin")
            is_note = isinstance(origin, dict) and origin.get("kind") == "task-notification"
            chain.trigger = "tool" if is_note else "user"

    def _blocks(self, record: _Record) -> list[Any]:
        content = record.message.get("content")
        if isinstance(content, str):
            return []
        return items(self._file, record.number, "content", content)

    def _result(self, record: _Record, use: str, chain: Chain) -> None:
        self._tasks.pop(use, None)
        if chain.open is None or use not in chain.open.tools:
            return
        chain.open.tools[use].end_ns = record.at_ns
        result = record.fields.get("toolUseResult")
        if isinstance(result, dict) and (agent := _text(result, "agentId")):
            chain.open.spawned.append(f"sub-{agent}")

    def _answer(self, record: _Record, chain: Chain, base: str | None) -> str | None:
        """A record of an answer; the id of its call, None if it is none."""
        fields, message = record.fields, record.message
        model = _text(message, "model")
        if model == SYNTHETIC or fields.get("isApiErrorMessage") is True:
            self._sink.warn("API errors and interruptions, which are no calls", self._where(record))
            return None
        usage = table(self._file, record.number, "usage", message.get("usage"))
        counts = [
            tokens(self._file, record.number, name, usage.get(name)) for name in (*_PROMPT, _ANSWER)
        ]
        blocks = self._blocks(record)
        request = _text(fields, "requestId")
        name = _text(message, "id") or request or _text(fields, "uuid") or f"{record.number}"
        call = chain.open
        if call is None or call.id != name:
            call = Message(chain, name, request, self._where(record), model)
            self.emitter.open(call, base)
        call.input_tokens = max(call.input_tokens, sum(count or 0 for count in counts[:3]))
        call.output_tokens = max(call.output_tokens, counts[3] or 0)
        call.cached_tokens = counts[2] if counts[2] is not None else call.cached_tokens
        call.end_ns = record.at_ns if record.at_ns is not None else call.end_ns
        call.finish = _text(message, "stop_reason") or call.finish
        for block in blocks:
            if isinstance(block, dict):
                self._block(block, call, record.at_ns)
        return name

    def _block(self, block: dict[str, Any], call: Message, at_ns: int | None) -> None:
        kind = block.get("type")
        if kind == "tool_use":
            given = block.get("input")
            call.characters += len(json.dumps(given, ensure_ascii=False))
            name, use = _text(block, "name"), _text(block, "id")
            call.tools[use] = ToolUse(name or "tool", at_ns)
            if name in ("Task", "Agent") and use and isinstance(given, dict):
                self._tasks[use] = (call, _text(given, "prompt"))
        elif kind == "text":
            call.characters += len(_text(block, "text"))
        elif kind in ("thinking", "redacted_thinking"):
            call.characters += len(_text(block, "thinking"))
            call.hides_thinking |= not _text(block, "thinking")


def _text(record: dict[str, Any], name: str) -> str:
    """A field that is text, or nothing."""
    value = record.get(name)
    return value if isinstance(value, str) else ""


def _written(content: Any) -> str:
    """The text of a user's message."""
    if isinstance(content, str):
        return content
    blocks = content if isinstance(content, list) else []
    return "".join(_text(block, "text") for block in blocks if isinstance(block, dict))
