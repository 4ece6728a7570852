"""aiperf's dialect of Mooncake: sessions, waits, text; whole prompts or what turns add."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agentsim.errors import TraceError
from agentsim.workload.formats import read_trace
from agentsim.workload.importers.reading import import_logs
from importers.samples import sample
from importers.sessions import MS, calls_of, format_of, read, rows_in


def row(session: str | None, length: int, **more: Any) -> dict[str, Any]:
    named = {} if session is None else {"session_id": session}
    return {**named, "input_length": length, "output_length": 10, **more}


def test_rows_of_a_session_are_turns_with_the_waits_before_them() -> None:
    trace, report = read(sample("aiperf"))
    assert [session.id for session in trace] == ["s-1", "s-2", "s-3", "s-4"]
    first, second = trace.find("s-1").calls
    assert (first.blocks, first.block_tokens, first.after) == ((1, 2, 3), 512, ())
    assert (second.after, second.delay_ns) == (("main/0",), 500 * MS)
    assert second.blocks == (1, 2, 7, 8)
    assert trace.find("s-2").at_ns == 250_500_000
    assert report.standing["wait"]["measured"] == 7


def test_messages_are_whole_prompts_and_texts_are_counted() -> None:
    first, second = read(sample("aiperf"))[0].find("s-3").calls
    assert first.input_tokens < second.input_tokens
    assert (second.extends, second.keep) == ("main/0", first.input_tokens)


def test_text_inputs_of_a_session_are_put_one_after_the_other(tmp_path: Path) -> None:
    path = rows_in(
        tmp_path / "t.jsonl",
        {"session_id": "s", "text_input": "zebra " * 20, "output_length": 30},
        {"session_id": "s", "text_input": "quokka", "output_length": 5, "delay": 10},
    )
    assert format_of(path) == "mooncake-delta"
    first, second = read(path, tokenizer="chars:1")[0].find("s").calls
    assert first.input_tokens == 120 + 4
    assert second.input_tokens == 124 + 30 + 6 + 4
    assert (second.extends, second.keep) == ("main/0", 154)


@pytest.mark.parametrize(
    ("second", "expected"),
    [
        (row("s", 700, hash_ids=[1, 2]), "aiperf"),
        (row("s", 700, hash_ids=[5, 6]), "mooncake-delta"),
        (row("s", 700), "aiperf"),
        (row("s", 90), "mooncake-delta"),
        (row("t", 90), "aiperf"),
        (row("s", 90, wait_for=["x"], request_id="y"), ""),
    ],
)
def test_whether_rows_repeat_the_session_shows(
    tmp_path: Path, second: dict[str, Any], expected: str
) -> None:
    first = row("s", 600, timestamp=0, hash_ids=[1, 9])
    assert format_of(rows_in(tmp_path / "t.jsonl", first, second)) == expected


@pytest.mark.parametrize("size", [16, 64, 100, 512])
def test_the_size_of_a_block_follows_from_hashes_and_lengths(tmp_path: Path, size: int) -> None:
    lengths = [3 * size - 1, size, 7 * size - 3, 40 * size + 1]
    rows = [
        row(f"s{n}", length, hash_ids=[f"{n}-{i}" for i in range(-(-length // size))])
        for n, length in enumerate(lengths)
    ]
    trace, _ = read(rows_in(tmp_path / "t.jsonl", *rows))
    assert {call.block_tokens for session in trace for call in session.calls} == {size}


def test_a_partial_block_may_have_no_hash_and_is_then_not_shared(tmp_path: Path) -> None:
    rows = [row(f"s{n}", 1100, hash_ids=[1, 2]) for n in range(2)]
    one, two = read(rows_in(tmp_path / "t.jsonl", *rows, row("t", 512, hash_ids=[1])))[0].sessions[
        :2
    ]
    assert one.calls[0].blocks is not None
    assert two.calls[0].blocks is not None
    assert one.calls[0].blocks[:2] == two.calls[0].blocks[:2] == (1, 2)
    assert one.calls[0].blocks[2] != two.calls[0].blocks[2]


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (row("s", -1), "field 'input_length': expected an integer >= 0, got -1"),
        (row("s", 5, hash_ids=[1, 2, 3]), "field 'hash_ids': expected 1 hashes of 512 tokens"),
        (
            row("s", 5, hash_ids=[None]),
            "field 'hash_ids[0]': expected an integer of 64 bits or a string",
        ),
        (row("s", 5, delay=-3), "field 'delay': expected a time >= 0, got -3"),
        ({"session_id": "s", "output_length": 3}, "field 'input_length'"),
        (
            {"session_id": [], "input_length": 3},
            "field 'session_id': expected a string that is not empty, got []",
        ),
    ],
)
def test_bad_rows_are_told_and_can_be_left_out(
    tmp_path: Path, bad: dict[str, Any], message: str
) -> None:
    good = row("s", 1300, hash_ids=[1, 2, 3])
    path = rows_in(tmp_path / "t.jsonl", good, bad)
    with pytest.raises(TraceError) as caught:
        import_logs([path], format="aiperf")
    assert str(caught.value).startswith(f"{path}:2: {message}")
    trace, report = import_logs([path], format="aiperf", skip_bad=True)
    assert (trace.num_calls, report.left_out) == (1, 1)


def test_answers_of_unknown_length_are_said_to_be(tmp_path: Path) -> None:
    path = rows_in(tmp_path / "t.jsonl", {"session_id": "s", "input_length": 50})
    trace, report = read(path)
    (call,) = trace.find("s").calls
    assert (call.output_tokens, call.output_estimated) == (0, True)
    assert report.warnings["answers of unknown length; taken as empty"].count == 1


def test_plain_rows_stay_with_the_plain_format(tmp_path: Path) -> None:
    plain = {"timestamp": 0, "input_length": 600, "output_length": 1, "hash_ids": [1, 2]}
    path = rows_in(tmp_path / "t.jsonl", plain)
    assert format_of(path) == "mooncake"
    assert read_trace(path).header.source == "mooncake"
    dialect = rows_in(tmp_path / "d.jsonl", {**plain, "session_id": "s"})
    assert read_trace(dialect).header.source == "aiperf"
    assert read_trace(dialect, format="mooncake").header.source == "mooncake"


def test_turns_without_hashes_are_followed_by_growth(tmp_path: Path) -> None:
    path = rows_in(tmp_path / "t.jsonl", row("s", 100), row("s", 150, delay=5))
    trace, report = read(path)
    assert report.formats == {"aiperf": 1}
    assert calls_of(trace.find("s"))["main/1"].keep == 110
    assert report.standing["prefix"]["estimated"] == 1
