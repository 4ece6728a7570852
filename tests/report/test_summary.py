"""The summary: every figure of a hand-made run, computed on paper."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest

from agentsim.domain.records import Columns
from agentsim.report.metrics import FloatArray
from agentsim.report.summary import summarize
from report.runs import request, run, session, step, two_turns


def test_the_head_counts_agents_sessions_replicas_and_calls_by_status() -> None:
    calls = [
        request("s", "a", (0, 0, 1, 2)),
        request("s", "b", (2, 2, 2, 2), status="skipped"),
        request("t", "a", (0, 0, 1, 2), status="cut"),
        request("u", "a", (2, 2, 3, 4)),
    ]
    sessions = [session("s", 0, 2), session("t", 0, 2, slot=1), session("u", 2, 4)]
    summary = summarize(run(calls, [step(0, 4)], sessions))
    assert (summary.agents, summary.sessions, summary.replicas) == (2, 3, 1)
    assert summary.calls == {"cut": 1, "finished": 2, "skipped": 1}
    assert summary.runtime_s == 4.0


def test_gpu_and_session_times_are_those_of_the_partition() -> None:
    summary = summarize(two_turns())
    assert msgspec.to_builtins(summary.gpu) == {
        "total_s": 20.0,
        "prefill_s": 6.0,
        "decode_s": 7.0,
        "recomputation_s": 0.0,
        "overhead_s": 0.0,
        "idle_s": 7.0,
        "idle_tools_s": 6.0,
        "idle_nobody_s": 0.0,
        "idle_between_steps_s": 1.0,
        "idle_tools_share": 6 / 7,
    }
    assert summary.agent.total_s == 20.0
    assert (summary.agent.queue_s, summary.agent.tools_s) == (1.0, 6.0)


def test_session_times_are_means_over_sessions() -> None:
    calls = [request("s", "a", (0, 1, 2, 4)), request("t", "a", (0, 3, 4, 6))]
    agent = summarize(run(calls, [step(0, 6)], [session("s", 0, 4), session("t", 0, 6)])).agent
    assert (agent.total_s, agent.queue_s, agent.prefill_s, agent.decode_s) == (5.0, 2.0, 1.0, 2.0)


def test_latencies_are_interpolated_linearly() -> None:
    ttft = summarize(two_turns()).latency.ttft
    assert (ttft.count, ttft.mean, ttft.p50) == (2, 3.5, 3.5)
    assert (ttft.p90, ttft.p99) == pytest.approx((3.9, 3.99))


def test_tokens_and_prefix_reuse_count_served_calls() -> None:
    tokens = summarize(two_turns()).tokens
    assert (tokens.prompt, tokens.cached, tokens.computed, tokens.output) == (400, 100, 300, 7)
    assert tokens.cached_share == 0.25


def test_kv_use_is_weighted_by_time_and_is_nothing_while_no_call_is_there() -> None:
    kv = summarize(two_turns()).kv
    assert kv is not None
    assert (kv.usable_blocks, kv.block_tokens, kv.peak_blocks, kv.peak_share) == (100, 16, 50, 0.5)
    # Blocks held times seconds; 8 to 12 s nobody is at the server.
    held = 10 * 2 + 20 * 1 + 20 * 1 + 30 * 1 + 30 * 4 + 40 * 2 + 50 * 2
    assert kv.mean_share == pytest.approx(held / (100 * 20), rel=1e-15)


def test_a_run_that_does_not_know_its_blocks_has_no_kv_use() -> None:
    assert summarize(replace(two_turns(), facts={})).kv is None


def test_batching_is_weighted_by_time() -> None:
    steps = [step(0, 3, num_seqs=1, running=1), step(3, 4, num_seqs=5, running=5, waiting=2)]
    made = run([request("s", "a", (0, 0, 3, 4))], steps, [session("s", 0, 4)])
    batching = summarize(made).batching
    assert (batching.steps, batching.mean_seqs) == (2, 2.0)
    assert (batching.peak_running, batching.peak_waiting) == (5, 2)


def test_preemptions_count_events_requests_and_tokens() -> None:
    calls = [
        request("s", "a", (0, 0, 1, 4), preemptions=2, recomputed_tokens=50),
        request("t", "a", (0, 0, 1, 4)),
    ]
    summary = summarize(run(calls, [step(0, 4)], [session("s", 0, 4), session("t", 0, 4)]))
    assert (summary.preemptions.count, summary.preemptions.requests) == (2, 1)
    assert summary.tokens.recomputed == 50


def test_speculation_is_none_when_off_and_a_rate_when_on() -> None:
    assert summarize(two_turns()).speculation is None
    call = request("s", "a", (0, 0, 1, 4), drafted_tokens=10, accepted_tokens=4)
    speculation = summarize(run([call], [step(0, 4)], [session("s", 0, 4)])).speculation
    assert speculation is not None
    assert (speculation.drafted, speculation.accepted, speculation.acceptance) == (10, 4, 0.4)


def test_assumptions_are_counted_by_kind() -> None:
    made = [
        {"name": n, "value": 1, "kind": k, "source": ""} for n, k in zip("abc", "xyx", strict=True)
    ]
    assert summarize(replace(two_turns(), assumptions=tuple(made))).assumed == {"x": 2, "y": 1}


def test_an_empty_run_has_figures_without_values() -> None:
    summary = summarize(run([], [], []))
    assert summary.runtime_s == 0
    assert summary.latency.ttft.p50 is None
    assert summary.gpu.idle_tools_share is None
    assert summary.rates.calls_per_s is None


def test_step_times_are_divided_as_the_cost_model_says() -> None:
    def halves(steps: Columns) -> dict[str, FloatArray]:
        lasts = (steps["end_ns"] - steps["start_ns"]) / 1e9
        return {"prefill_s": lasts / 2, "decode_s": lasts / 4}

    gpu = summarize(two_turns(), halves).gpu
    assert (gpu.prefill_s, gpu.decode_s, gpu.overhead_s) == (13 / 2, 13 / 4, 13 / 4)
