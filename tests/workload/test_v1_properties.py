"""Format v1 over random traces: what is written is read, and no bytes give anything but a trace or
a `TraceError`."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentsim.domain.trace import Call, Session, Trace
from agentsim.errors import TraceError
from agentsim.workload.lines import Lines
from agentsim.workload.mooncake import read_mooncake
from agentsim.workload.v1 import read_v1, write_trace
from agentsim.workload.write import records_of
from workload.generated import BLOCK_SIZE, traces
from workload.texts import HEADER, call_line, read_bytes, text_of


def _text(trace: Trace) -> bytes:
    return text_of(*map(json.dumps, records_of(trace)))


@given(traces())
def test_what_is_written_is_read_again(trace: Trace) -> None:
    again = read_bytes(_text(trace))
    assert again.sessions == trace.sessions
    assert again.header == trace.header
    assert again.notes == {}


@given(traces(), st.randoms(use_true_random=False))
def test_sessions_may_interleave_in_any_way(trace: Trace, chance: Any) -> None:
    """Lines of different sessions may change places, those of one may not."""
    header, *records = records_of(trace)
    queues: dict[str, list[Any]] = {}
    for record in records:
        queues.setdefault(record["session"], []).append(record)
    shuffled = []
    while queues:
        name = chance.choice(sorted(queues))
        shuffled.append(queues[name].pop(0))
        if not queues[name]:
            del queues[name]
    assert read_bytes(text_of(header, *map(json.dumps, shuffled))).sessions == trace.sessions


def _read_or_refuse(data: bytes, reader: Any = read_v1) -> None:
    try:
        trace = reader(Lines("trace.jsonl", io.BytesIO(data)))
    except TraceError as error:
        assert str(error).startswith("trace.jsonl:")
        assert "\n" not in str(error)
    else:
        assert trace.num_calls


@given(traces(), st.data())
def test_damaged_bytes_give_a_trace_or_one_line(trace: Trace, data: st.DataObject) -> None:
    text = _text(trace)
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, min(len(text), start + 30)))
    _read_or_refuse(text[:start] + data.draw(st.binary(max_size=8)) + text[end:])


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(traces(), st.data())
def test_a_field_of_any_value_gives_a_trace_or_one_line(trace: Trace, data: st.DataObject) -> None:
    records = [json.loads(json.dumps(record)) for record in records_of(trace)]
    record = records[data.draw(st.integers(0, len(records) - 1))]
    field = data.draw(st.sampled_from(sorted(record)))
    if data.draw(st.booleans()):
        record[field] = data.draw(_JSON)
    else:
        del record[field]
    _read_or_refuse(text_of(*map(json.dumps, records)))


@given(
    st.lists(
        st.dictionaries(
            st.sampled_from(["timestamp", "input_length", "output_length", "hash_ids", "x"]), _JSON
        ),
        max_size=3,
    )
)
def test_mooncake_lines_of_any_value_give_a_trace_or_one_line(rows: list[Any]) -> None:
    _read_or_refuse(text_of(*map(json.dumps, rows)), read_mooncake)


@pytest.mark.parametrize("name", ["t.jsonl", "t.jsonl.gz"])
def test_a_file_is_written_whole_and_twice_the_same(tmp_path: Path, name: str) -> None:
    trace = read_bytes(text_of(HEADER, call_line(), call_line(extends="main/0", keep=100)))
    write_trace(trace, tmp_path / name)
    first = (tmp_path / name).read_bytes()
    write_trace(trace, tmp_path / name)
    assert (tmp_path / name).read_bytes() == first
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_trace_that_cannot_be_written_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text("old")
    mixed = [
        Session(f"s{size}", (Call("main/0", size, 1, blocks=(1,), block_tokens=size),))
        for size in (BLOCK_SIZE, 8)
    ]
    with pytest.raises(TraceError, match="blocks of 4 and 8 tokens: a file holds one block size"):
        write_trace(Trace(mixed), path)
    assert path.read_text() == "old"
    assert [each.name for each in tmp_path.iterdir()] == ["t.jsonl"]


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    path = tmp_path / "no" / "t.jsonl"
    with pytest.raises(TraceError, match=f"^{path}: cannot be written: "):
        write_trace(Trace([Session("s", (Call("main/0", 1, 1),))]), path)
