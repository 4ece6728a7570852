"""SWE-agent's trajectories: counted text against the answer key, queries, processors, names."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from agentsim.domain.trace import Call, Trace
from agentsim.workload.formats import read_trace
from agentsim.workload.importers.reading import import_logs
from importers.samples import files_of, sample

NS_PER_MS = 1_000_000
#: Files whose e-mail addresses and home folders were replaced after the answer key was counted:
#: the first call that holds one, and by how many tokens all prompts from there on are off.
SCRUBBED = {
    "6e44b9__sweagenttestrepo-1c2844": (0, 2),
    "swe-agent__test-repo-i1": (0, 4),
    "install_from_source__marshmallow-code__marshmallow-1867": (2, 2),
}


def read(run: dict[str, Any], path: Path, name: str = "run.traj") -> tuple[list[Call], Any]:
    """The calls of one run, as written to a file."""
    path.mkdir(exist_ok=True)
    (path / name).write_text(json.dumps(run))
    trace, report = import_logs([str(path / name)])
    return list(next(iter(trace)).calls), report


def ours() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(files_of(sample("swe-agent"))[0].read_text())
    return found


def by_file(trace: Trace) -> dict[str, list[Call]]:
    """Calls by the raw file's name: the answer key writes folders with a slash."""
    return {session.id.replace("/", "__").removesuffix(".traj"): list(session.calls)
            for session in trace}  # fmt: skip


def test_the_shared_runs_are_those_of_the_answer_key(shared: Path) -> None:
    """Calls, tokens counted with o200k_base, prefixes and waits; 15 sessions, 14 raw files."""
    pytest.importorskip("bpe_openai")
    folder = shared / "traces" / "swe-agent"
    files = sorted((folder / "raw").glob("*.traj"))
    key = by_file(read_trace(folder / "calls.jsonl.gz"))
    found = by_file(import_logs([str(folder / "raw")])[0])
    assert len(files) == len(found) == 14
    for name, calls in found.items():
        wanted = key[name]
        starts = [more for end, more in SCRUBBED.items() if name.endswith(end)]
        first, off = starts[0] if starts else (len(calls), 0)
        assert len(calls) == len(wanted)
        for turn, (call, want) in enumerate(zip(calls, wanted, strict=True)):
            lost = off if turn >= first else 0
            assert call.input_tokens == want.input_tokens - lost, name
            assert call.output_tokens == want.output_tokens
            assert (call.id, call.after) == (want.id, want.after)
            assert call.extends == want.extends
            assert call.keep == max(0, want.keep - (off if turn > first else 0))
            if want.delay_ns is None:
                assert call.delay_ns is None
            else:
                assert call.delay_ns is not None
                assert abs(call.delay_ns - want.delay_ns) < NS_PER_MS  # it rounds


def test_totals_that_a_run_recorded_are_near_what_is_counted(shared: Path) -> None:
    """Two of the runs have totals of a real API (gpt-4's tokenizer, not o200k_base)."""
    pytest.importorskip("bpe_openai")
    for name in ("swe-agent__test-repo-i1", "pydicom__pydicom-1458"):
        (file,) = (shared / "traces" / "swe-agent" / "raw").glob(f"*{name}.traj")
        stats = json.loads(file.read_text())["info"]["model_stats"]
        trace, report = import_logs([str(file)])
        assert len(next(iter(trace)).calls) == stats["api_calls"]
        assert report.input_tokens == pytest.approx(stats["tokens_sent"], rel=0.02)
        assert not report.warnings


def test_the_prompt_is_what_was_sent_where_the_file_holds_it() -> None:
    """The third prompt has an old observation elided: it shares only what precedes that."""
    trace, report = import_logs([str(files_of(sample("swe-agent"))[0])])
    first, second, third = next(iter(trace)).calls
    assert second.keep == first.input_tokens + first.output_tokens
    assert third.keep == second.keep  # the first observation differs, all after it is new
    assert (third.extends, third.input_tokens > second.input_tokens) == ("main/1", True)
    assert not report.warnings


def test_answers_of_the_same_words_keep_their_own_tools(tmp_path: Path) -> None:
    run = ours()
    for step in run["trajectory"]:
        step["response"] = "zebra"
    for message in run["history"]:
        if message["message_type"] == "action":
            message["content"] = "zebra"
    calls, _ = read(run, tmp_path)
    assert [tool.name for call in calls for tool in call.tools] == ["open", "bash", "submit"]


def test_messages_is_the_older_name_of_query(tmp_path: Path) -> None:
    run = ours()
    wanted = [call.input_tokens for call in read(run, tmp_path)[0]]
    for step in run["trajectory"]:
        step["messages"] = step.pop("query")
    assert [call.input_tokens for call in read(run, tmp_path)[0]] == wanted


def test_demonstrations_are_prompt_and_no_calls(tmp_path: Path) -> None:
    run = ours()
    for step in run["trajectory"]:
        del step["query"]
    calls, _ = read(run, tmp_path)
    run["history"] = [each for each in run["history"] if not each.get("is_demo")]
    without, _ = read(run, tmp_path)
    assert len(calls) == len(without) == 3
    assert calls[0].input_tokens > without[0].input_tokens


def test_a_history_that_a_processor_rewrote_is_reported(tmp_path: Path) -> None:
    """Without queries prompts are taken as they grew; with `n` as large as the run they are."""
    run = ours()
    for step in run["trajectory"]:
        del step["query"]
    calls, report = read(run, tmp_path)
    assert calls[2].keep == calls[1].input_tokens + calls[1].output_tokens
    (kind,) = report.warnings
    assert "rewritten" in kind
    run["replay_config"] = run["replay_config"].replace('"n": 1', '"n": 2')
    assert not read(run, tmp_path)[1].warnings


def test_totals_that_do_not_fit_are_reported(tmp_path: Path) -> None:
    run = ours()
    for step in run["trajectory"]:
        del step["query"]
    run["replay_config"] = None
    run["info"]["model_stats"] |= {"tokens_sent": 10_000}
    (kind,) = read(run, tmp_path)[1].warnings
    assert "total" in kind


def test_execution_time_is_the_tools_and_the_wait(tmp_path: Path) -> None:
    calls, _ = read(ours(), tmp_path)
    assert [call.delay_ns for call in calls] == [None, 250_000_000, 1_500_000_000]
    assert [(tool.name, tool.duration_ns) for tool in calls[1].tools] == [("bash", 1_500_000_000)]
    old = ours()
    for step in old["trajectory"]:
        del step["execution_time"]  # before 1.0
    calls, report = read(old, tmp_path)
    assert [call.delay_ns for call in calls] == [None] * 3
    assert report.standing["wait"]["missing"] == 3


def test_runs_of_one_name_are_sessions_of_their_own(tmp_path: Path) -> None:
    """The same task run twice: folders differ, file names do not; dots are part of a name."""
    name = "gpt4__t-0.00__p-0.95.traj"
    for folder in ("a", "b"):
        read(ours(), tmp_path / folder, name)
    (tmp_path / "c").mkdir()
    packed = gzip.compress(json.dumps(ours()).encode())
    (tmp_path / "c" / f"{name}.gz").write_bytes(packed)
    trace, _ = import_logs([str(tmp_path)])
    stem = name.removesuffix(".traj")
    assert [session.id for session in trace] == [stem, f"{stem}~2", f"{stem}~3"]
    assert {len(session.calls) for session in trace} == {3}
