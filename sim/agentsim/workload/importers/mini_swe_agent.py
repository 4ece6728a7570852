"""mini-swe-agent's ``.traj.json`` files: the messages of one run, which only ever grow.

Version 2 keeps the API's response beside each answer, with its token counts, and times: an answer's
is the end of its call, an observation's the end of its action, and the next call begins there. The
oldest form is a bare list of messages without either; its text is counted, as in any list of chat
messages.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from agentsim.workload.importers.chat import Message, Pieces, messages_of
from agentsim.workload.importers.logged import LoggedCall, LoggedTool, Piece
from agentsim.workload.importers.sink import Sink
from agentsim.workload.importers.sources import LogFile, expect
from agentsim.workload.importers.usage import Usage, usage_of
from agentsim.workload.importers.values import items, nanoseconds, table

_LIST = re.compile(r'\s*\[\s*\{\s*"role"\s*:\s*"(system|user)"')
_MARK = re.compile(r'"(mini_version|trajectory_format)"\s*:\s*"')


def is_mini_swe_agent(file: LogFile) -> bool:
    """Whether a file is a list of chat messages, or an object that names the agent's version."""
    if _LIST.match(file.text) is not None:
        return True
    return file.text.lstrip().startswith("{") and _MARK.search(file.text) is not None


def read_mini_swe_agent(file: LogFile, sink: Sink) -> None:
    """Read the run of a file."""
    with sink.guard():
        value = file.document()
        if isinstance(value, list):
            value = {"messages": value}
        if not isinstance(value, dict):
            raise expect(file, None, "messages", value, "an object or an array")
        messages = [
            table(file, None, "messages[]", message)
            for message in items(file, None, "messages", value.get("messages"))
        ]
        calls = list(_calls(file, sink, messages, _model(value)))
        session = sink.fresh(file.stem, file.name)
        for call in calls:
            sink.call(session, call)


def _calls(
    file: LogFile, sink: Sink, messages: list[dict[str, Any]], model: str | None
) -> Iterator[LoggedCall]:
    pieces, prompt, turn = Pieces(sink), list[Piece](), 0
    before: int | None = None
    for at, raw in enumerate(messages):
        (message,) = messages_of([_plain(raw)])
        (piece,) = pieces.of([message])
        if message.role == "assistant":
            usage = _usage(file, raw)
            end = _time(file, raw)
            results = _results(file, messages, at)
            yield LoggedCall(
                id=f"{turn}",
                input_tokens=_or(usage.input_tokens, sum(each.tokens for each in prompt)),
                output_tokens=_or(usage.output_tokens, piece.tokens),
                model=_text(_response(file, raw).get("model")) or model,
                start_ns=before,
                end_ns=end,
                pieces=tuple(prompt),
                answer=None if usage.reasoning_tokens else piece.digest,
                trigger="tool" if turn else "user",
                cached_tokens=usage.cached_tokens,
                finish=_finish(file, raw),
                tools=tuple(_tools(message, end, results)),
                input_estimated=usage.input_tokens is None and sink.counter.is_estimate,
                output_estimated=usage.output_tokens is None and sink.counter.is_estimate,
            )
            before, turn = None, turn + 1
        else:
            before = _time(file, raw) or before
        prompt.append(piece)


def _or(stated: int | None, counted: int) -> int:
    return counted if stated is None else stated


def _plain(raw: dict[str, Any]) -> dict[str, Any]:
    """A message as a chat API would have it; answers of the agent's own end are its results."""
    role = raw.get("role")
    return raw if isinstance(role, str) and role != "exit" else {**raw, "role": "tool"}


def _extra(file: LogFile, raw: dict[str, Any]) -> dict[str, Any]:
    return table(file, None, "extra", raw.get("extra"))


def _response(file: LogFile, raw: dict[str, Any]) -> dict[str, Any]:
    return table(file, None, "extra.response", _extra(file, raw).get("response"))


def _usage(file: LogFile, raw: dict[str, Any]) -> Usage:
    return usage_of(file, None, table(file, None, "usage", _response(file, raw).get("usage")))


def _time(file: LogFile, raw: dict[str, Any]) -> int | None:
    value = _extra(file, raw).get("timestamp", raw.get("timestamp"))
    return nanoseconds(file, None, "timestamp", value)


def _finish(file: LogFile, raw: dict[str, Any]) -> str | None:
    choices = _response(file, raw).get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    return _text(first.get("finish_reason")) if isinstance(first, dict) else None


def _model(value: dict[str, Any]) -> str | None:
    """The model's name in the run's configuration."""
    found: Any = value
    for key in ("info", "config", "model", "model_name"):
        found = found.get(key) if isinstance(found, dict) else None
    return _text(found)


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _results(file: LogFile, messages: list[dict[str, Any]], at: int) -> list[int | None]:
    """The times of the messages between an answer and the next one."""
    times = []
    for raw in messages[at + 1 :]:
        if raw.get("role") in ("assistant", "exit"):
            break
        times.append(_time(file, raw))
    return times


def _tools(message: Message, end: int | None, results: list[int | None]) -> Iterator[LoggedTool]:
    """The actions that an answer asks for; they run one after the other, their results follow."""
    names = message.tools or (("bash",) if results else ())
    for name in names:
        if len(names) == 1 and results:
            yield LoggedTool(name, start_ns=end, end_ns=results[0])
        else:
            yield LoggedTool(name)
