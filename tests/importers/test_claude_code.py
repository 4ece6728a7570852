"""Claude Code session files: recorded runs with their answer keys, and traps of the format."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from agentsim.domain.trace import Call, Session, Trace
from agentsim.workload.importers.reading import import_logs
from agentsim.workload.importers.report import ImportReport
from importers.samples import sample

S = 10**9
RUNS = (
    "glm-4.7-flash-local.asottile__pyupgrade-939",
    "glm-4.7-flash-local.beeware__briefcase-1525",
    "glm-4.7-flash-local.python-control__python-control-525",
    "haiku-3.5-api.dask__dask-11628",
    "haiku-3.5-api.python-control__python-control-525",
    "haiku-3.5-api.sqlfluff__sqlfluff-5362",
    "haiku-4.5-api.CLI_Tools_Easy",
    "haiku-4.5-api.ML_Scientific_Medium",
)


def answers(folder: Path, run: str) -> dict[str, dict[str, Any]]:
    """The calls that the answer key gives for a raw run, by id."""
    kind, _, task = run.rpartition(".")
    with gzip.open(folder / f"{kind}.calls.jsonl.gz", "rt") as lines:
        records = [json.loads(line) for line in lines if f'"{task}/' in line]
    return {record["id"]: record for record in records if record["type"] == "call"}


@pytest.mark.parametrize("run", RUNS)
class TestRecordedRuns:
    """Unattended runs of version 2.0.0 and 2.1.16, with and without sub-agents."""

    def test_calls_are_those_of_the_answer_key(self, shared: Path, run: str) -> None:
        folder = shared / "traces" / "agentcgroup-claude-code"
        expected = answers(folder, run)
        trace, report = import_logs([str(folder / "raw" / f"{run}.jsonl")])
        (session,) = trace
        found = {call.id: call for call in session.calls}
        assert list(found) == list(expected)
        assert report.calls == len(expected)
        for name, want in expected.items():
            call = found[name]
            assert call.input_tokens == want["input_tokens"]
            assert call.output_estimated == want.get("output_estimated", False)
            assert list(call.after) == want["after"]
            assert call.trigger == want["trigger"]
            assert call.extends == want.get("extends")
            # the key names what the log shows: the prompt of the base, not its answer
            assert min(call.keep, found[call.extends].input_tokens if call.extends else 0) == (
                want.get("keep", 0)
            )
            assert call.model == want["model"]
            assert call.at_ns == round(want["at"] * S)
            assert call.delay_ns == (None if not call.after else round(want["delay"] * S))
            measured = call.measured
            assert measured is not None
            assert measured.e2e_ns == round(want["measured"]["e2e"] * S)
            assert measured.cached_tokens == want["measured"].get("cached_tokens")
            assert [(tool.name, tool.duration_ns) for tool in call.tools] == [
                (tool["name"], round(tool["duration"] * S)) for tool in want.get("tools", ())
            ]

    def test_outputs_are_recorded_or_estimated_by_the_published_fit(
        self, shared: Path, run: str
    ) -> None:
        """Estimates stay up to 5 % below the key: line breaks, which JSON writes with two
        characters, are not in the replaced texts.
        """
        folder = shared / "traces" / "agentcgroup-claude-code"
        expected = answers(folder, run)
        trace, _ = import_logs([str(folder / "raw" / f"{run}.jsonl")])
        for call in next(iter(trace)).calls:
            want = expected[call.id]["output_tokens"]
            if call.output_estimated:
                assert 0.95 * want <= call.output_tokens <= want
            else:
                assert call.output_tokens == want


def test_a_missing_sub_agent_is_said(shared: Path) -> None:
    folder = shared / "traces" / "agentcgroup-claude-code" / "raw"
    _, report = import_logs([str(folder / "haiku-4.5-api.CLI_Tools_Easy.jsonl")])
    (found,) = (each for kind, each in report.warnings.items() if "not in the logs" in kind)
    assert found.count == 1


# our own sample


@pytest.fixture(scope="module")
def imported() -> tuple[Trace, ImportReport]:
    return import_logs([str(sample("claude-code"))])


def session_of(trace: Trace, head: str) -> dict[str, Call]:
    (session,) = (each for each in trace if each.id.startswith(head))
    return {call.id: call for call in session.calls}


def warned(report: ImportReport, word: str) -> int:
    return sum(each.count for kind, each in report.warnings.items() if word in kind)


def test_records_of_one_message_are_one_call(imported: tuple[Trace, ImportReport]) -> None:
    trace, report = imported
    assert report.calls == 12
    call = session_of(trace, "1111")["main/0"]
    assert call.input_tokens == 15004
    assert call.measured is not None
    assert call.measured.e2e_ns == round(3.5 * S)
    assert call.measured.cached_tokens == 12000


def test_placeholders_are_estimated_and_flagged(imported: tuple[Trace, ImportReport]) -> None:
    """15 + 0.288 x (13 of text + 26 + 21 of tool input) + 41 x 2."""
    calls = session_of(imported[0], "1111")
    assert (calls["main/0"].output_tokens, calls["main/0"].output_estimated) == (
        round(15 + 0.288 * (13 + 26 + 21) + 41 * 2),
        True,
    )
    assert (calls["main/3"].output_tokens, calls["main/3"].output_estimated) == (40, False)


def test_small_outputs_of_local_servers_are_recorded_ones(
    imported: tuple[Trace, ImportReport],
) -> None:
    call = session_of(imported[0], "3333")["main/0"]
    assert (call.output_tokens, call.output_estimated) == (20, False)
    assert call.measured is not None
    assert call.measured.cached_tokens is None


def test_the_last_of_parallel_tools_starts_the_next_call(
    imported: tuple[Trace, ImportReport],
) -> None:
    """The first result comes before the answer is complete."""
    calls = session_of(imported[0], "1111")
    assert [(t.name, t.duration_ns) for t in calls["main/0"].tools] == [
        ("Read", round(0.2 * S)),
        ("Bash", round(1.5 * S)),
    ]
    assert calls["main/1"].at_ns == 5 * S
    assert calls["main/1"].delay_ns == round(1.5 * S)
    assert calls["main/1"].trigger == "tool"


@pytest.mark.parametrize(
    ("head", "agent", "spawner", "join"),
    [("1111", "sub-ab12cd3", "main/1", "main/2"), ("3333", "sub-3333-000", "main/0", "main/1")],
    ids=("own file", "inline"),
)
def test_the_parent_waits_for_its_sub_agent(
    imported: tuple[Trace, ImportReport], head: str, agent: str, spawner: str, join: str
) -> None:
    calls = session_of(imported[0], head)
    first, last = calls[f"{agent}/0"], calls[f"{agent}/1"]
    assert (first.after, first.trigger, first.extends) == ((spawner,), "spawn", None)
    assert last.after == (first.id,)
    assert calls[join].after == (spawner, last.id)
    assert calls[join].delay_ns is not None
    assert calls[join].delay_ns < S  # not the sub-agent's run


def test_a_human_turn_waits_from_the_last_answer(imported: tuple[Trace, ImportReport]) -> None:
    """An API error between is no call; a record of the client itself is no turn."""
    call = session_of(imported[0], "1111")["main/3"]
    assert (call.trigger, call.delay_ns) == ("user", 76 * S)
    assert warned(imported[1], "API errors") == 1


def test_a_compaction_keeps_what_stood_before_the_first_message(
    imported: tuple[Trace, ImportReport],
) -> None:
    """120 characters at 2.8 a token are the user's."""
    call = session_of(imported[0], "1111")["main/4"]
    assert (call.extends, call.keep) == ("main/3", 15004 - 43)
    assert warned(imported[1], "compactions") == 1


def test_a_fork_goes_on_from_the_call_it_copied(imported: tuple[Trace, ImportReport]) -> None:
    trace, report = imported
    assert [session.id[:4] for session in trace] == ["1111", "3333"]
    call = session_of(trace, "1111")["resumed-2222bbbb/0"]
    assert (call.after, call.extends, call.trigger) == (("main/1",), "main/1", "user")
    assert call.delay_ns == 493 * S
    assert warned(report, "several places") == 2


def test_the_order_of_files_does_not_change_what_is_counted() -> None:
    files = sorted(str(path) for path in sample("claude-code").glob("*.jsonl"))
    one, _ = import_logs(files)
    other, _ = import_logs(files[::-1])

    def figures(trace: Trace) -> list[tuple[int, int, int | None]]:
        calls = (call for session in trace for call in session.calls)
        return sorted((c.input_tokens, c.output_tokens, c.delay_ns) for c in calls if c.after)

    assert figures(one) == figures(other)


# single traps, in logs made here


def log(path: Path, *records: dict[str, Any]) -> str:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return str(path)


def user(second: float, content: Any, parent: str | None = None, **more: Any) -> dict[str, Any]:
    message = {"role": "user", "content": content}
    return record("user", second, message, parent, **more)


def answer(
    second: float, name: str, tokens: tuple[int, int], parent: str | None = None, **more: Any
) -> dict[str, Any]:
    content = more.pop("content", [{"type": "text", "text": "quokka"}])
    usage = {"input_tokens": tokens[0], "output_tokens": tokens[1]}
    message = {"id": name, "model": "m", "content": content, "usage": usage}
    return record("assistant", second, message, parent, **more)


def record(
    kind: str, second: float, message: dict[str, Any], parent: str | None, **more: Any
) -> dict[str, Any]:
    time = f"2026-01-01T00:{int(second) // 60:02d}:{second % 60:06.3f}Z"
    told = {"type": kind, "sessionId": "s", "uuid": f"{kind}-{second}", "parentUuid": parent}
    return {**told, "isSidechain": False, "timestamp": time, "message": message, **more}


def only(path: str) -> tuple[Session, ImportReport]:
    trace, report = import_logs([path])
    (session,) = trace
    return session, report


def test_a_rewound_conversation_names_the_call_it_goes_back_to(tmp_path: Path) -> None:
    """The third question stands after the first answer; the second is dropped."""
    path = log(
        tmp_path / "s.jsonl",
        user(0, "zebra"),
        answer(2, "a", (1000, 100), "user-0"),
        user(10, "zebra", "assistant-2"),
        answer(12, "b", (1200, 50), "user-10"),
        user(20, "quokka", "assistant-2"),
        answer(22, "c", (1250, 70), "user-20"),
    )
    session, _ = only(path)
    third = session.calls[2]
    assert (third.extends, third.after) == ("main/0", ("main/1",))


def test_a_copy_of_a_log_that_grew_goes_on_where_it_ends(tmp_path: Path) -> None:
    first = (user(0, "zebra"), answer(2, "a", (1000, 100)))
    log(tmp_path / "a.jsonl", *first)
    log(tmp_path / "b.jsonl", *first, user(10, "zebra"), answer(12, "b", (1200, 50)))
    session, _ = only(str(tmp_path))
    assert [call.input_tokens for call in session.calls] == [1000, 1200]
    assert session.calls[1].after == (session.calls[0].id,)
    assert session.calls[1].extends == session.calls[0].id


def test_a_session_resumed_under_another_name_in_one_file_is_one(tmp_path: Path) -> None:
    path = log(
        tmp_path / "s.jsonl",
        user(0, "zebra"),
        answer(2, "a", (1000, 100), "user-0"),
        user(10, "zebra", "assistant-2", sessionId="t"),
        answer(12, "b", (1200, 50), "user-10", sessionId="t"),
    )
    session, _ = only(path)
    assert [call.id for call in session.calls] == ["main/0", "main/1"]


def test_a_background_sub_agent_is_joined_by_the_call_after_its_end(tmp_path: Path) -> None:
    use = [{"type": "tool_use", "id": "t1", "name": "Task", "input": {"prompt": "zebra"}}]
    result = [{"type": "tool_result", "tool_use_id": "t1", "content": "quokka"}]
    side = {"isSidechain": True, "agentId": "abc"}
    log(
        tmp_path / "s.jsonl",
        user(0, "zebra"),
        answer(2, "a", (1000, 100), content=use),
        user(2.1, result, toolUseResult={"isAsync": True, "agentId": "abc"}),
        answer(4, "b", (1200, 50)),
        user(20, "zebra", origin={"kind": "task-notification"}),
        answer(22, "c", (1400, 50)),
    )
    (tmp_path / "s" / "subagents").mkdir(parents=True)
    log(
        tmp_path / "s" / "subagents" / "agent-abc.jsonl",
        user(2.05, "zebra", **side),
        answer(2.09, "x", (500, 10), **side),
        user(5, "zebra", **side),
        answer(19, "y", (700, 10), **side),
    )
    session, report = only(str(tmp_path))
    calls = {call.id: call for call in session.calls}
    assert calls["sub-abc/0"].after == ("main/0",)
    assert calls["main/1"].after == ("main/0",)
    assert calls["main/2"].after == ("main/1", "sub-abc/1")
    assert calls["main/2"].trigger == "tool"
    assert not warned(report, "not in the logs")


def test_answers_without_counts_are_left_out_and_said(tmp_path: Path) -> None:
    path = log(
        tmp_path / "s.jsonl", user(0, "zebra"), answer(1, "a", (0, 0)), answer(2, "b", (10, 5))
    )
    session, report = only(path)
    assert len(session.calls) == 1
    assert warned(report, "without a count") == 1


def test_hidden_thinking_makes_an_estimate_too_low_and_is_said(tmp_path: Path) -> None:
    hidden = [{"type": "thinking", "thinking": "", "signature": "x"}]
    told = answer(2, "a", (10, 2), content=[*hidden, {"type": "text", "text": "q" * 100}])
    told["message"]["model"] = "claude-x"
    session, report = only(log(tmp_path / "s.jsonl", user(0, "zebra"), told))
    assert session.calls[0].output_tokens == round(15 + 28.8)
    assert warned(report, "thinking") == 1


def used(use: str, prompt: str = "", name: str = "Task") -> dict[str, Any]:
    return {"type": "tool_use", "id": use, "name": name, "input": {"prompt": prompt}}


def result(use: str) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": use, "content": "quokka"}


def test_a_call_starts_no_earlier_than_the_answer_before_it(tmp_path: Path) -> None:
    """The tool was done while the answer was still being written."""
    path = log(
        tmp_path / "s.jsonl",
        user(0, "zebra"),
        answer(2, "a", (1000, 100), content=[used("t", name="Read")]),
        user(2.1, [result("t")]),
        answer(4, "a", (1000, 100)),
        answer(6, "b", (1200, 50)),
    )
    session, _ = only(path)
    second = session.calls[1]
    assert (second.after, second.at_ns, second.delay_ns) == (("main/0",), 4 * S, 0)
    assert second.trigger == "tool"


def test_what_the_client_adds_by_itself_is_no_human_turn(tmp_path: Path) -> None:
    path = log(
        tmp_path / "s.jsonl",
        user(0, "zebra"),
        answer(2, "a", (1000, 100), content=[used("t", name="Skill")]),
        user(3, [result("t")]),
        user(3.1, "quokka", isMeta=True),
        answer(6, "b", (1200, 50)),
    )
    session, _ = only(path)
    assert (session.calls[1].trigger, session.calls[1].at_ns) == ("tool", round(3.1 * S))


def test_parallel_inline_sub_agents_are_told_by_their_prompts(tmp_path: Path) -> None:
    """Their records interleave, and the second one asked for begins first."""
    side = {"isSidechain": True}
    path = log(
        tmp_path / "s.jsonl",
        user(0, "zebra"),
        answer(2, "a", (1000, 100), content=[used("t1", "zebra one")]),
        answer(2.5, "b", (1100, 100), content=[used("t2", "zebra two")]),
        user(3, "zebra two", **side),
        user(3.1, "zebra one", **side),
        answer(5, "x", (500, 10), "user-3", **side),
        answer(6, "y", (600, 10), "user-3.1", **side),
        user(7, [result("t1")]),
        user(7.1, [result("t2")]),
        answer(9, "c", (1300, 50)),
    )
    session, _ = only(path)
    first = {call.input_tokens: call for call in session.calls}
    assert first[500].after == ("main/1",)
    assert first[600].after == ("main/0",)
    assert set(first[1300].after) == {"main/1", first[500].id, first[600].id}


def test_a_summary_alone_tells_a_compaction(tmp_path: Path) -> None:
    path = log(
        tmp_path / "s.jsonl",
        user(0, "zebra " * 70),
        answer(2, "a", (1000, 100)),
        user(9, "quokka", isCompactSummary=True),
        answer(12, "b", (950, 50)),
    )
    session, _ = only(path)
    assert session.calls[1].keep == 1000 - round(420 / 3.9)


def test_sub_agents_of_a_fork_go_where_the_fork_goes(tmp_path: Path) -> None:
    first = (user(0, "zebra"), answer(2, "a", (1000, 100)))
    log(tmp_path / "s.jsonl", *first)
    task = [used("t", "quokka")]
    fork = {"sessionId": "fork-of-s"}
    log(
        tmp_path / "t.jsonl",
        *({**each, **fork} for each in first),
        user(10, "zebra", **fork),
        answer(12, "b", (1200, 50), content=task, **fork),
        user(20, [result("t")], toolUseResult={"agentId": "abc"}, **fork),
        answer(22, "c", (1300, 50), **fork),
    )
    side = {"isSidechain": True, "agentId": "abc", **fork}
    (tmp_path / "t" / "subagents").mkdir(parents=True)
    log(
        tmp_path / "t" / "subagents" / "agent-abc.jsonl",
        user(13, "quokka", **side),
        answer(15, "x", (500, 10), **side),
    )
    session, _ = only(str(tmp_path))
    calls = {call.id: call for call in session.calls}
    assert calls["sub-abc/0"].after == ("resumed-fork-of-/0",)
    assert calls["resumed-fork-of-/1"].after == ("resumed-fork-of-/0", "sub-abc/0")


def test_what_a_fork_copied_is_not_taken_for_the_head_of_its_prompts(tmp_path: Path) -> None:
    """Its first own prompt is long for its history; the compaction drops that."""
    first = (user(0, "zebra"), answer(2, "a", (9000, 100)))
    fork = {"sessionId": "fork"}
    log(tmp_path / "s.jsonl", *first)
    log(
        tmp_path / "t.jsonl",
        *({**each, **fork} for each in first),
        user(10, "zebra", **fork),
        answer(12, "b", (9200, 50), **fork),
        user(20, "quokka", isCompactSummary=True, **fork),
        answer(22, "c", (9100, 50), **fork),
    )
    session, report = only(str(tmp_path))
    assert session.calls[2].extends is None
    assert report.standing["prefix"]["missing"] == 2


class TestStreamJson:
    """``claude -p --output-format stream-json``: counts and structure, no times."""

    @pytest.fixture
    def streamed(self, tmp_path: Path) -> tuple[Session, ImportReport]:
        def said(kind: str, content: Any, parent: str | None = None, **more: Any) -> dict[str, Any]:
            message = {"role": kind, "content": content, **more}
            told = {"type": kind, "session_id": "s", "uuid": "u", "message": message}
            return {**told, "parent_tool_use_id": parent}

        def used(name: str, use: str, **given: Any) -> list[dict[str, Any]]:
            return [{"type": "tool_use", "id": use, "name": name, "input": given}]

        def result(use: str) -> list[dict[str, Any]]:
            return [{"type": "tool_result", "tool_use_id": use, "content": "quokka"}]

        def counts(given: int, made: int) -> dict[str, Any]:
            return {"model": "m", "usage": {"input_tokens": given, "output_tokens": made}}

        path = log(
            tmp_path / "out.jsonl",
            {"type": "system", "subtype": "init", "session_id": "s", "tools": [], "model": "m"},
            said("assistant", used("Task", "t1", prompt="zebra"), id="a", **counts(1000, 80)),
            said("user", "zebra", "t1"),
            said("assistant", used("Grep", "t2"), "t1", id="b", **counts(700, 30)),
            said("user", result("t2"), "t1"),
            said("assistant", [{"type": "text", "text": "zebra"}], "t1", id="c", **counts(800, 9)),
            said("user", result("t1")),
            said("assistant", [{"type": "text", "text": "zebra"}], id="d", **counts(1300, 40)),
            {"type": "result", "subtype": "success", "session_id": "s", "duration_ms": 9000},
        )
        return only(path)

    def test_it_is_known_by_its_content(self, streamed: tuple[Session, ImportReport]) -> None:
        assert streamed[1].formats == {"claude-code": 1}

    def test_structure_is_there_and_times_are_missing(
        self, streamed: tuple[Session, ImportReport]
    ) -> None:
        session, report = streamed
        assert [(call.id, call.after) for call in session.calls] == [
            ("main/0", ()),
            ("sub-t1/0", ("main/0",)),
            ("sub-t1/1", ("sub-t1/0",)),
            ("main/1", ("main/0", "sub-t1/1")),
        ]
        assert report.standing["wait"]["missing"] == 4
        assert report.standing["end"]["missing"] == 4
