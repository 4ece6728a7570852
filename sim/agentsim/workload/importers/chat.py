"""What requests and responses of chat APIs hold, whoever's: messages and answers.

OpenAI's chat completions and responses, Anthropic's messages and OpenTelemetry's parts become the
same `Message`, so that an answer is known again when it is sent back in a later prompt.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from agentsim.workload.importers.logged import LoggedTool, Piece
from agentsim.workload.importers.sink import Sink, digest
from agentsim.workload.importers.tokens import MESSAGE_TOKENS

#: Types of parts by what they hold; others (images, audio, files) have no countable text.
_TEXTS = {"text", "input_text", "output_text", "refusal", "summary_text"}
_THOUGHTS = {"thinking", "redacted_thinking", "reasoning"}
_CALLS = {"tool_use", "tool_call", "function_call", "custom_tool_call", "server_tool_use"}
_RESULTS = {
    "tool_result", "tool_call_response", "function_call_output", "custom_tool_call_output",
}  # fmt: skip
#: Token counts of messages that are remembered: each prompt repeats those before it.
_MOST_COUNTED = 100_000
#: Parts within parts that are read; no API nests deeper than four.
_DEEPEST = 20


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a prompt or an answer.

    Attributes
    ----------
    role : str
        ``system``, ``user``, ``assistant`` or ``tool``.
    text : str
        All it holds: texts, reasoning, names and arguments of tool calls, results.
    tools : tuple of str
        Names of the tools it calls.
    has_media : bool
        It holds an image or something else without countable text.
    has_thought : bool
        It holds reasoning, as text.
    """

    role: str
    text: str
    tools: tuple[str, ...] = ()
    has_media: bool = False
    has_thought: bool = False

    @property
    def digest(self) -> int:
        """Stands for the message as a piece of a prompt."""
        return digest(self.role, self.text)


class Pieces:
    """Makes messages into pieces; the tokens of one seen before are not counted again."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._counted: dict[int, int] = {}

    def of(self, messages: Iterable[Message]) -> tuple[Piece, ...]:
        """The pieces that messages are, their text forgotten."""
        found = []
        for each in messages:
            key = each.digest
            found.append(Piece(key, self._count(key, each.text) + MESSAGE_TOKENS))
        return tuple(found)

    def flat(self, text: str) -> tuple[Piece, ...]:
        """The pieces of a prompt that was logged as one text: its lines.

        Where a next prompt goes on after the last line, all lines before are the same pieces.
        """
        found = []
        for line in text.rstrip("\n").split("\n") if text else ():
            key = digest("line", line)
            found.append(Piece(key, self._count(key, f"{line}\n")))
        return tuple(found)

    def tokens(self, message: Message) -> int:
        """Tokens of a message, without those that a template puts around it."""
        return self._count(message.digest, message.text)

    def _count(self, key: int, text: str) -> int:
        found = self._counted.get(key)
        if found is None:
            if len(self._counted) >= _MOST_COUNTED:
                self._counted.clear()
            found = self._counted[key] = self._sink.count(text)
        return found


def messages_of(value: Any, *, system: Any = None, tools: Any = None) -> list[Message]:
    """The messages of a prompt, tool definitions and system prompt first.

    Parameters
    ----------
    value : list, str or other
        Messages, or items of the responses API (those of one answer become one message), or text.
    system, tools : any
        Where a request holds them beside its messages.
    """
    found: list[Message] = []
    if tools:
        found.append(Message("tools", _canonical(tools)))
    if system:
        found.append(_message("system", system))
    answer: list[Any] = []
    for item in value if isinstance(value, list) else [value] if value else []:
        if _is_answer_item(item):
            answer.append(item)
            continue
        _close(answer, found)
        found.append(_of_item(item))
    _close(answer, found)
    return found


def answer_of(value: Any) -> Message | None:
    """An answer: a message, a list of items or parts of one, or text; None where there is none."""
    if not value:
        return None
    if isinstance(value, dict):
        return _of_item(value, "assistant")
    return _message("assistant", value)


def tools_of(answer: Message | None) -> tuple[LoggedTool, ...]:
    """The tools that an answer calls; how long they run is not said there."""
    return tuple(LoggedTool(name) for name in answer.tools) if answer else ()


def trigger_of(messages: list[Message]) -> str | None:
    """What caused a call, by the last message of its prompt."""
    last = messages[-1].role if messages else None
    return last if last in ("tool", "user") else None


def _kind(item: dict[str, Any]) -> str:
    """The type that an item states; empty where it states none."""
    kind = item.get("type")
    return kind if isinstance(kind, str) else "" if kind is None else "unknown"


def _is_answer_item(item: Any) -> bool:
    if not isinstance(item, dict):
        return False
    kind = _kind(item)
    if kind == "message":
        return item.get("role") == "assistant"
    return "role" not in item and (kind in _CALLS or kind in _THOUGHTS)


def _close(answer: list[Any], found: list[Message]) -> None:
    if answer:
        found.append(_message("assistant", list(answer)))
        answer.clear()


def _of_item(item: Any, default: str = "user") -> Message:
    if not isinstance(item, dict):
        return _message(default, item)
    role = item.get("role")
    if not isinstance(role, str):
        role = "tool" if _kind(item) in _RESULTS else default
    role = {"developer": "system", "function": "tool", "model": "assistant"}.get(role, role)
    extra = [item[key] for key in ("tool_calls", "function_call") if item.get(key)]
    thought = item.get("reasoning_content") or item.get("reasoning")
    parts: list[Any] = [{"type": "thinking", "thinking": thought}] if thought else []
    content = item.get("content", item.get("parts"))
    if content is None and not extra and "role" not in item:
        content = item
    parts.append(content)
    parts.extend(extra)
    return _message(role, parts)


class _Reading:
    """What the parts of one message hold."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.tools: list[str] = []
        self._depth = 0
        self.has_media = self.has_result = self.has_thought = False

    def part(self, part: Any) -> None:
        """Take a part, or parts of parts."""
        if part is None or part == "" or self._depth > _DEEPEST:
            return
        self._depth += 1
        self._take(part)
        self._depth -= 1

    def _take(self, part: Any) -> None:
        if isinstance(part, list):
            for each in part:
                self.part(each)
        elif isinstance(part, dict):
            self._table(part, _kind(part))
        else:
            self.texts.append(str(part))

    def _table(self, part: dict[str, Any], kind: str) -> None:
        function = part.get("function")
        if isinstance(function, dict) or kind in _CALLS or ("name" in part and "arguments" in part):
            self._call(function if isinstance(function, dict) else part)
        elif kind in _RESULTS:
            self.has_result = True
            values = (part.get(key) for key in ("content", "output", "response", "result"))
            self.part(next((value for value in values if value), None))
        elif kind in _THOUGHTS:
            values = (part.get(key) for key in ("thinking", "content", "summary", "text"))
            before = len(self.texts)
            self.part(next((value for value in values if value), None))
            self.has_thought |= len(self.texts) > before
        elif kind in _TEXTS or kind in ("", "message"):
            self.part(next((part[key] for key in ("text", "content") if part.get(key)), None))
        else:
            self.has_media = True
            self.texts.append(f"\x1f{digest('media', _canonical(part)):x}")

    def _call(self, call: dict[str, Any]) -> None:
        name = call.get("name")
        self.tools.append(name if isinstance(name, str) and name else "tool")
        values = (call.get(key) for key in ("arguments", "input", "args"))
        self.texts.append(self.tools[-1])
        self.texts.append(_canonical(next((value for value in values if value), {})))


def _message(role: str, content: Any) -> Message:
    reading = _Reading()
    reading.part(content)
    if reading.has_result and role == "user":
        role = "tool"
    text = "\n".join(text.strip() for text in reading.texts)
    return Message(role, text, tuple(reading.tools), reading.has_media, reading.has_thought)


def _canonical(value: Any) -> str:
    """JSON with one way to write it, also of JSON that is text."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return str(value)
    try:
        return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    except RecursionError:
        return ""
