"""vLLM's own spans: measured times, sessions by trace context."""

from __future__ import annotations

from agentsim.workload.importers.reading import import_logs
from importers.samples import sample

NS_PER_MS = 1_000_000


def test_all_that_vllm_measured_is_there() -> None:
    trace, _ = import_logs([str(sample("vllm-spans"))])
    sessions = {session.id: session.calls for session in trace}
    first = sessions["ctx"][0]
    assert (first.input_tokens, first.output_tokens) == (800, 40)
    assert first.measured is not None
    assert first.measured.ttft_ns == 300 * NS_PER_MS
    assert first.measured.queue_ns == 50 * NS_PER_MS
    assert first.measured.e2e_ns == 2500 * NS_PER_MS


def test_requests_of_one_trace_context_are_a_session_others_stand_alone() -> None:
    trace, report = import_logs([str(sample("vllm-spans"))])
    sessions = {session.id: session.calls for session in trace}
    assert {name: len(calls) for name, calls in sessions.items()} == {"ctx": 2, "chatcmpl-b1": 1}
    assert sessions["ctx"][1].delay_ns == 1000 * NS_PER_MS
    assert report.warnings["requests without a trace context; each is a session"].count == 1
