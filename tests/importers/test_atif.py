"""ATIF trajectories: against the logs they were made from, and the traps of the format."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from agentsim.domain.trace import Call, Session
from agentsim.errors import TraceError
from agentsim.workload.formats import read_trace
from agentsim.workload.importers.assemble import SERVICE_NS, SERVICE_TOKEN_NS
from agentsim.workload.importers.reading import import_logs
from importers.samples import sample

S = 10**9


def read(value: Any, path: Path, name: str = "trajectory.json") -> tuple[list[Call], Any]:
    (path / name).write_text(json.dumps(value, indent=1))
    trace, report = import_logs([str(path / name)])
    return list(next(iter(trace)).calls), report


def ours() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(sample("atif").read_text())
    return found


def by_id(calls: list[Call]) -> dict[str, Call]:
    return {call.id: call for call in calls}


def session_of(path: Path) -> Session:
    return next(iter(import_logs([str(path)])[0]))


@pytest.mark.parametrize(
    "run", ["dask__dask-11628", "python-control__python-control-525", "sqlfluff__sqlfluff-5362"]
)
def test_made_from_claude_code_it_says_what_the_session_says(shared: Path, run: str) -> None:
    """Calls, tokens (the same estimates of placeholders), models, tools; order by time."""
    traces = shared / "traces"
    found = session_of(traces / "converted" / f"haiku-3.5-api.{run}.atif-1.7.agentpile.json")
    key = read_trace(traces / "agentcgroup-claude-code" / "haiku-3.5-api.calls.jsonl.gz")
    (wanted,) = (session for session in key if run in session.id)
    in_time = sorted(wanted.calls, key=lambda call: call.at_ns or 0)
    assert len(found.calls) == len(wanted.calls)
    for call, want in zip(found.calls, in_time, strict=True):
        assert (call.model, call.input_tokens) == (want.model, want.input_tokens)
        assert call.output_estimated == want.output_estimated
        # tool inputs were replaced by text of the same length, which JSON need not escape
        assert call.output_tokens == pytest.approx(want.output_tokens, rel=0.03, abs=3)
        assert call.measured is not None
        assert want.measured is not None
        assert call.measured.cached_tokens == want.measured.cached_tokens
        assert [tool.name for tool in call.tools] == [tool.name for tool in want.tools]


def test_a_sub_agent_of_another_model_among_the_steps_has_its_own_context(shared: Path) -> None:
    """The parent goes on from its own last prompt, not from the sub-agent's."""
    folder = shared / "traces" / "converted"
    found = session_of(folder / "haiku-3.5-api.sqlfluff__sqlfluff-5362.atif-1.7.agentpile.json")
    calls = found.calls
    models = [call.model for call in calls]
    first, back = 1, next(i for i in range(2, len(calls)) if models[i] == models[0])
    assert (calls[first].extends, calls[first + 1].extends) == (None, "main/1")
    whole = calls[0].input_tokens + calls[0].output_tokens
    assert (calls[back].extends, calls[back].keep) == ("main/0", whole)
    assert calls[back].after == (calls[back - 1].id,)


def test_made_from_codex_its_usages_are_those_of_the_rounds(shared: Path) -> None:
    """Eight of nine survived; the sums do not reach the totals, which is reported."""
    traces = shared / "traces"
    trace, report = import_logs([str(traces / "converted" / "codex.atif-1.7.atif-make.json")])
    lines = (traces / "tracelab" / "raw" / "codex-rounds.jsonl").read_text().splitlines()
    rounds = [json.loads(line) for line in lines]
    (found,) = trace
    assert len(rounds) == 9
    counts = [
        (c.input_tokens, c.output_tokens, c.measured and c.measured.cached_tokens)
        for c in found.calls
    ]
    assert counts == [
        (r["input_tokens_total"], r["output_tokens"], r["prefix_tokens"]) for r in rounds[:8]
    ]
    assert [len(call.tools) for call in found.calls][:1] == [3]
    assert {"token counts on a later step than their call's first",
            "steps that do not add up to the file's totals"} <= set(report.warnings)  # fmt: skip


def test_one_time_a_step_ends_its_call_and_a_users_begins_it(tmp_path: Path) -> None:
    calls = by_id(read(ours(), tmp_path)[0])
    assert calls["main/0"].measured is not None
    assert calls["main/0"].measured.e2e_ns == 4 * S
    assert calls["main/1"].at_ns is None
    assert calls["main/3"].at_ns == 90 * S
    assert calls["main/3"].delay_ns == 64 * S
    assert [calls[f"main/{i}"].trigger for i in range(4)] == ["user", "tool", "tool", "user"]


def test_parts_of_an_answer_are_one_call_with_all_their_tools(tmp_path: Path) -> None:
    calls, report = read(ours(), tmp_path)
    answer = by_id(calls)["main/1"]
    assert (answer.input_tokens, answer.output_tokens) == (15_400, 210)
    assert [tool.name for tool in answer.tools] == ["Read", "Task"]
    assert sum("later step" in kind for kind in report.warnings) == 1


def test_the_first_part_of_an_answer_says_when_it_ended(tmp_path: Path) -> None:
    """Those after it may be written when the next call is under way."""
    value = ours()
    for step, at in zip(value["steps"][3:6], (20, 24, 25), strict=True):
        step["timestamp"] = f"2026-01-01T00:00:{at}Z"
    calls = by_id(read(value, tmp_path)[0])
    service = SERVICE_NS + 210 * SERVICE_TOKEN_NS
    assert calls["main/1"].delay_ns == 16 * S - service


def test_steps_without_a_model_and_copies_are_no_calls(tmp_path: Path) -> None:
    value = ours()
    wanted = len(read(value, tmp_path)[0])
    copy = {**value["steps"][2], "step_id": 99, "is_copied_context": True}
    value["steps"].insert(0, copy)
    calls, report = read(value, tmp_path)
    assert len(calls) == wanted
    assert not any("totals" in kind for kind in report.warnings)
    value["steps"][0]["is_copied_context"] = False
    assert len(read(value, tmp_path)[0]) == wanted + 1


def test_sums_over_several_calls_are_split_and_marked(tmp_path: Path) -> None:
    calls = by_id(read(ours(), tmp_path)[0])
    last = [calls["main/3"], calls["main/4"]]
    assert [(c.input_tokens, c.output_tokens) for c in last] == [(17_500, 150)] * 2
    assert all(c.input_estimated and c.output_estimated for c in last)
    value = ours()
    value["steps"][-1]["llm_call_count"] = 10**9
    with pytest.raises(TraceError, match="llm_call_count"):
        read(value, tmp_path)


def test_an_embedded_sub_agent_starts_at_its_tool_and_is_waited_for(tmp_path: Path) -> None:
    calls = by_id(read(ours(), tmp_path)[0])
    assert calls["explore-1/0"].after == ("main/1",)
    assert calls["explore-1/0"].extends is None
    assert calls["explore-1/1"].after == ("explore-1/0",)
    assert calls["main/2"].after == ("main/1", "explore-1/1")
    assert calls["main/2"].extends == "main/1"
    assert (calls["explore-1/0"].model, calls["main/0"].model) == ("small", "large")
    assert calls["explore-1/0"].trigger == "spawn"


def test_sub_agents_in_files_of_their_own_join_by_their_ids(tmp_path: Path) -> None:
    """A reference by `trajectory_id`; the file has the same session."""
    value = ours()
    (child,) = value.pop("subagent_trajectories")
    (tmp_path / "a.json").write_text(json.dumps(value, indent=1))
    (tmp_path / "b.json").write_text(json.dumps(child, indent=1))
    calls = by_id(list(session_of(tmp_path).calls))
    assert calls["explore-1/0"].after == ("main/1",)
    assert calls["main/2"].after == ("main/1", "explore-1/1")


def test_a_sub_agent_that_no_log_holds_is_reported(tmp_path: Path) -> None:
    value = ours()
    del value["subagent_trajectories"]
    _, report = read(value, tmp_path)
    assert any("not in the logs" in kind for kind in report.warnings)


def test_sub_agents_nested_without_end_are_refused(tmp_path: Path) -> None:
    value = ours()
    for _ in range(30):
        value = {**ours(), "subagent_trajectories": [value]}
    with pytest.raises(TraceError, match="nested"):
        read(value, tmp_path)


def test_a_continuation_goes_on_in_the_same_session(tmp_path: Path) -> None:
    """Its first steps are copies; step numbers begin again."""
    value, more = ours(), ours()
    value["continued_trajectory_ref"] = "b.json"
    more["session_id"] = "atif-1-cont-1"
    more["trajectory_id"] = "another"
    del more["subagent_trajectories"], more["final_metrics"]
    more["steps"] = [
        {**more["steps"][2], "is_copied_context": True},
        {
            "step_id": 2,
            "source": "agent",
            "message": "zebra",
            "timestamp": "2026-01-01T00:03:00Z",
            "metrics": {"prompt_tokens": 6000, "completion_tokens": 10},
        },
    ]
    (tmp_path / "a.json").write_text(json.dumps(value, indent=1))
    (tmp_path / "b.json").write_text(json.dumps(more))
    trace, _ = import_logs([str(tmp_path)])
    (session,) = trace
    last = session.calls[-1]
    assert (last.id, last.input_tokens, last.extends) == ("main/5", 6000, None)


def test_totals_that_differ_are_reported(tmp_path: Path) -> None:
    value = ours()
    del value["subagent_trajectories"]
    assert not any("totals" in kind for kind in read(value, tmp_path)[1].warnings)
    value["final_metrics"]["total_prompt_tokens"] += 1
    assert any("totals" in kind for kind in read(value, tmp_path)[1].warnings)


def test_steps_at_the_end_without_counts_are_reported(tmp_path: Path) -> None:
    value = ours()
    value["steps"].append({"step_id": 11, "source": "agent", "message": "zebra"})
    calls, report = read(value, tmp_path)
    assert len(calls) == 7
    assert any("at the end" in kind for kind in report.warnings)


def test_token_ids_say_what_two_prompts_share(tmp_path: Path) -> None:
    """Version 1.4 and later may hold them; the second prompt changes the answer's last token."""
    value = ours()
    del value["subagent_trajectories"]
    first, second = value["steps"][2]["metrics"], value["steps"][5]["metrics"]
    first |= {"prompt_token_ids": [1, 2, 3], "completion_token_ids": [4, 5], "prompt_tokens": 3}
    first["completion_tokens"] = 2
    second |= {"prompt_token_ids": [1, 2, 3, 4, 9, 9], "prompt_tokens": 6}
    calls, report = read(value, tmp_path)
    assert (calls[1].extends, calls[1].keep) == ("main/0", 4)
    assert report.standing["prefix"]["measured"] == 1


def test_without_counts_the_text_is_counted_and_marked(tmp_path: Path) -> None:
    """Each prompt is what was said before, and shares all of the one before it."""
    value = ours()
    del value["subagent_trajectories"], value["final_metrics"]
    for step in value["steps"]:
        step.pop("metrics", None)
    calls, report = read(value, tmp_path)
    assert len(calls) == 6  # a call a step with a model's part
    assert all(call.input_estimated and call.output_estimated for call in calls)
    for before, call in pairwise(calls):
        assert call.input_tokens > before.input_tokens + before.output_tokens - 1
        assert call.keep == before.input_tokens + before.output_tokens
    assert any("text is counted" in kind for kind in report.warnings)


def test_a_model_that_comes_back_finds_its_own_context(tmp_path: Path) -> None:
    """Its prompt has grown beyond the other model's, and yet continues its own."""
    value = ours()
    del value["subagent_trajectories"]
    steps = [
        {
            "step_id": place,
            "source": "agent",
            "message": "zebra",
            "model_name": model,
            "metrics": {"prompt_tokens": size, "completion_tokens": 10},
        }
        for place, (model, size) in enumerate(
            (("a", 900), ("b", 800), ("a", 1000), ("b", 1500), ("c", 2000))
        )
    ]
    calls, _ = read({**value, "steps": steps, "final_metrics": None}, tmp_path)
    assert [call.extends for call in calls] == [None, None, "main/0", "main/1", "main/3"]


@pytest.mark.parametrize("version", range(9))
def test_all_versions_are_known(tmp_path: Path, version: int) -> None:
    value = {**ours(), "schema_version": f"ATIF-v1.{version}"}
    assert read(value, tmp_path)[1].formats == {"atif": 1}


def test_one_trajectory_a_line_and_none_has_a_session_id(tmp_path: Path) -> None:
    value = ours()
    del value["session_id"], value["trajectory_id"]
    (tmp_path / "many.jsonl").write_text((json.dumps(value) + "\n") * 2)
    trace, _ = import_logs([str(tmp_path)])
    assert [session.id for session in trace] == ["many", "many~2"]
