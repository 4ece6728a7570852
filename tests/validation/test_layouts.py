"""Readers of measured runs: what they take from made-up folders of each layout."""

from __future__ import annotations

from pathlib import Path

import pytest

from agentsim.domain.trace import Call, Session, Trace
from agentsim.validation import Case, NotSimulated, read_cases
from agentsim.validation.loads import with_placeholders
from validation.folders import (
    engine_folder,
    request_folder,
    stage_folder,
    step_folder,
    write_table,
)


def only(folder: Path) -> Case:
    (case,) = read_cases(folder)
    assert isinstance(case, Case)
    return case


def first_calls(trace: Trace) -> list[tuple[int, int, int]]:
    return [(s.at_ns, s.calls[0].input_tokens, s.calls[0].output_tokens) for s in trace]


def test_requests_are_sent_when_they_were(tmp_path: Path) -> None:
    """Arrivals and lengths are those of the file; outputs as many as requested."""
    case = only(request_folder(tmp_path))
    calls = first_calls(case.trace(0))
    assert [at for at, _, _ in calls] == [0, 10**9, 2 * 10**9, 25 * 10**8, 3 * 10**9, 35 * 10**8]
    assert [tokens for _, tokens, _ in calls][:5] == [200, 210, 220, 230, 240]
    assert {made for _, _, made in calls} == {11}


def test_the_hidden_prompt_of_a_failed_request_is_one_of_the_others(tmp_path: Path) -> None:
    case = only(request_folder(tmp_path))
    drawn = {first_calls(case.trace(repeat))[5][1] for repeat in range(20)}
    assert drawn <= {200, 210, 220, 230, 240}
    assert len(drawn) > 1


def test_the_group_of_a_prompt_is_drawn_anew_in_each_repeat(tmp_path: Path) -> None:
    """The first 100 tokens are one of two system prompts, the rest is the request's own."""
    case = only(request_folder(tmp_path))
    seen = set()
    for repeat in range(case.num_repeats):
        heads = []
        for session in case.trace(repeat):
            segments = session.calls[0].segments
            assert segments is not None
            (head, shared), (own, _) = segments
            assert (shared, own) == (100, "~own")
            heads.append(head)
        assert set(heads) <= {"system-0", "system-1"}
        seen.add(tuple(heads))
    assert len(seen) > 1
    assert first_calls(case.trace(1)) == first_calls(case.trace(1))


def test_measured_figures_are_worked_out_from_the_requests(tmp_path: Path) -> None:
    """By hand: ITL = (E2E - TTFT) / (11 - 1); a failed request has no latency."""
    measured = only(request_folder(tmp_path)).measured
    assert measured["ttft", "mean"] == pytest.approx(0.3)
    assert measured["e2e", "mean"] == pytest.approx(1.7)
    assert measured["itl", "mean"] == pytest.approx(0.14)
    assert measured["e2e", "p50"] == pytest.approx(1.3)
    assert measured["failed", "value"] == 1
    assert measured["makespan", "value"] == pytest.approx(303.5)
    assert measured["output_rate", "value"] == pytest.approx(55 / 303.5)


def test_stages_follow_from_the_rates(tmp_path: Path) -> None:
    """1/s for 2 s, then 2/s for 2 s: two requests, then four."""
    first, second = only(request_folder(tmp_path)).stages
    assert first["ttft", "mean"] == pytest.approx(0.15)
    assert second["ttft", "mean"] == pytest.approx(0.4)
    assert ("makespan", "value") not in second


def test_settings_are_those_of_the_run(tmp_path: Path) -> None:
    case = only(request_folder(tmp_path, engine_version="0.11.0", prefix_caching="off"))
    assert "engine.max_num_seqs=8" in case.settings
    assert "engine.dtype=float16" in case.settings
    assert "engine.gpu_memory_utilization=0.9" in case.settings
    assert "engine.enable_prefix_caching=false" in case.settings
    assert "engine.async_scheduling=false" in case.settings
    assert "agents.timeout_s=300.0" in case.settings
    assert case.logged_blocks == 5000
    assert "engine.kv_offloading_size=8.0" in case.settings
    later = only(request_folder(tmp_path))
    assert "engine.async_scheduling=false" not in later.settings


def test_room_for_cuda_graphs_is_left_since_0_21(tmp_path: Path) -> None:
    setting = "engine.estimate_cudagraph_memory=false"
    for version, is_set in (("0.20.2", True), ("0.21.0", False), ("1.0", False), ("", False)):
        case = only(request_folder(tmp_path, engine_version=version))
        assert (setting in case.settings) is is_set


def test_the_clock_of_the_engine_has_no_server_before_it(tmp_path: Path) -> None:
    """Times of the engine and steps in its process; a client's times keep the server."""
    free = {"cost.api_request_s=0", "cost.api_stream_s=0"}
    assert free <= set(only(engine_folder(tmp_path / "engine")).settings)
    assert free <= set(only(step_folder(tmp_path / "steps")).settings)
    assert not free & set(only(request_folder(tmp_path / "client")).settings)


def test_cached_tokens_that_the_server_counted_are_compared(tmp_path: Path) -> None:
    """All stated: compared, and no cached token means that no prompt came twice."""
    columns = ("arrival_s", "prompt_tokens", "ok", "ttft_s", "e2e_s", "cached_tokens")
    lengths = [100, 200, 300] * 4
    for cached, is_cycle in ((0, False), (64, True)):
        rows = [
            dict(zip(columns, (n, tokens, 1, 0.1, 1, cached), strict=True))
            for n, tokens in enumerate(lengths)
        ]
        request_folder(tmp_path, system_prompt_groups="", stages_rate_x_duration_s="")
        write_table(tmp_path / "requests" / "r1.csv.gz", rows)
        case = only(tmp_path)
        assert case.measured["cached_tokens", "value"] == 12 * cached
        made = [row["name"] for row in case.assumptions]
        assert ("prompts sent in turn" in made) is is_cycle


def test_the_clock_of_the_engine_is_set_to_that_of_the_client(tmp_path: Path) -> None:
    """By hand: the engine's clock is 0.25 s ahead, so TTFT is 0.25 and 0.5 s, E2E 1.25, 2.5."""
    case = only(engine_folder(tmp_path))
    assert case.measured["ttft", "mean"] == pytest.approx(0.375)
    assert case.measured["e2e", "mean"] == pytest.approx(1.875)
    assert case.num_repeats == 1


def test_a_prefix_seen_before_is_that_of_an_earlier_prompt(tmp_path: Path) -> None:
    first, second = only(engine_folder(tmp_path)).trace(0)
    assert first.calls[0].segments == (("own-0", 64),)
    assert second.calls[0].segments == (("own-0", 48), ("own-1", 32))


def test_a_stage_table_is_one_run_with_stages(tmp_path: Path) -> None:
    """600 s a stage: 6 requests, then 12; ITL from means and the requested 251 tokens."""
    case = only(stage_folder(tmp_path))
    assert case.measured["e2e", "mean"] == pytest.approx(2.6)
    assert case.measured["e2e", "p90"] == pytest.approx(3.0)
    assert case.measured["itl", "mean"] == pytest.approx(0.01)
    assert ("ttft", "p90") not in case.measured
    assert len(case.stages) == 2
    times = [session.at_ns / 1e9 for session in case.trace(0)]
    assert len([t for t in times if t < 600]) == 6
    assert len([t for t in times if 600 <= t < 1200]) == 12
    assert times != [session.at_ns / 1e9 for session in case.trace(1)]


def test_a_rate_that_is_not_stated_is_spread(tmp_path: Path) -> None:
    changes = {"workload": "reasoning-lite-lite", "stage_rates_req_per_s": ""}
    rows = stage_folder(tmp_path, **changes)
    text = (rows / "stages.csv").read_text().splitlines()
    (rows / "stages.csv").write_text("\n".join(text[:3]) + "\n")
    case = only(rows)
    counts = [case.trace(repeat).num_calls for repeat in range(3)]
    assert 1200 <= counts[0] < counts[1] < counts[2] <= 1680


def test_an_unknown_workload_is_said(tmp_path: Path) -> None:
    stage_folder(tmp_path / "a", workload="essays")
    stage_folder(tmp_path / "b")
    left = [c for c in read_cases(tmp_path) if isinstance(c, NotSimulated)]
    assert [case.reason[:18] for case in left] == ["workload 'essays':"]


def test_turns_wait_for_one_another(tmp_path: Path) -> None:
    case = only(step_folder(tmp_path / "x"))
    (session,) = case.trace(0)
    first, second = session.calls
    assert (session.at_ns, second.after, second.delay_ns) == (10**9, ("a",), 2 * 10**9)
    assert second.segments == (("sys", 160), ("out:a", 5), ("obs", 35))
    assert case.model == "tiny-qwen2-82m"
    assert "engine.async_scheduling=false" in case.settings
    assert first.delay_ns == 0


def test_repeats_are_averaged(tmp_path: Path) -> None:
    """By hand: makespan 7.0 and 7.5 s, E2E of (2, 2) and (2.5, 2) s."""
    measured = only(step_folder(tmp_path / "x")).measured
    assert measured["makespan", "value"] == pytest.approx(7.25)
    assert measured["e2e", "mean"] == pytest.approx(2.125)
    assert measured["cached_tokens", "value"] == 160


BENCH = {
    "model": "Qwen/Qwen2.5-7B-Instruct",
    "gpu": "A single NVIDIA H100 SXM GPU.",
    "engine_version": "0.8.5",
    "request_rate": 4.0,
    "n_ok": 50,
    "prompt_tokens_total": 10000,
    "output_tokens_total": 5000,
    "ttft_mean_ms": 20,
    "ttft_median_ms": 19,
    "tpot_mean_ms": 10,
    "itl_mean_ms": 11,
    "output_tok_per_s": 400,
}


def test_a_benchmark_row_keeps_its_totals(tmp_path: Path) -> None:
    write_table(tmp_path / "results.csv", [BENCH])
    case = only(tmp_path)
    assert (case.gpu, case.preset) == ("h100-sxm", "early-2025")
    assert case.measured["itl", "mean"] == pytest.approx(0.010)
    assert case.measured["gap", "mean"] == pytest.approx(0.011)
    assert case.measured["ttft", "p50"] == pytest.approx(0.019)
    calls = first_calls(case.trace(0))
    assert sum(tokens for _, tokens, _ in calls) == pytest.approx(10_000, rel=0.02)
    assert sum(made for _, _, made in calls) == pytest.approx(5_000, rel=0.02)
    assert len({tokens for _, tokens, _ in calls}) > 20
    assert calls[0][0] == 0


def test_a_printed_command_gives_model_and_settings(tmp_path: Path) -> None:
    row = {k: v for k, v in BENCH.items() if k not in ("model", "request_rate")}
    command = "vllm serve openai/gpt-oss-20b --async-scheduling --max-model-len 9000"
    write_table(
        tmp_path / "results.csv",
        [{**row, "serve_command": command, "workload": "random 4K input", "max_concurrency": 5}],
    )
    case = only(tmp_path)
    assert case.model == "openai/gpt-oss-20b"
    assert case.vllm_args == "--async-scheduling --max-model-len 9000"
    assert "engine.async_scheduling=false" not in case.settings
    assert "agents.num_agents=5" in case.settings
    assert {call[1:] for call in first_calls(case.trace(0))} == {(200, 100)}


def test_points_of_a_grid_find_what_was_sent_before(tmp_path: Path) -> None:
    row = {
        "gpu": "L4", "model": "m", "prompt_tokens": 64, "longest_prefix_sent_before_tokens": 32,
        "output_tokens": 1, "concurrency": 2, "latency_mean_s": 0.5,
    }  # fmt: skip
    write_table(tmp_path / "grid.csv", [row])
    case = only(tmp_path)
    assert (case.part, case.measured) == (1, {("e2e", "mean"): 0.5})
    assert [s.calls[0].segments for s in case.trace(0)] == [
        (("grid", 32),), (("grid", 64),), (("grid", 64),)
    ]  # fmt: skip


def test_a_batch_ends_together(tmp_path: Path) -> None:
    row = {"gpu": "L4", "model": "m", "batch": 4, "output_tokens": 100, "output_tok_per_s": 50}
    write_table(tmp_path / "points.csv", [row])
    case = only(tmp_path)
    assert case.measured == {("output_rate", "value"): 50, ("e2e", "mean"): 8}
    assert case.trace(0).num_calls == 4


def test_a_closed_loop_keeps_its_clients_busy(tmp_path: Path) -> None:
    row = {
        "gpu": "H200-SXM", "model": "m", "prompt_tokens": 90, "output_tokens": 3,
        "loop": "closed", "concurrency": 4, "replicas": 1, "itl_ms": 7,
    }  # fmt: skip
    write_table(tmp_path / "points.csv", [row])
    case = only(tmp_path)
    assert case.measured == {("itl", "mean"): 0.007}
    assert "agents.num_agents=4" in case.settings
    assert case.trace(0).num_calls == 40


def test_files_of_no_layout_are_listed(tmp_path: Path) -> None:
    request_folder(tmp_path / "good")
    write_table(tmp_path / "other" / "kernels.csv", [{"layer": "qkv", "time_us": 3}])
    (tmp_path / "other" / "README.md").write_text("what it is")
    left = [case for case in read_cases(tmp_path) if isinstance(case, NotSimulated)]
    assert [(case.run_id, case.reason) for case in left] == [
        ("other", "no layout of runs: kernels.csv")
    ]


def test_a_replayed_trace_is_run_as_it_was_sent(tmp_path: Path) -> None:
    """Closed loop, with as many agents as there were and what the prompts share."""
    lines = [
        '{"type": "header", "format": "agentsim-trace", "version": 1}',
        '{"type": "call", "session": "s", "id": "a", "input_tokens": 50, "output_tokens": 7}',
        '{"type": "call", "session": "s", "id": "b", "input_tokens": 60, "output_tokens": 3,'
        ' "extends": "a", "keep": 57, "delay": 0.5}',
    ]
    (tmp_path / "traces").mkdir()
    (tmp_path / "traces" / "r1.jsonl").write_text("\n".join(lines) + "\n")
    case = only(request_folder(tmp_path, trace="traces/r1.jsonl", agents=3))
    (session,) = case.trace(0)
    assert [(call.id, call.extends, call.keep) for call in session.calls] == [
        ("a", None, 0),
        ("b", "a", 57),
    ]
    assert {"agents.arrival=closed-loop", "agents.num_agents=3"} <= set(case.settings)


def test_placeholders_of_answers_are_not_found(tmp_path: Path) -> None:
    """By hand: the second prompt shares the 50 tokens of the first alone, not its 7 of answer."""
    lines = [
        '{"type": "header", "format": "agentsim-trace", "version": 1}',
        '{"type": "call", "session": "s", "id": "a", "input_tokens": 50, "output_tokens": 7}',
        '{"type": "call", "session": "s", "id": "b", "input_tokens": 60, "output_tokens": 3,'
        ' "extends": "a", "keep": 57, "delay": 0.5}',
        '{"type": "call", "session": "s", "id": "c", "input_tokens": 70, "output_tokens": 3,'
        ' "extends": "b", "keep": 60, "delay": 0.5}',
    ]
    (tmp_path / "t.jsonl").write_text("\n".join(lines) + "\n")
    for outputs, keeps in (("of the server", [0, 57, 60]), ("placeholders", [0, 50, 60])):
        case = only(request_folder(tmp_path, trace="t.jsonl", agents=1, outputs=outputs))
        (session,) = case.trace(0)
        assert [call.keep for call in session.calls] == keeps


def test_placeholders_in_segments_are_others_than_the_answer() -> None:
    calls = (
        Call("a", 32, 16, segments=(("~own", 32),), delay_ns=0),
        Call("b", 64, 16, ("a",), segments=(("~own", 32), ("out:a", 16), ("~b", 16)), delay_ns=0),
    )
    (session,) = with_placeholders(Trace([Session("s", calls)]))
    assert session.calls[0] == calls[0]
    assert session.calls[1].segments == (("~own", 32), ("~out:a", 16), ("~b", 16))
