"""OpenHands' runs: usage, latencies and tools against the answer key; grouping, condensers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from agentsim.domain.trace import Call
from agentsim.workload.formats import read_trace
from agentsim.workload.importers.reading import import_logs
from importers.samples import sample

S = 10**9
NS_PER_MS = 1_000_000


def read(row: Any, path: Path) -> tuple[list[Call], Any]:
    (path / "output.jsonl").write_text(json.dumps(row) + "\n")
    trace, report = import_logs([str(path / "output.jsonl")])
    return list(next(iter(trace)).calls), report


def ours() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(sample("openhands").read_text().splitlines()[0])
    return found


def near(found: int | None, wanted: int | None) -> bool:
    """Equal to the answer key's milliseconds."""
    if found is None or wanted is None:
        return found is wanted
    return abs(found - wanted) <= NS_PER_MS


def test_the_shared_run_is_that_of_the_answer_key(shared: Path) -> None:
    folder = shared / "traces" / "openhands"
    (wanted,) = read_trace(folder / "calls.jsonl.gz")
    trace, report = import_logs([str(folder / "raw" / "output.dev.jsonl")])
    (found,) = trace
    assert found.id == wanted.id
    assert len(found.calls) == len(wanted.calls) == 23
    for call, want in zip(found.calls, wanted.calls, strict=True):
        assert (call.id, call.after, call.model) == (want.id, want.after, want.model)
        assert (call.input_tokens, call.output_tokens) == (want.input_tokens, want.output_tokens)
        assert (call.extends, call.keep) == (want.extends, want.keep)
        assert near(call.at_ns, want.at_ns)
        assert near(call.delay_ns, want.delay_ns)
        assert call.measured is not None
        assert want.measured is not None
        assert near(call.measured.e2e_ns, want.measured.e2e_ns)
        assert call.measured.cached_tokens == want.measured.cached_tokens
        assert [tool.name for tool in call.tools] == [tool.name for tool in want.tools]
        pairs = zip(call.tools, want.tools, strict=True)
        assert all(near(one.duration_ns, other.duration_ns) for one, other in pairs)
    assert not report.warnings
    assert (report.explained_share or 0) > 0.99


def test_the_sums_are_the_totals_that_the_run_recorded(shared: Path) -> None:
    path = shared / "traces" / "openhands" / "raw" / "output.dev.jsonl"
    totals = json.loads(path.read_text())["metrics"]["accumulated_token_usage"]
    _, report = import_logs([str(path)])
    assert report.input_tokens == totals["prompt_tokens"]
    assert report.output_tokens == totals["completion_tokens"]


def test_actions_of_one_response_are_tools_of_one_call(tmp_path: Path) -> None:
    calls, _ = read(ours(), tmp_path)
    assert len(calls) == 4
    names = [(tool.name, tool.duration_ns) for tool in calls[1].tools]
    assert names == [("str_replace_editor", 0.5 * S), ("execute_bash", 1.2 * S)]
    assert calls[1].measured is not None
    assert calls[1].measured.cached_tokens == 5888
    assert calls[3].tools == ()  # to finish is no tool


def test_a_call_begins_its_latency_before_its_first_action(tmp_path: Path) -> None:
    calls, _ = read(ours(), tmp_path)
    assert [call.at_ns for call in calls] == [0, 3_800_000_000, 8_300_000_000, 41_800_000_000]
    assert calls[1].delay_ns == 0.8 * S  # from 3.2 to 4.0 s
    assert [call.trigger for call in calls] == ["user", "tool", "tool", "user"]
    row = ours()
    del row["metrics"]["response_latencies"]
    _, report = read(row, tmp_path)
    assert report.standing["wait"]["estimated"] == 3


def test_a_condensed_history_begins_anew(tmp_path: Path) -> None:
    calls, _ = read(ours(), tmp_path)
    assert (calls[1].extends, calls[2].extends, calls[3].extends) == ("main/0", None, "main/2")
    row = ours()  # also where the prompt hardly shrinks
    row["history"][9]["tool_call_metadata"]["model_response"]["usage"]["prompt_tokens"] = 6000
    assert read(row, tmp_path)[0][2].extends is None
    row["history"] = [each for each in row["history"] if each.get("action") != "condensation"]
    assert read(row, tmp_path)[0][2].extends == "main/1"


def test_calls_without_an_event_are_reported(tmp_path: Path) -> None:
    row = ours()
    row["metrics"]["token_usages"].append({"response_id": "r9", "prompt_tokens": 7})
    (kind,) = read(row, tmp_path)[1].warnings
    assert "no event" in kind


def test_calls_without_counts_are_left_out_and_reported(tmp_path: Path) -> None:
    row = ours()
    del row["metrics"]["token_usages"]
    del row["history"][2]["tool_call_metadata"]["model_response"]["usage"]
    calls, report = read(row, tmp_path)
    assert len(calls) == 3
    assert any("without token counts" in kind for kind in report.warnings)


def test_a_list_of_events_is_a_run_named_after_its_file(tmp_path: Path) -> None:
    path = tmp_path / "trajectory.json"
    path.write_text(json.dumps(ours()["history"], indent=2))
    trace, report = import_logs([str(path)])
    assert report.formats == {"openhands": 1}
    assert (next(iter(trace)).id, len(next(iter(trace)).calls)) == ("trajectory", 4)


def test_a_task_run_twice_is_two_sessions(tmp_path: Path) -> None:
    line = json.dumps(ours()) + "\n"
    (tmp_path / "output.jsonl").write_text(line * 2)
    trace, _ = import_logs([str(tmp_path)])
    assert [session.id for session in trace] == ["openhands-1", "openhands-1~2"]
