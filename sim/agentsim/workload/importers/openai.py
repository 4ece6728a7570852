"""OpenAI-style request logs: what gateways and people's own proxies write, a call a record.

JSON lines or an array of pairs of request and response (chat completions, the responses API,
Anthropic's messages), of LiteLLM's SpendLogs or Helicone's rows, with bodies or without; and the
form of LMCache's agent traces, `{timestamp, input, output, session_id}` with flat text.
"""

from __future__ import annotations

from typing import Any

import msgspec

from agentsim.workload.importers.chat import (
    Message,
    Pieces,
    answer_of,
    messages_of,
    tools_of,
    trigger_of,
)
from agentsim.workload.importers.gateway import (
    decoded,
    owner_of,
    request_of,
    response_of,
    session_of,
    times_of,
    why_no_call,
)
from agentsim.workload.importers.linking import hold_loose, link
from agentsim.workload.importers.logged import LoggedCall, Piece
from agentsim.workload.importers.records import first_text, moment, records_in
from agentsim.workload.importers.sink import Sink
from agentsim.workload.importers.sources import LogFile
from agentsim.workload.importers.usage import Usage, usage_of
from agentsim.workload.importers.values import table

_NAMED, _LOOSE = "openai-named", "openai"
_FLAT = {"timestamp", "input", "output", "session_id"}
_RESPONSES = {"response", "response_body", "responseBody", "usage", "prompt_tokens", "choices",
              "completion"}  # fmt: skip
_MARKS = ('"usage"', "prompt_tokens", "input_tokens", '"messages"', '"choices"', '\\"usage')
#: Requests that failed and may be sent again; the oldest are forgotten.
_MOST_FAILED = 10_000


def is_openai(file: LogFile) -> bool:
    """Whether a file holds requests with what they were answered."""
    if file.keys >= _FLAT:
        return True
    return bool(file.keys & _RESPONSES) and any(mark in file.text for mark in _MARKS)


def read_openai(file: LogFile, sink: Sink) -> None:
    """Read the calls of a file; `settle_openai` gives them their sessions."""
    reader = _Reader(file, sink)
    for number, record in records_in(file, sink):
        with sink.guard():
            reader.record(number, record)


def settle_openai(sink: Sink) -> None:
    """Give all calls their sessions.

    Session ids that are all different are no sessions (LiteLLM makes one up for each call); then
    they are found as if there were none.
    """
    decode = msgspec.msgpack.Decoder(_Named).decode
    seen: set[str] = set()
    is_told = False
    count = 0
    for session, _ in sink.held(_NAMED):
        is_told = is_told or session in seen
        seen.add(session)
        count += 1
    is_told = is_told or count == 1
    for session, data in sink.held(_NAMED):
        named = decode(data)
        if is_told:
            sink.call(session, named.call)
        else:
            sink.warn("session ids that differ from call to call; not used", session)
            hold_loose(sink, _LOOSE, named.owner, named.call)
    link(sink, _LOOSE)


class _Named(msgspec.Struct, frozen=True, array_like=True):
    """A call with a session, and whose it is."""

    owner: str
    call: LoggedCall


class _Reader:
    """Reads the records of one file."""

    def __init__(self, file: LogFile, sink: Sink) -> None:
        self._file, self._sink, self._pieces = file, sink, Pieces(sink)
        self._failed: dict[tuple[int, ...], None] = {}

    def record(self, number: int, record: dict[str, Any]) -> None:
        """Take a record."""
        if record.keys() >= _FLAT and isinstance(record["input"], str):
            self._hold(str(record["session_id"]), "", self._flat(number, record))
            return
        request, response = request_of(record), response_of(record)
        call = self._call(number, record, request, response)
        if call is not None:
            self._hold(session_of(record, request), owner_of(record, request), call)

    def _hold(self, session: str | None, owner: str, call: LoggedCall) -> None:
        if session is None:
            hold_loose(self._sink, _LOOSE, owner, call)
            return
        at = call.start_ns if call.start_ns is not None else call.end_ns
        self._sink.hold(_NAMED, session, at, msgspec.msgpack.encode(_Named(owner, call)))

    def _flat(self, number: int, record: dict[str, Any]) -> LoggedCall:
        """A row of LMCache's form: texts alone, the time of submission."""
        output = record["output"]
        text = output if isinstance(output, str) else ""
        is_estimate = self._sink.counter.is_estimate
        return LoggedCall(
            id=f"{self._file.stem}:{number}",
            input_tokens=self._sink.count(record["input"]),
            output_tokens=self._sink.count(text),
            start_ns=moment(self._file, number, record, "timestamp"),
            pieces=self._pieces.flat(record["input"]),
            input_estimated=is_estimate,
            output_estimated=is_estimate,
        )

    def _call(
        self, number: int, record: dict[str, Any], request: dict[str, Any], response: dict[str, Any]
    ) -> LoggedCall | None:
        id = first_text(response, "id") or first_text(record, "request_id", "id", "custom_id")
        id = id or f"{self._file.stem}:{number}"
        messages, pieces = self._prompt(request)
        said = _answer(response)
        usage = self._usage(number, record, response)
        prompt = tuple(piece.digest for piece in pieces or ())
        if not usage.output_tokens and (why := why_no_call(record, response)):
            self._sink.warn(why, id)
            if prompt:
                self._failed[prompt] = None
                while len(self._failed) > _MOST_FAILED:
                    del self._failed[next(iter(self._failed))]
            return None
        if usage.input_tokens is None and pieces is None:
            self._sink.warn("records without token counts or texts; left out", id)
            return None
        if usage.input_tokens is None or usage.output_tokens is None:
            self._sink.warn("calls without token counts; their text was counted", id)
        is_retry = bool(prompt) and prompt in self._failed
        if is_retry:
            del self._failed[prompt]
        start_ns, first_ns, end_ns = times_of(self._file, number, record, response)
        if start_ns is None and end_ns is not None:
            self._sink.warn("calls with one time each; taken as their end", id)
        base = first_text(request, "previous_response_id")
        is_hidden = bool(usage.reasoning_tokens) and not (said and said.has_thought)
        inputs, outputs = usage.input_tokens, usage.output_tokens
        if inputs is None:
            inputs = sum(piece.tokens for piece in pieces or ())
        if outputs is None:
            outputs = self._pieces.tokens(said) if said else 0
            if said is None:
                self._sink.warn("answers that are not logged; taken as empty", id)
        return LoggedCall(
            id=id,
            input_tokens=inputs,
            output_tokens=outputs,
            model=_model(response, request, record),
            start_ns=start_ns,
            first_token_ns=first_ns,
            end_ns=end_ns,
            base=base,
            pieces=None if base is not None else pieces,
            answer=said.digest if said and not is_hidden else None,
            trigger="retry" if is_retry else trigger_of(messages),
            cached_tokens=usage.cached_tokens,
            finish=_finish(response),
            tools=tools_of(said),
            input_estimated=usage.input_tokens is None,
            output_estimated=usage.output_tokens is None,
        )

    def _prompt(self, request: dict[str, Any]) -> tuple[list[Message], tuple[Piece, ...] | None]:
        """The messages of a request, and its prompt as pieces where it holds one."""
        text = request.get("prompt")
        if isinstance(text, str) and text:
            return [], self._pieces.flat(text)
        given = decoded(request.get("messages")) or decoded(request.get("input"))
        if not given:
            return [], None
        system = request.get("system") or request.get("instructions")
        messages = messages_of(given, system=system, tools=request.get("tools"))
        if any(message.has_media for message in messages):
            self._sink.warn("images and other media; not counted where text is", messages[-1].role)
        return messages, self._pieces.of(messages)

    def _usage(self, number: int, record: dict[str, Any], response: dict[str, Any]) -> Usage:
        """The first counts that a record holds; cached tokens from wherever they stand."""
        about = decoded(record.get("metadata"))
        places = (
            response.get("usage"),
            decoded(record.get("usage")),
            about.get("usage_object") if isinstance(about, dict) else None,
            record,
        )
        found = [
            usage_of(self._file, number, table(self._file, number, "usage", place))
            for place in places
        ]
        best = next((usage for usage in found if usage.input_tokens is not None), Usage(None, None))
        if not best.input_tokens and not best.output_tokens:
            best = Usage(None, None)  # 0 and 0: not known
        cached = next((u.cached_tokens for u in found if u.cached_tokens is not None), None)
        thought = next((u.reasoning_tokens for u in found if u.reasoning_tokens), None)
        return Usage(best.input_tokens, best.output_tokens, cached, thought)


def _answer(response: dict[str, Any]) -> Message | None:
    """The answer of a response, of any of the APIs."""
    choices = response.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    if isinstance(choice, dict):
        return answer_of(choice.get("message") or choice.get("text"))
    return answer_of(response.get("output") or response.get("content"))


def _model(*places: dict[str, Any]) -> str | None:
    return next(filter(None, (first_text(place, "model") for place in places)), None)


def _finish(response: dict[str, Any]) -> str | None:
    choices = response.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    if isinstance(choice, dict):
        return first_text(choice, "finish_reason")
    return first_text(response, "stop_reason", "status")
