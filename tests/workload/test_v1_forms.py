"""Every form that format v1 allows is read as it is meant."""

from __future__ import annotations

import json
from pathlib import Path

from agentsim.domain.trace import Measured, Tool
from agentsim.workload.formats import read_trace
from workload.texts import HEADER, call_line, read_bytes, read_calls, read_lines, text_of

S = 1_000_000_000


def test_all_fields_of_a_call_are_read() -> None:
    (call,) = read_calls(
        call_line(
            agent="a",
            id="a/7",
            turn=7,
            after=[],
            at=1.5,
            delay=0.25,
            trigger="user",
            parent="main/3",
            model="m",
            adapter="lora-7",
            priority=-2,
            max_tokens=64,
            finish="stop",
            tools=[{"name": "Bash", "duration": 0.7, "result_tokens": 12}],
            measured={"ttft": 0.8, "e2e": 4.0, "queue": 0.1, "cached_tokens": 12},
            input_estimated=True,
            output_estimated=True,
        )
    )
    assert (call.agent, call.id, call.turn, call.parent) == ("a", "a/7", 7, "main/3")
    assert (call.at_ns, call.delay_ns, call.trigger) == (1_500_000_000, 250_000_000, "user")
    assert (call.model, call.adapter, call.priority) == ("m", "lora-7", -2)
    assert (call.max_tokens, call.finish) == (64, "stop")
    assert call.tools == (Tool("Bash", 700_000_000, 12),)
    assert call.measured == Measured(800_000_000, 4 * S, 100_000_000, 12)
    assert call.input_estimated
    assert call.output_estimated
    assert call.extra is None


def test_all_fields_of_a_session_are_read() -> None:
    (session,) = read_lines(
        {
            "type": "session",
            "session": "s1",
            "at": 3.0,
            "tenant": "team-a",
            "deadline": 600.0,
            "priority": 4,
            "system_tokens": 30,
            "tool_tokens": 40,
        },
        call_line(),
    )
    assert (session.id, session.at_ns, session.tenant) == ("s1", 3 * S, "team-a")
    assert (session.deadline_ns, session.priority) == (600 * S, 4)
    assert (session.system_tokens, session.tool_tokens) == (30, 40)
    assert session.extra is None


def test_the_header_is_read_and_may_be_left_out() -> None:
    trace = read_bytes(text_of({**HEADER, "source": "x", "tokenizer": "qwen3"}, call_line()))
    assert (trace.header.source, trace.header.tokenizer) == ("x", "qwen3")
    assert trace.header.keep_covers == "input+output"
    assert read_bytes(text_of(call_line())).header.source == ""


def test_what_is_absent_is_unknown_and_never_zero() -> None:
    (call,) = read_calls(call_line(delay=None))
    assert call.delay_ns is None
    assert call.at_ns is None
    assert call.measured is None
    assert call.priority is None


def test_token_counts_have_other_names() -> None:
    for names in (("prompt_tokens", "completion_tokens"), ("input_length", "output_length")):
        line = {"type": "call", "session": "s1", names[0]: 100, names[1]: 10}
        (call,) = read_calls(line)
        assert (call.input_tokens, call.output_tokens) == (100, 10)


def test_a_count_under_two_names_passes_if_both_agree() -> None:
    (call,) = read_calls(call_line(prompt_tokens=100))
    assert call.input_tokens == 100


def test_id_is_agent_and_turn_and_after_is_the_last_call_of_the_agent() -> None:
    calls = read_calls(
        call_line(),
        call_line(agent="b", after=["main/0"]),
        call_line(),
        call_line(agent="b"),
        call_line(after=["main/1", "b/1"]),
        call_line(after=[]),
    )
    assert [call.id for call in calls] == ["main/0", "b/0", "main/1", "b/1", "main/2", "main/3"]
    assert [call.after for call in calls] == [
        (),
        ("main/0",),
        ("main/0",),
        ("b/0",),
        ("main/1", "b/1"),
        (),
    ]


def test_a_call_named_twice_in_after_counts_once() -> None:
    calls = read_calls(call_line(), call_line(after=["main/0", "main/0"]))
    assert calls[1].after == ("main/0",)


def test_a_turn_that_is_given_numbers_those_that_follow() -> None:
    calls = read_calls(call_line(turn=4), call_line())
    assert [call.id for call in calls] == ["main/4", "main/5"]


def test_a_prompt_may_be_named_segments() -> None:
    _, call = read_calls(
        call_line(), call_line(prompt=[["sys", 60], ["out:main/0", 10], ["~new", 30], ["none", 0]])
    )
    assert call.segments == (("sys", 60), ("out:main/0", 10), ("~new", 30), ("none", 0))


def test_a_prompt_may_extend_another_call_not_only_the_last() -> None:
    calls = read_calls(call_line(), call_line(), call_line(extends="main/0", keep=95))
    assert (calls[2].extends, calls[2].keep) == ("main/0", 95)


def test_a_prompt_may_be_hashed_blocks_the_last_one_partial() -> None:
    for name in ("blocks", "hash_ids"):
        trace = read_bytes(
            text_of({**HEADER, "block_size": 16}, call_line(**{name: [1, "b", 3, 4, 5, 6, 7]}))
        )
        (call,) = trace.sessions[0].calls
        assert call.blocks == (1, "b", 3, 4, 5, 6, 7)
        assert call.block_tokens == 16


def test_a_prompt_may_share_nothing() -> None:
    (call,) = read_calls(call_line())
    assert call.segments is None
    assert call.extends is None
    assert call.blocks is None


def test_calls_without_tokens_pass() -> None:
    calls = read_calls(call_line(input_tokens=0), call_line(output_tokens=0))
    assert [call.input_tokens for call in calls] == [0, 100]
    assert [call.output_tokens for call in calls] == [10, 0]


def test_sessions_may_interleave_and_come_out_by_start_and_name() -> None:
    trace = read_lines(
        {"type": "session", "session": "late", "at": 2},
        {"type": "session", "session": "b", "at": 1},
        call_line(session="late"),
        {"type": "session", "session": "a", "at": 1},
        call_line(session="b"),
        call_line(session="a"),
        call_line(session="late"),
    )
    assert [session.id for session in trace] == ["a", "b", "late"]
    assert [len(session.calls) for session in trace] == [1, 1, 2]


def test_a_session_without_a_line_is_taken_as_default_and_counted() -> None:
    trace = read_lines(call_line(session="x"), call_line(session="y"))
    assert [(session.id, session.at_ns, session.priority) for session in trace] == [
        ("x", 0, 0),
        ("y", 0, 0),
    ]
    assert trace.notes == {"sessions without a session line": 2}


def test_a_session_without_a_call_is_left_out_and_counted() -> None:
    trace = read_lines(
        {"type": "session", "session": "s1"}, {"type": "session", "session": "s2"}, call_line()
    )
    assert [session.id for session in trace] == ["s1"]
    assert trace.notes == {"sessions without a call": 1}


def test_unknown_fields_are_kept_where_they_stood() -> None:
    trace = read_bytes(
        text_of(
            {**HEADER, "license": "MIT", "block_size": 16},
            {"type": "session", "session": "s1", "repo": "r", "slo": {"ttft": 2.0}},
            call_line(
                colour="red",
                tenant="t",
                slo={"tpot": 0.05},
                deadline=9.0,
                tools=[{"name": "A"}, {"name": "B", "result_chars": 7}],
                measured={"cost": 0.1, "status": "ok"},
            ),
        )
    )
    assert trace.header.extra == {"license": "MIT", "block_size": 16}
    assert trace.sessions[0].extra == {"repo": "r", "slo": {"ttft": 2.0}}
    assert trace.sessions[0].calls[0].extra == {
        "colour": "red",
        "slo": {"tpot": 0.05},
        "deadline": 9.0,
        "tenant": "t",
        "measured": {"cost": 0.1, "status": "ok"},
        "tools": [{}, {"result_chars": 7}],
    }


COVERS_INPUT = {**HEADER, "keep_covers": "input"}


def test_an_output_is_taken_as_sent_back_when_the_prompt_grew_by_as_much() -> None:
    trace = read_bytes(
        text_of(
            {"type": "header", **COVERS_INPUT},
            {"type": "session", "session": "s1"},
            call_line(),
            call_line(input_tokens=110, extends="main/0", keep=100),
            call_line(input_tokens=200, extends="main/0", keep=100),
        )
    )
    assert [call.keep for call in trace.sessions[0].calls] == [0, 110, 110]
    assert trace.notes == {"outputs taken as sent back": 2}


def test_an_output_is_not_taken_as_sent_back_when_the_prompt_grew_less_or_was_cut() -> None:
    trace = read_bytes(
        text_of(
            COVERS_INPUT,
            {"type": "session", "session": "s1"},
            call_line(),
            call_line(input_tokens=109, extends="main/0", keep=100),
            call_line(input_tokens=200, extends="main/0", keep=99),
        )
    )
    assert [call.keep for call in trace.sessions[0].calls] == [0, 100, 99]
    assert trace.notes == {}


def test_a_base_is_whole_if_only_the_sources_last_block_of_it_is_missing() -> None:
    lines = [
        {"type": "session", "session": "s1"},
        call_line(),
        call_line(input_tokens=200, extends="main/0", keep=64),
    ]
    whole = read_bytes(text_of({**COVERS_INPUT, "keep_granularity": 64}, *lines))
    cut = read_bytes(text_of({**COVERS_INPUT, "keep_granularity": 32}, *lines))
    assert whole.sessions[0].calls[1].keep == 110
    assert cut.sessions[0].calls[1].keep == 64


def test_the_example_of_the_reference_is_read(tmp_path: Path) -> None:
    """The block in docs/traces.md stays true."""
    docs = Path(__file__).parents[2] / "docs" / "traces.md"
    example = docs.read_text().split("```json\n")[1].split("```")[0]
    path = tmp_path / "example.jsonl"
    path.write_text(example)
    assert all(json.loads(line) for line in example.splitlines())
    trace = read_trace(path)
    assert [call.id for call in trace.sessions[0].calls] == [
        "main/0",
        "main/1",
        "explore-1/0",
        "main/2",
    ]
    assert trace.sessions[0].calls[3].after == ("main/1", "explore-1/0")
