"""Mooncake JSONL: one session of one call a line, hashes shared by all."""

from __future__ import annotations

import io
from typing import Any

import pytest

from agentsim.domain.trace import Trace
from agentsim.errors import TraceError
from agentsim.workload.lines import Lines
from agentsim.workload.mooncake import read_mooncake
from workload.texts import text_of


def _row(**fields: Any) -> dict[str, Any]:
    return {"timestamp": 0, "input_length": 600, "output_length": 50, "hash_ids": [0, 1], **fields}


def _read(*rows: Any) -> Trace:
    return read_mooncake(Lines("m.jsonl", io.BytesIO(text_of(*rows))))


def test_a_line_is_a_session_of_one_call_at_its_time() -> None:
    trace = _read(_row(timestamp=27482), _row(timestamp=1.5, hash_ids=["a", "b"], prio=3))
    assert [session.at_ns for session in trace] == [1_500_000, 27_482_000_000]
    first, second = (session.calls[0] for session in trace)
    assert (second.input_tokens, second.output_tokens) == (600, 50)
    assert (second.blocks, second.block_tokens) == ((0, 1), 512)
    assert first.extra == {"prio": 3}
    assert second.after == ()


def test_requests_of_one_time_keep_the_order_of_the_file() -> None:
    trace = _read(*[_row(output_length=n) for n in range(12)])
    assert [session.calls[0].output_tokens for session in trace] == list(range(12))


def test_sessions_that_are_not_followed_are_counted() -> None:
    trace = _read(_row(session_id="a"), _row(session_id="a"), _row())
    assert trace.notes == {"requests whose session_id was not followed": 2}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (_row(timestamp=-1), "field 'timestamp': expected a number of milliseconds >= 0, got -1"),
        (_row(input_length=-5), "field 'input_length': expected an integer >= 0, got -5"),
        (
            _row(hash_ids=[1]),
            "field 'hash_ids': expected 2 hashes of 512 tokens for 600 tokens, got 1",
        ),
        (
            _row(hash_ids=[1, None]),
            "field 'hash_ids[1]': expected an integer or a string, got null",
        ),
        ({"hash_ids": []}, "field 'timestamp': missing, expected a number of milliseconds >= 0"),
    ],
)
def test_a_bad_line_is_told(row: dict[str, Any], message: str) -> None:
    with pytest.raises(TraceError) as caught:
        _read(_row(), row)
    assert str(caught.value).startswith(f"m.jsonl:2: {message}")


def test_no_line_is_an_error() -> None:
    with pytest.raises(TraceError, match=r"^m.jsonl: no requests: expected at least one line$"):
        _read()
