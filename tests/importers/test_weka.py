"""WEKA's traces: the answer key of eight sessions, sub-agents, hashes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agentsim.errors import TraceError
from agentsim.workload.formats import read_trace
from importers.samples import sample
from importers.sessions import S, calls_of, read

FIELDS = (
    "agent", "turn", "after", "input_tokens", "output_tokens", "trigger", "model", "extends",
    "keep", "measured",
)  # fmt: skip


def test_the_shared_sessions_are_those_of_their_answer_key(shared: Path) -> None:
    folder = shared / "traces" / "weka-claude-code"
    key = read_trace(folder / "calls.jsonl.gz")
    trace, report = read(folder / "raw")
    assert report.formats == {"weka": 8}
    assert not report.warnings
    for session in trace:
        wanted = key.find(session.id)
        assert (session.system_tokens, session.tool_tokens) == (
            wanted.system_tokens,
            wanted.tool_tokens,
        )
        assert set(calls_of(session)) == set(calls_of(wanted))
        for name, call in calls_of(session).items():
            one = calls_of(wanted)[name]
            assert {f: getattr(call, f) for f in FIELDS} == {f: getattr(one, f) for f in FIELDS}
            if len(call.after) > 1:
                # the key counts from the parent's answer, and so the sub-agents a second time
                assert (call.delay_ns, one.delay_ns) == (32_031_000_000, 108 * S)
            elif one.delay_ns is not None:
                assert call.delay_ns == one.delay_ns
            if call.agent == "main":
                assert call.at_ns == one.at_ns


def test_a_sub_agent_runs_before_the_time_it_is_noted_at() -> None:
    calls = calls_of(read(sample("weka"))[0].find("trace-x"))
    first = calls["agent_001/0"]
    assert (first.after, first.trigger, first.delay_ns) == (("main/0",), "spawn", 0)
    assert first.at_ns == round(4.2 * S)
    assert calls["agent_002/0"].at_ns == round(4.4 * S)
    join = calls["main/1"]
    assert join.after == ("main/0", "agent_001/1", "agent_002/0")
    assert join.delay_ns == round(6.6 * S)  # from 43.4 s, when the last of them had answered


def test_prefixes_are_what_the_hashes_show_and_answers_where_prompts_grew() -> None:
    calls = calls_of(read(sample("weka"))[0].find("trace-x"))
    kept = {name: (call.extends, call.keep) for name, call in calls.items()}
    assert kept == {
        "main/0": (None, 0),
        "main/1": ("main/0", 220),  # all three blocks of its prompt, and 20 tokens of answer
        "main/2": ("main/1", 320),  # five blocks; too short for the answer
        "main/3": ("main/2", 64),  # compacted
        "agent_001/0": (None, 0),
        "agent_001/1": ("agent_001/0", 160),
        "agent_002/0": ("agent_001/0", 64),
    }


def test_a_wait_after_a_call_of_unknown_length_is_estimated() -> None:
    trace, report = read(sample("weka"))
    call = calls_of(trace.find("trace-x"))["main/2"]
    assert call.delay_ns == 10 * S - (2_300_000_000 + 90 * 14_000_000)
    assert report.standing["wait"]["estimated"] == 1


def test_more_hashes_than_tokens_are_told_with_what_they_are_in(tmp_path: Path) -> None:
    document = json.loads(sample("weka").read_text())
    document["requests"][0]["in"] = 100
    path = tmp_path / "t.json"
    path.write_text(json.dumps(document, indent=1))
    with pytest.raises(TraceError, match=r"t.json: field 'hash_ids': expected at most 1 hashes"):
        read(path)


def test_a_file_with_a_document_a_line_is_many_sessions(tmp_path: Path) -> None:
    document = json.loads(sample("weka").read_text())
    path = tmp_path / "t.jsonl"
    with path.open("w") as file:
        for name in ("x", "y"):
            file.write(json.dumps({**document, "id": name}) + "\n")
    trace, _ = read(path)
    assert [session.id for session in trace] == ["x", "y"]
    assert trace.num_calls == 14
