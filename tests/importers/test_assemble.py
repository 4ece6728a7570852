"""What all formats have in common: order, dependencies, waits and prefixes of a session."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentsim.domain.trace import Call, Session
from agentsim.errors import ConfigError
from agentsim.workload.importers.assemble import SERVICE_NS, SERVICE_TOKEN_NS, Options, assemble
from agentsim.workload.importers.logged import LoggedCall, LoggedTool, Piece, SessionFacts
from agentsim.workload.importers.report import ImportReport

S = 10**9


def call(name: str, start: float | None, end: float | None, **more: Any) -> LoggedCall:
    """A call of 100 + 10 tokens; times in seconds."""
    given: dict[str, Any] = {"input_tokens": 100, "output_tokens": 10, **more}
    times = {"start_ns": start, "end_ns": end}
    return LoggedCall(name, **given, **{k: round(t * S) for k, t in times.items() if t is not None})


def put(
    calls: list[LoggedCall], options: Options | None = None, **facts: Any
) -> tuple[Session, ImportReport]:
    report = ImportReport()
    found = assemble("s", SessionFacts(**facts), calls, options or Options(), report)
    return found, report


def by_id(session: Session) -> dict[str, Call]:
    return {each.id: each for each in session.calls}


def test_calls_follow_one_another_after_measured_waits() -> None:
    found, report = put([call("b", 4.7, 6), call("a", 0, 4)])
    first, second = found.calls
    assert (first.id, first.after, first.delay_ns, first.at_ns) == ("main/0", (), None, 0)
    assert (second.after, second.delay_ns) == (("main/0",), round(0.7 * S))
    assert second.measured is not None
    assert second.measured.e2e_ns == round(1.3 * S)
    assert report.standing["wait"] == {"measured": 2, "estimated": 0, "missing": 0}
    assert report.explained_share == 1.0


def test_a_log_with_one_time_a_call_loses_the_service_time_from_its_waits() -> None:
    found, report = put([call("a", None, 5), call("b", None, 15)])
    service = SERVICE_NS + 10 * SERVICE_TOKEN_NS
    assert found.calls[1].delay_ns == 10 * S - service
    assert report.standing["wait"]["estimated"] == 1
    assert report.standing["start"]["missing"] == 2


def test_without_times_tools_tell_the_wait_and_the_longest_counts() -> None:
    tools = (LoggedTool("a", duration_ns=3 * S), LoggedTool("b", duration_ns=2 * S))
    found, report = put([call("a", None, None, tools=tools), call("b", None, None)])
    assert found.calls[1].delay_ns == 3 * S
    assert report.standing["wait"] == {"measured": 0, "estimated": 1, "missing": 1}
    unknown, report = put([call("a", None, None), call("b", None, None)])
    assert unknown.calls[1].delay_ns is None
    assert report.standing["wait"]["missing"] == 2


def test_a_parent_waits_for_sub_agents_that_ended_before_its_next_call() -> None:
    found, report = put(
        [
            call("a", 0, 1),
            call("x", 1.1, 2, agent="x", spawned_by="a"),
            call("y", 1.1, 9, agent="y", spawned_by="a"),
            call("x2", 2, 3, agent="x"),
            call("b", 3.5, 4),
            call("c", 9.5, 10),
        ]
    )
    calls = by_id(found)
    assert calls["x/0"].after == ("main/0",)
    assert calls["x/0"].delay_ns == round(0.1 * S)
    assert calls["x/1"].after == ("x/0",)
    assert calls["main/1"].after == ("main/0", "x/1")
    assert calls["main/1"].delay_ns == round(0.5 * S)
    assert calls["main/2"].after == ("main/1", "y/0")
    assert report.sub_agents == 2


def test_calls_that_overlap_wait_for_the_same() -> None:
    found, _ = put([call("a", 0, 1), call("b", 2, 6), call("c", 3, 4), call("d", 7, 8)])
    assert [each.after for each in found.calls] == [(), ("main/0",), ("main/0",), ("main/2",)]


def test_waits_for_a_human_are_kept_cut_or_dropped() -> None:
    calls = [call("a", 0, 1, trigger="user"), call("b", 1001, 1002, trigger="user")]
    for most_ns, wait in ((None, 1000 * S), (300 * S, 300 * S), (0, 0)):
        found, report = put(calls, Options(most_human_ns=most_ns))
        assert found.calls[1].delay_ns == wait
        assert ("waits for a human cut short" in report.warnings) == (most_ns is not None)


def test_growth_keeps_the_prompt_before_and_a_drop_keeps_what_is_known() -> None:
    sizes = [1000, 1200, 1150, 400]
    calls = [call(f"{n}", n, n + 0.5, input_tokens=size) for n, size in enumerate(sizes)]
    found, report = put(calls, system_tokens=100, tool_tokens=200)
    assert [(each.extends, each.keep) for each in found.calls] == [
        (None, 0), ("main/0", 1010), ("main/1", 1150), ("main/2", 300),
    ]  # fmt: skip
    assert report.standing["prefix"] == {"measured": 0, "estimated": 3, "missing": 1}
    bare, report = put(calls)
    assert bare.calls[3].extends is None
    assert report.standing["prefix"]["missing"] == 2


def test_answers_are_taken_as_sent_back_where_the_trace_cannot_say_otherwise() -> None:
    calls = [call("a", 0, 1), call("b", 2, 3, input_tokens=115), call("c", 4, 5, input_tokens=120)]
    found, _ = put(calls)
    assert [each.keep for each in found.calls] == [0, 110, 115]


def message(name: str, tokens: int) -> Piece:
    return Piece(sum(map(ord, name)) * 7919, tokens)


def chat(
    name: str, at: float, *parts: tuple[str, int], answer: str = "", **more: Any
) -> LoggedCall:
    pieces = tuple(message(*part) for part in parts)
    size = more.pop("input_tokens", sum(piece.tokens for piece in pieces))
    said = message(answer, 0).digest if answer else None
    return call(name, at, at + 0.5, input_tokens=size, pieces=pieces, answer=said, **more)


def test_messages_name_the_base_that_shares_most() -> None:
    """Two conversations of one session, turn about: the call before is not the base."""
    found, report = put(
        [
            chat("a", 0, ("sys", 50), ("ask", 10), answer="yes"),
            chat("b", 1, ("other", 40), ("do", 5)),
            chat("c", 2, ("sys", 50), ("ask", 10), ("yes", 10), ("more", 7)),
            chat("d", 3, ("sys", 50), ("new", 9)),
        ]
    )
    calls = found.calls
    assert (calls[2].extends, calls[2].keep) == ("main/0", 70)
    assert (calls[3].extends, calls[3].keep) == ("main/2", 50)
    assert report.standing["prefix"]["measured"] == 4
    assert calls[0].segments is not None
    assert [tokens for _, tokens in calls[0].segments] == [50, 10]


def test_tokens_around_the_messages_stand_at_the_head() -> None:
    """Tool definitions are in the count of the server and in no message."""
    found, _ = put(
        [
            chat("a", 0, ("sys", 50), ("ask", 10), input_tokens=1060),
            chat("b", 1, ("sys", 50), ("new", 20), input_tokens=1075),
        ]
    )
    assert found.calls[0].segments is not None
    assert [tokens for _, tokens in found.calls[0].segments] == [1000, 50, 10]
    assert found.calls[1].keep == 1050


def test_equal_first_messages_have_equal_names_under_one_key_only() -> None:
    calls = [chat("a", 0, ("sys", 50), ("ask", 10))]
    one, other = (put(calls, Options(key=key))[0].calls[0].segments for key in (b"k", b"l"))
    again = put([chat("z", 9, ("sys", 50), ("no", 10))], Options(key=b"k"))[0].calls[0].segments
    assert one is not None
    assert other is not None
    assert again is not None
    assert one[0] == again[0] != other[0]
    assert one[1] != again[1]


def test_scaled_tokens_keep_their_sums() -> None:
    calls = [
        chat("a", 0, ("sys", 51), ("ask", 13), answer="yes"),
        chat("b", 1, ("sys", 51), ("ask", 13), ("yes", 10), ("more", 7)),
    ]
    found, _ = put(calls, Options(tokens_scale=0.7))
    first, second = found.calls
    assert (first.input_tokens, first.output_tokens) == (45, 7)
    assert second.keep == 52
    with pytest.raises(ConfigError, match="block hashes"):
        put([call("a", 0, 1, blocks=(1,), block_tokens=512)], Options(tokens_scale=0.7))


def test_models_are_renamed_by_the_first_pattern_that_fits() -> None:
    options = Options(models=(("claude-*", "mine"), ("*", "other")))
    found, _ = put([call("a", 0, 1, model="claude-x"), call("b", 2, 3, model="gpt")], options)
    assert [each.model for each in found.calls] == ["mine", "other"]


def test_times_that_run_backwards_are_told_and_dropped() -> None:
    found, report = put([call("a", 5, 4), call("b", 6, 7, delay_ns=-5)])
    assert found.calls[0].measured is None
    assert set(report.warnings) == {
        "calls that end before they start; the end is dropped",
        "negative waits; taken as unknown",
    }


@given(
    st.lists(
        st.tuples(
            st.sampled_from(("main", "x", "y")),
            st.none() | st.integers(0, 50),
            st.none() | st.integers(-5, 20),
            st.integers(0, 3000),
            st.integers(0, 400),
            st.none()
            | st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, 500)), max_size=5),
            st.booleans(),
        ),
        min_size=1,
        max_size=20,
    ),
    st.sampled_from((1.0, 0.3, 1.7)),
)
def test_whatever_is_logged_a_session_is_sound(rows: list[Any], scale: float) -> None:
    """References resolve, prefixes are no longer than what they are of, every field is counted."""
    calls = []
    for number, (agent, start, lasts, size, made, pieces, is_reset) in enumerate(rows):
        end = None if start is None or lasts is None else start + lasts
        parts = None if pieces is None else tuple(message(*part) for part in pieces)
        calls.append(
            call(
                f"{number}", start, None if end is None else max(0, end), agent=agent,
                input_tokens=size, output_tokens=made, pieces=parts, is_reset=is_reset,
                spawned_by="0" if agent != "main" else None,
            )
        )  # fmt: skip
    found, report = put(calls, Options(tokens_scale=scale))
    seen: dict[str, Call] = {}
    for each in found.calls:
        assert all(other in seen for other in each.after)
        assert each.delay_ns is None or each.delay_ns >= 0
        if each.extends is not None:
            base = seen[each.extends]
            assert 0 < each.keep <= min(each.input_tokens, base.input_tokens + base.output_tokens)
        if each.segments is not None:
            assert sum(tokens for _, tokens in each.segments) == each.input_tokens
        seen[each.id] = each
    assert len(seen) == len(rows) == report.calls
    assert all(sum(counts.values()) == len(rows) for counts in report.standing.values())
