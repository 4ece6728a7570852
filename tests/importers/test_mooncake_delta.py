"""Rows that hold what a turn adds."""

from __future__ import annotations

from importers.samples import sample
from importers.sessions import MS, read


def test_a_prompt_is_all_that_went_before_and_what_the_row_adds() -> None:
    trace, _ = read(sample("mooncake-delta"))
    calls = trace.find("s0").calls
    assert [call.input_tokens for call in calls] == [700, 700 + 20 + 90, 810 + 10 + 60]
    assert [(call.extends, call.keep) for call in calls] == [
        (None, 0),
        ("main/0", 720),
        ("main/1", 820),
    ]
    assert [call.delay_ns for call in calls] == [None, 50 * MS, 2000 * MS]
    assert calls[0].blocks == (1, 2)


def test_sessions_share_their_first_prompts_by_hash() -> None:
    trace, _ = read(sample("mooncake-delta"))
    assert trace.find("s1").calls[0].blocks == (1,)
    assert trace.find("s1").at_ns == 100 * MS
