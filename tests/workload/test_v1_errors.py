"""Every bad line is told in one line: where, which field, what was expected, what was there."""

from __future__ import annotations

from typing import Any

import pytest

from agentsim.errors import TraceError
from workload.texts import HEADER, call_line, read_bytes, read_lines, text_of

#: A second call line after a plain first one -> what is wrong with it, on line 3.
BAD_CALLS: list[tuple[dict[str, Any], str]] = [
    (call_line(output_tokens=-3), "field 'output_tokens': expected an integer >= 0, got -3"),
    (call_line(input_tokens="many"), "field 'input_tokens': expected an integer >= 0, got 'many'"),
    (call_line(input_tokens=1.5), "field 'input_tokens': expected an integer >= 0, got 1.5"),
    (call_line(input_tokens=True), "field 'input_tokens': expected an integer >= 0, got true"),
    (call_line(input_tokens=None), "field 'input_tokens': missing, expected an integer >= 0"),
    (
        call_line(input_tokens=1 << 50),
        "field 'input_tokens': expected a number <= 1099511627776, got 1125899906842624",
    ),
    (
        {"type": "call", "session": "s1", "input_tokens": 5},
        "field 'output_tokens': missing, expected an integer >= 0",
    ),
    (
        call_line(prompt_tokens=99),
        "field 'prompt_tokens': expected 100 as in 'input_tokens', its other name; got 99",
    ),
    (call_line(delay=-0.5), "field 'delay': expected a number of seconds >= 0, got -0.5"),
    (call_line(at="1s"), "field 'at': expected a number of seconds >= 0, got '1s'"),
    (call_line(delay=1e300), "field 'delay': expected a number <= 4000000000.0, got 1e+300"),
    (call_line(session=""), "field 'session': expected a string that is not empty, got ''"),
    (
        {"type": "call", "input_tokens": 1, "output_tokens": 1},
        "field 'session': missing, expected a string that is not empty",
    ),
    (call_line(id="main/0"), "field 'id': 'main/0' is the id of an earlier call of the session"),
    (call_line(turn=0), "field 'id': 'main/0' is the id of an earlier call of the session"),
    (
        call_line(after=["nobody"]),
        "field 'after': 'nobody' is not an earlier call of session 's1'",
    ),
    (
        call_line(after=["main/1"]),
        "field 'after': 'main/1' is this call itself: "
        "a call names only earlier calls of its session",
    ),
    (call_line(after="main/0"), "field 'after': expected a list, got 'main/0'"),
    (
        call_line(extends="gone", keep=5),
        "field 'extends': 'gone' is not an earlier call of session 's1'",
    ),
    (
        call_line(extends="main/0"),
        "field 'keep': missing, expected how many tokens of 'main/0' are kept",
    ),
    (
        call_line(keep=4),
        "field 'extends': missing, expected the call whose tokens 'keep' counts",
    ),
    (
        call_line(input_tokens=105, extends="main/0", keep=106),
        "field 'keep': expected at most the prompt's 105 tokens, got 106",
    ),
    (
        call_line(input_tokens=500, extends="main/0", keep=111),
        "field 'keep': expected at most 110 (prompt and output of 'main/0'), got 111",
    ),
    (
        call_line(extends="main/0", keep=5, prompt=[["a", 100]]),
        "field 'prompt': expected only one of prompt, extends, blocks; got prompt and extends",
    ),
    (
        call_line(prompt=[["a", 60], ["b", 39]]),
        "field 'prompt': segments add up to 99 tokens, but the prompt has 100",
    ),
    (
        call_line(prompt=[["a", 60], ["b", -1]]),
        "field 'prompt[1]': expected a pair [segment, tokens] with a name and an integer >= 0, "
        "got ['b', -1]",
    ),
    (
        call_line(prompt=[["out:main/9", 100]]),
        "field 'prompt': 'main/9' is not an earlier call of session 's1'",
    ),
    (
        call_line(prompt=[["out:main/0", 11], ["a", 89]]),
        "field 'prompt': segment 'out:main/0': "
        "expected at most the call's 10 output tokens, got 11",
    ),
    (
        call_line(blocks=[1, 2]),
        "field 'blocks': the header has no 'block_size': say how many tokens a block holds",
    ),
    (
        call_line(tools=[{"name": "A"}, {"name": "B", "duration": -1}]),
        "field 'tools[1].duration': expected a number of seconds >= 0, got -1",
    ),
    (call_line(tools=[{"duration": 1}]), "field 'tools[0].name': missing, expected a string"),
    (call_line(measured=7), "field 'measured': expected an object, got 7"),
    (
        call_line(measured={"cached_tokens": 1.5}),
        "field 'measured.cached_tokens': expected an integer >= 0, got 1.5",
    ),
    (call_line(slo={"ttft": -2}), "field 'slo.ttft': expected a number of seconds >= 0, got -2"),
    (call_line(max_tokens=0), "field 'max_tokens': expected an integer >= 1, got 0"),
    (call_line(priority="high"), "field 'priority': expected an integer, got 'high'"),
    (call_line(output_estimated=1), "field 'output_estimated': expected true or false, got 1"),
    (call_line(model=3), "field 'model': expected a string, got 3"),
    ({"type": "cal"}, "field 'type': expected header, session or call, got 'cal'"),
    ({"type": []}, "field 'type': expected header, session or call, got []"),
    ({"session": "s1"}, "field 'type': expected header, session or call, got null"),
    (HEADER, "field 'type': a header stands only on the first line: is this two files in one?"),
    (
        {"type": "session", "session": "s1"},
        "field 'session': 's1' has a line of its calls before this one",
    ),
    ({"type": "session"}, "field 'session': missing, expected a string that is not empty"),
    (
        {"type": "session", "session": "s2", "at": -1},
        "field 'at': expected a number of seconds >= 0, got -1",
    ),
]


@pytest.mark.parametrize(("line", "message"), BAD_CALLS, ids=[m for _, m in BAD_CALLS])
def test_a_bad_line_is_told_with_place_field_and_expectation(
    line: dict[str, Any], message: str
) -> None:
    with pytest.raises(TraceError) as caught:
        read_lines(call_line(), line)
    assert str(caught.value) == f"trace.jsonl:3: {message}"


BAD_HEADERS: list[tuple[dict[str, Any], str]] = [
    ({**HEADER, "version": 2}, "field 'version': expected 1, got 2: this is another format"),
    ({**HEADER, "version": "1"}, "field 'version': expected an integer, got '1'"),
    ({**HEADER, "format": "x"}, "field 'format': expected 'agentsim-trace', got 'x'"),
    ({"type": "header", "version": 1}, "field 'format': missing, expected a string"),
    (
        {**HEADER, "time_unit": "ms"},
        "field 'time_unit': expected 's', got 'ms': convert times to seconds",
    ),
    (
        {**HEADER, "keep_covers": "all"},
        "field 'keep_covers': expected 'input' or 'input+output', got 'all'",
    ),
    ({**HEADER, "block_size": 0}, "field 'block_size': expected an integer >= 1, got 0"),
]


@pytest.mark.parametrize(("header", "message"), BAD_HEADERS, ids=[m for _, m in BAD_HEADERS])
def test_a_bad_header_is_told(header: dict[str, Any], message: str) -> None:
    with pytest.raises(TraceError) as caught:
        read_bytes(text_of(header, call_line()))
    assert str(caught.value) == f"trace.jsonl:1: {message}"


BAD_JSON: list[tuple[bytes, str]] = [
    (b'{"type":"call",', "malformed JSON: "),
    (b'{"type":"call"}}', "malformed JSON: "),
    (b"nonsense", "malformed JSON: "),
    (b'{"delay":NaN}', "malformed JSON: "),
    (b'{"delay":1e999}', "malformed JSON: "),
    (b"[" * 100_000, "malformed JSON: nested too deep"),
    (b'{"session":"\xff\xfe"}', "not UTF-8 text: save the trace as UTF-8"),
    (b"\xff\xfe{\x00", "not UTF-8 text: save the trace as UTF-8"),
    (b"[1, 2]", "expected a JSON object, got [1, 2]"),
    (b"null", "expected a JSON object, got null"),
]


@pytest.mark.parametrize(("line", "message"), BAD_JSON, ids=range(len(BAD_JSON)))
def test_a_line_that_is_no_json_object_is_told(line: bytes, message: str) -> None:
    with pytest.raises(TraceError) as caught:
        read_lines(call_line(), line)
    assert str(caught.value).startswith(f"trace.jsonl:3: {message}")
    assert "\n" not in str(caught.value)


def test_all_that_is_wrong_with_the_first_bad_line_is_told_and_nothing_of_later_ones() -> None:
    with pytest.raises(TraceError) as caught:
        read_lines(
            call_line(),
            call_line(output_tokens=-1, delay="x", after=["a", "b"], extends="c", keep=7),
            call_line(output_tokens=-99),
        )
    assert str(caught.value) == (
        "trace.jsonl:3: "
        "field 'delay': expected a number of seconds >= 0, got 'x'; "
        "field 'output_tokens': expected an integer >= 0, got -1; "
        "field 'after': 'a' is not an earlier call of session 's1'; "
        "field 'after': 'b' is not an earlier call of session 's1'; "
        "field 'extends': 'c' is not an earlier call of session 's1'"
    )


def test_a_bad_field_is_not_blamed_twice() -> None:
    with pytest.raises(TraceError) as caught:
        read_lines(call_line(input_tokens=-1, prompt=[["a", 5]]))
    assert str(caught.value) == (
        "trace.jsonl:2: field 'input_tokens': expected an integer >= 0, got -1"
    )


def test_a_call_named_before_its_line_is_told_where_it_stands() -> None:
    with pytest.raises(TraceError) as caught:
        read_lines(
            call_line(after=["main/1"]),
            call_line(session="s2", turn=1),
            call_line(turn=1, after=[]),
        )
    assert str(caught.value) == (
        "trace.jsonl:2: field 'after': 'main/1' is not an earlier call of session 's1'; "
        "'main/1' stands on line 4 and must stand before this line"
    )


def test_a_cycle_is_called_a_cycle() -> None:
    with pytest.raises(TraceError) as caught:
        read_lines(
            call_line(id="a", after=["c"]),
            call_line(id="b", after=["a"]),
            call_line(id="c", after=["b"]),
        )
    assert str(caught.value) == (
        "trace.jsonl:2: field 'after': 'c' is not an earlier call of session 's1'; "
        "'c' stands on line 4 and needs 'a' in turn: a cycle"
    )


def test_what_stands_behind_a_bad_line_may_be_anything() -> None:
    with pytest.raises(TraceError, match="field 'after': 'x' is not an earlier call"):
        read_lines(call_line(after=["x"]), "[]", '{"session":"s1","after":3}', b"\xff", "nonsense")


def test_hashed_blocks_must_cover_the_prompt_exactly() -> None:
    header = {**HEADER, "block_size": 16}
    for blocks in ([1] * 6, [1] * 8):
        with pytest.raises(TraceError) as caught:
            read_bytes(text_of(header, call_line(blocks=blocks)))
        assert str(caught.value) == (
            "trace.jsonl:2: field 'blocks': expected 7 blocks of 16 for 100 tokens, "
            f"got {len(blocks)}"
        )


def test_a_second_session_line_is_an_error() -> None:
    line = {"type": "session", "session": "s1"}
    with pytest.raises(TraceError) as caught:
        read_lines(line, line, call_line())
    assert str(caught.value) == (
        "trace.jsonl:3: field 'session': 's1' has a session line before this one"
    )


def test_a_trace_without_calls_is_an_error() -> None:
    for lines in ([], [{"type": "session", "session": "s1"}]):
        with pytest.raises(TraceError) as caught:
            read_lines(*lines)
        assert str(caught.value) == (
            "trace.jsonl: no calls: expected at least one line of type 'call'"
        )


def test_a_long_value_is_shown_shortened_on_one_line() -> None:
    with pytest.raises(TraceError) as caught:
        read_lines(call_line(delay="long\n" * 100))
    assert len(str(caught.value)) < 140
    assert "\n" not in str(caught.value)
