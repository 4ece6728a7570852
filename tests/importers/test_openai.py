"""Request logs of gateways: the answer keys of LMCache's form, sessions, usage, failures."""

from __future__ import annotations

import gzip
import json
import tempfile
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentsim.domain.trace import Call, Trace
from agentsim.workload.importers.reading import import_logs
from agentsim.workload.importers.report import ImportReport
from importers.samples import sample

NS_PER_MS = 1_000_000


def read(rows: list[dict[str, Any]], path: Path) -> tuple[dict[str, list[Call]], ImportReport]:
    """The calls of each session in a log of these rows."""
    file = path / "log.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    trace, report = import_logs([str(file)])
    return by_session(trace), report


def by_session(trace: Trace) -> dict[str, list[Call]]:
    return {session.id: list(session.calls) for session in trace}


def ours() -> tuple[dict[str, list[Call]], ImportReport]:
    trace, report = import_logs([str(sample("openai"))])
    return by_session(trace), report


def row(at: float, messages: list[str], answer: str | None = None, **more: Any) -> dict[str, Any]:
    """A pair without session whose messages alternate between user and assistant."""
    roles = ("user", "assistant")
    request = {"messages": [{"role": roles[n % 2], "content": m} for n, m in enumerate(messages)]}
    response = {"usage": {"prompt_tokens": 100 * len(messages), "completion_tokens": 10}}
    if answer is not None:
        response["choices"] = [{"message": {"role": "assistant", "content": answer}}]  # type: ignore[assignment]
    times = {"start_time": 1e9 + at, "end_time": 1e9 + at + 1}
    return {"request": request, "response": response, **times, **more}


def test_the_shared_logs_are_those_of_the_answer_key(shared: Path) -> None:
    """Rows out of order, flat text counted with o200k_base, prefixes by content; 4 sessions.

    The key is read as it stands: as a trace it would take answers as sent back, where the text
    shows that they were not.
    """
    pytest.importorskip("bpe_openai")
    folder = shared / "traces" / "lmcache-agent-trace"
    found = by_session(import_logs([str(folder / "raw")])[0])
    assert len(found) == 4
    for kind in ("miniswe", "taubench"):
        with gzip.open(folder / f"{kind}.calls.jsonl.gz") as lines:
            key = [row for row in map(json.loads, lines) if row["type"] == "call"]
        for path in (folder / "raw").glob(f"{kind}.*"):
            session = path.name.split(".")[1]
            wanted = [row for row in key if row["session"] == f"{kind}/{session[:12]}"]
            for call, want in zip(found.pop(session), wanted, strict=True):
                assert call.id == want["id"]
                assert call.input_tokens == want["input_tokens"]
                assert call.output_tokens == want["output_tokens"]
                assert call.at_ns == pytest.approx(want["at"] * 1e9, abs=1000)
                # lines count whole: a common head of one word is none
                assert call.keep in (want.get("keep", 0), want.get("keep", 0) - 1)
                assert not call.keep or call.extends == want["extends"]
    assert not found


def test_calls_without_a_session_are_linked_by_messages_and_answers() -> None:
    calls = ours()[0]["linked-000001"]
    assert [call.input_tokens for call in calls] == [420, 520, 560]
    assert [call.keep for call in calls] == [0, 420 + 40, 520 + 20]
    assert [tool.name for tool in calls[0].tools] == ["read_file", "list_files"]
    assert calls[1].measured is not None
    assert calls[1].measured.cached_tokens == 416


def test_another_task_with_the_same_system_prompt_is_another_session() -> None:
    calls = ours()[0]
    (other,) = calls["linked-000002"]
    first = calls["linked-000001"][0]
    assert other.segments is not None
    assert first.segments is not None
    shared_names = {name for name, _ in other.segments} & {name for name, _ in first.segments}
    assert len(shared_names) == 2  # tools and system prompt


def test_a_failed_call_is_left_out_and_its_repetition_is_a_retry() -> None:
    calls, report = ours()
    assert report.warnings["calls that failed; left out"].count == 1
    assert [call.trigger for call in calls["linked-000001"]] == ["user", "retry", "user"]


def test_rows_are_put_in_the_order_of_their_times(tmp_path: Path) -> None:
    rows = [row(0, ["a"], "b"), row(5, ["a", "b", "c"], "d"), row(9, ["a", "b", "c", "d", "e"])]
    there, _ = read(rows, tmp_path)
    back, _ = read(rows[::-1], tmp_path)
    assert [[call.input_tokens for call in calls] for calls in there.values()] == [[100, 300, 500]]
    assert [[call.input_tokens for call in calls] for calls in back.values()] == [[100, 300, 500]]


def test_two_samples_of_one_prompt_go_on_apart(tmp_path: Path) -> None:
    """The same first prompt twice: each next prompt follows the answer that it holds."""
    rows = [row(0, ["a"], "b"), row(0.5, ["a"], "x"), row(5, ["a", "b", "c"]),
            row(6, ["a", "x", "c"])]  # fmt: skip
    found, _ = read(rows, tmp_path)
    assert sorted(len(calls) for calls in found.values()) == [2, 2]
    assert {calls[1].keep for calls in found.values()} == {110}


def test_without_bodies_pauses_of_a_user_part_sessions(tmp_path: Path) -> None:
    rows = [
        {"request_id": f"r{n}", "startTime": 1e9 + at, "endTime": 1e9 + at + 2, "user": who,
         "prompt_tokens": 1000 + n, "completion_tokens": 5, "usage": None}
        for n, (at, who) in enumerate([(0, "a"), (60, "a"), (61, "b"), (9000, "a"), (9001, "")])
    ]  # fmt: skip
    found, report = read(rows, tmp_path)
    assert sorted(len(calls) for calls in found.values()) == [1, 1, 1, 2]
    assert report.warnings["calls without a session id; grouped by user and pauses"].count == 4


def test_session_ids_made_up_for_each_call_are_not_used(tmp_path: Path) -> None:
    rows = [row(0, ["a"], "b", session_id="s1"), row(5, ["a", "b", "c"], session_id="s2")]
    found, report = read(rows, tmp_path)
    assert [len(calls) for calls in found.values()] == [2]
    assert report.warnings["session ids that differ from call to call; not used"].count == 2


def test_answers_of_a_gateways_cache_and_embeddings_are_no_calls() -> None:
    calls, report = ours()
    assert [call.input_tokens for call in calls["lit-1"]] == [9000, 9300]
    assert calls["lit-1"][0].measured is not None
    assert calls["lit-1"][0].measured.ttft_ns == 400 * NS_PER_MS
    assert report.warnings["requests answered from a gateway's cache; left out"].count == 1
    assert report.warnings["requests that are no chat or completion; left out"].count == 1


def test_a_first_token_in_milliseconds() -> None:
    (first, _) = ours()[0]["hel-1"]
    assert first.measured is not None
    assert first.measured.ttft_ns == 350 * NS_PER_MS


def test_anthropics_own_counts_leave_out_cached_tokens() -> None:
    first, second = ours()[0]["01234567-89ab-cdef-0123-456789abcdef"]
    assert (first.input_tokens, second.input_tokens) == (15_004, 15_157)
    assert (second.keep, second.trigger) == (15_004 + 96, "tool")
    assert first.measured is not None
    assert first.measured.cached_tokens == 12_000


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [
        ({"prompt_tokens": 900, "prompt_tokens_details": {"cached_tokens": 800}}, 900),
        ({"input_tokens": 900, "input_tokens_details": {"cached_tokens": 800}}, 900),
        ({"input_tokens": 100, "cache_read_input_tokens": 800}, 900),
        ({"input_tokens": 850, "cache_read_input_tokens": 50}, 900),
        ({"prompt_tokens": 900, "cache_read_input_tokens": 800}, 900),
        ({"prompt_tokens": 100, "cache_read_input_tokens": 800}, 900),
        ({"prompt_tokens": "900", "prompt_cache_hit_tokens": 800}, 900),
    ],
)
def test_prompts_with_and_without_cached_tokens(
    usage: dict[str, Any], tokens: int, tmp_path: Path
) -> None:
    key = "output_tokens" if "input_tokens" in usage else "completion_tokens"
    found, _ = read([{"timestamp": 1e9, "response": {"usage": {**usage, key: 7}}}], tmp_path)
    ((call,),) = found.values()
    assert (call.input_tokens, call.output_tokens) == (tokens, 7)


def test_responses_api_reasoning_that_was_dropped_is_not_reused() -> None:
    calls = ours()[0]["linked-000003"]
    assert [call.keep for call in calls] == [0, 300 + 25, 345]
    assert [call.extends for call in calls] == [None, "main/0", "main/1"]


def test_missing_usage_is_counted_and_flagged(tmp_path: Path) -> None:
    """Streams without include_usage; the text stands in server-sent events."""
    events = [{"id": "c1", "choices": [{"delta": {"content": word}}]} for word in ("to", " be")]
    stream = "".join(f"data: {json.dumps(event)}\n\n" for event in events) + "data: [DONE]\n\n"
    request = {"model": "m", "messages": [{"role": "user", "content": "a b c d"}], "stream": True}
    rows = [{"timestamp": 1e9, "request": request, "response": stream, "usage": None}]
    found, report = read(rows, tmp_path)
    ((call,),) = found.values()
    assert call.input_estimated
    assert call.output_estimated
    assert call.input_tokens >= 8
    assert call.output_tokens >= 1
    assert report.standing["input_tokens"]["estimated"] == 1


def test_one_time_a_call_is_its_end(tmp_path: Path) -> None:
    rows = [{**row(0, ["a"]), "start_time": None, "end_time": None, "timestamp": 1e12}]
    found, report = read(rows, tmp_path)
    ((call,),) = found.values()
    assert call.at_ns is None
    assert report.standing["end"]["measured"] == 1
    assert "calls with one time each; taken as their end" in report.warnings


def test_flat_text_in_any_order_is_a_session() -> None:
    calls = ours()[0]["flat-1"]
    assert [call.at_ns for call in calls] == [0, 3_000_000_000, 6_000_000_000]
    assert [call.keep for call in calls] == [0, calls[0].input_tokens, calls[1].input_tokens]


@given(st.data())
def test_linking_gives_back_the_sessions_that_wrote_the_log(data: st.DataObject) -> None:
    """Any number of conversations, interleaved: each is one session, each answer counted back."""
    lengths = data.draw(st.lists(st.integers(1, 5), min_size=1, max_size=6))
    order = data.draw(st.permutations([n for n, calls in enumerate(lengths) for _ in range(calls)]))
    texts: dict[int, list[str]] = {n: [f"task {n}"] for n in range(len(lengths))}
    rows = []
    for at, n in enumerate(order):
        answer = f"answer {data.draw(st.integers(0, 2))}"
        rows.append(row(2 * at, texts[n], answer))
        texts[n] = [*texts[n], answer, "go on"]
    with tempfile.TemporaryDirectory() as folder:
        found, _ = read(rows, Path(folder))
    assert sorted(len(calls) for calls in found.values()) == sorted(lengths)
    for calls in found.values():
        for before, call in pairwise(calls):
            assert call.extends == before.id
            assert call.keep == before.input_tokens + before.output_tokens


@pytest.mark.parametrize(("reasoning", "kept"), [(0, 110), (6, 100)])
def test_what_was_thought_out_of_sight_is_not_sent_back(
    reasoning: int, kept: int, tmp_path: Path
) -> None:
    """Tokens after dropped ones stand elsewhere: only the prompt before is the same."""
    first, second = row(0, ["a"], "b"), row(5, ["a", "b", "c"])
    details = {"completion_tokens_details": {"reasoning_tokens": reasoning}}
    first["response"]["usage"] |= details
    found, _ = read([first, second], tmp_path)
    ((_, call),) = found.values()
    assert call.keep == kept
