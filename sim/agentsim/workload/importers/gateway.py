"""What the rows of different gateways call the same things: bodies, sessions, users, times.

LiteLLM's SpendLogs, Helicone's requests, OpenAI's batch results and what people's own proxies write
differ in names, hardly in content. `openai` reads them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from agentsim.workload.importers.records import first_text, moment
from agentsim.workload.importers.sources import LogFile
from agentsim.workload.importers.values import nanoseconds

_REQUESTS = ("request", "request_body", "requestBody", "proxy_server_request", "kwargs", "body")
_RESPONSES = ("response", "response_body", "responseBody", "completion", "output")
_ABOUT = ("metadata", "properties", "request_properties", "headers", "request_headers")
_SESSIONS = ("session_id", "sessionId", "litellm_session_id", "conversation_id", "conversationId",
             "thread_id", "chat_id", "Helicone-Session-Id", "helicone-session-id", "x-session-id",
             "X-Session-Id", "x-litellm-session-id", "conversation")  # fmt: skip
_USERS = ("user", "end_user", "user_id", "userId", "request_user_id", "user_api_key_hash",
          "user_api_key", "api_key", "api_key_hash", "key")  # fmt: skip
_STARTS = ("startTime", "start_time", "request_created_at", "request_time", "requested_at",
           "started_at", "request_timestamp")  # fmt: skip
_ENDS = ("endTime", "end_time", "response_created_at", "completed_at", "finished_at", "ended_at",
         "response_timestamp")  # fmt: skip
_STAMPS = ("timestamp", "time", "ts", "created_at", "createdAt")
_FIRSTS = ("completionStartTime", "completion_start_time", "first_token_at")
_LASTS_MS = ("latency_ms", "duration_ms", "delay_ms", "response_time_ms", "elapsed_ms",
             "request_duration_ms", "latencyMs", "durationMs")  # fmt: skip
_LASTS_S = ("latency_s", "duration_s", "elapsed_s", "latency_seconds", "duration_seconds")
_TTFTS_MS = ("ttft_ms", "time_to_first_token_ms", "time_to_first_token")
_TTFTS_S = ("ttft_s", "ttft")
#: How Claude Code names its session in the user of a request.
_CLAUDE_SESSION = re.compile(r"_session_([0-9a-f-]{36})$")
_NO_CHAT = re.compile(r"embedding|image|speech|transcription|moderation|rerank", re.IGNORECASE)


def request_of(record: dict[str, Any]) -> dict[str, Any]:
    """The request of a row: its body, or the row itself where that holds one."""
    if "messages" in record and isinstance(record["messages"], list) and record["messages"]:
        return record
    return _body(record, _REQUESTS) or record


def response_of(record: dict[str, Any]) -> dict[str, Any]:
    """The response of a row, streamed chunks put together; an empty object where there is none."""
    found = _body(record, _RESPONSES)
    return found if found else record if "choices" in record else {}


def session_of(record: dict[str, Any], request: dict[str, Any]) -> str | None:
    """The session that a row names."""
    for place in _places(record, request):
        found = first_text(place, *_SESSIONS)
        if found is not None:
            return found
        conversation = place.get("conversation")
        if isinstance(conversation, dict) and (found := first_text(conversation, "id")):
            return found
        user = place.get("user_id")
        if isinstance(user, str) and (match := _CLAUDE_SESSION.search(user)):
            return match.group(1)
    return None


def owner_of(record: dict[str, Any], request: dict[str, Any]) -> str:
    """Whose request it was; empty where the row does not say."""
    for place in _places(record, request):
        if found := first_text(place, *_USERS):
            return found
    return ""


def why_no_call(record: dict[str, Any], response: dict[str, Any]) -> str | None:
    """Why a row without an answer is no call of a model; None if it is one."""
    if _NO_CHAT.search(first_text(record, "call_type", "request_path", "endpoint", "url") or ""):
        return "requests that are no chat or completion; left out"
    if str(record.get("cache_hit")).lower() == "true":
        return "requests answered from a gateway's cache; left out"
    status = record.get("status_code", record.get("response_status", record.get("status")))
    inner = record.get("response")
    if status is None and isinstance(inner, dict):
        status = inner.get("status_code")
    is_bad = isinstance(status, int) and (status >= 400 or status < 0)
    is_bad = is_bad or str(status).lower() in ("failure", "failed", "error")
    is_bad = is_bad or response.get("status") == "failed" or response.get("type") == "error"
    if is_bad or any(place.get("error") for place in (record, response)):
        return "calls that failed; left out"
    return None


def times_of(
    file: LogFile, number: int, record: dict[str, Any], response: dict[str, Any]
) -> tuple[int | None, int | None, int | None]:
    """Submission, first token and end of a row; one time alone is taken for the end.

    Raises
    ------
    TraceError
        If one is no time.
    """
    start = moment(file, number, record, *_STARTS)
    end = moment(file, number, record, *_ENDS)
    stamp = moment(file, number, record, *_STAMPS)
    lasts = _length(file, number, record, _LASTS_MS, _LASTS_S)
    if start is None and stamp is not None and (end is not None or lasts is not None):
        start = stamp
    elif start is None and end is None:
        end = stamp
    if start is None and end is None:
        start = moment(file, number, response, "created", "created_at")
    if start is not None and end is None and lasts is not None:
        end = start + lasts
    if start is None and end is not None and lasts is not None:
        start = max(0, end - lasts)
    first = moment(file, number, record, *_FIRSTS)
    waited = _length(file, number, record, _TTFTS_MS, _TTFTS_S)
    if first is None and start is not None and waited:
        first = start + waited
    return start, None if first == end else first, end


def _length(
    file: LogFile,
    number: int,
    record: dict[str, Any],
    in_ms: tuple[str, ...],
    in_s: tuple[str, ...],
) -> int | None:
    for name in (*in_ms, *in_s):
        if record.get(name) is not None:
            found = nanoseconds(file, number, name, record[name])
            return found if found is None or name in in_s else found // 1000
    return None


def _places(record: dict[str, Any], request: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for place in (record, request):
        yield place
        for name in _ABOUT:
            inner = decoded(place.get(name))
            if isinstance(inner, dict):
                yield inner


def _body(record: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    for name in names:
        value = decoded(record.get(name))
        if isinstance(value, dict) and isinstance(decoded(value.get("body")), dict | list):
            value = decoded(value["body"])
        if isinstance(value, list) and value and all(isinstance(each, dict) for each in value):
            value = _joined(value) if "choices" in value[0] or "type" in value[0] else None
        if isinstance(value, dict) and value:
            return value
    return {}


def decoded(value: Any) -> Any:
    """JSON that stands in a text; anything else as it is."""
    if not isinstance(value, str) or value[:1] not in ("{", "[", "d", "e"):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return _events(value)


def _events(text: str) -> Any:
    """The data of server-sent events."""
    found = []
    for line in text.splitlines():
        if line.startswith("data:") and line[5:].strip() != "[DONE]":
            try:
                found.append(json.loads(line[5:]))
            except (ValueError, RecursionError):
                return text
    return found or text


def _joined(chunks: list[dict[str, Any]]) -> dict[str, Any]:
    """The response that streamed chunks make, of any of the APIs."""
    found: dict[str, Any] = {}
    text: list[str] = []
    calls: dict[Any, Any] = {}
    for chunk in chunks:
        whole = chunk.get("response", chunk.get("message"))
        if isinstance(whole, dict):
            found |= whole
        if isinstance(chunk.get("usage"), dict):
            usage = found.get("usage")
            found["usage"] = {**(usage if isinstance(usage, dict) else {}), **chunk["usage"]}
        found.setdefault("id", chunk.get("id"))
        found.setdefault("created", chunk.get("created"))
        found["model"] = found.get("model") or chunk.get("model")
        choices = chunk.get("choices")
        choice = choices[0] if isinstance(choices, list) and choices else {}
        delta = choice.get("delta") if isinstance(choice, dict) else None
        for part in (delta, chunk.get("delta")):
            if isinstance(part, dict):
                text.append(str(part.get("content") or part.get("text") or ""))
                for call in part.get("tool_calls") or ():
                    _add_call(calls, call)
    if "content" not in found and "output" not in found:
        message = {"role": "assistant", "content": "".join(text), "tool_calls": [*calls.values()]}
        found["choices"] = [{"message": message}]
    return found


def _add_call(calls: dict[Any, Any], chunk: Any) -> None:
    function = chunk.get("function") if isinstance(chunk, dict) else None
    if not isinstance(function, dict):
        return
    whole = calls.setdefault(str(chunk.get("index")), {"function": {"name": "", "arguments": ""}})
    for name in ("name", "arguments"):
        whole["function"][name] += str(function.get(name) or "")
