"""Small traces as text, read without a file."""

from __future__ import annotations

import io
import json
from typing import Any

from agentsim.domain.trace import Call, Trace
from agentsim.workload.lines import Lines
from agentsim.workload.v1 import read_v1

HEADER = {"type": "header", "format": "agentsim-trace", "version": 1}


def call_line(**fields: Any) -> dict[str, Any]:
    """A call line of session s1 with 100 prompt and 10 output tokens."""
    return {
        "type": "call",
        "session": "s1",
        "input_tokens": 100,
        "output_tokens": 10,
        **fields,
    }


def text_of(*lines: Any) -> bytes:
    """JSON lines; what is a string or bytes already stays as it is."""
    raw = [
        line if isinstance(line, bytes) else line.encode() if isinstance(line, str) else _json(line)
        for line in lines
    ]
    return b"\n".join(raw) + b"\n"


def _json(line: Any) -> bytes:
    return json.dumps(line).encode()


def read_bytes(data: bytes) -> Trace:
    """The v1 trace in these bytes, called trace.jsonl."""
    return read_v1(Lines("trace.jsonl", io.BytesIO(data)))


def read_lines(*lines: Any) -> Trace:
    """The v1 trace of these lines, after the plain header."""
    return read_bytes(text_of(HEADER, *lines))


def read_calls(*lines: Any) -> tuple[Call, ...]:
    """The calls of the only session of these lines."""
    (session,) = read_lines(*lines)
    return session.calls
