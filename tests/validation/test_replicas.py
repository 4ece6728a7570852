"""Runs of several replicas: how many, who spreads the requests, and the chats they served."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentsim.validation import Case, NotSimulated, compare, figure, read_cases, simulate_case
from agentsim.validation.chats import LEAST_IN_CHAT, LEAST_IN_THREAD, Listed, Threads
from cli.program import fails
from validation.folders import request_folder, write_table

LOOP: dict[str, Any] = {
    "gpu": "H200-SXM", "model": "Qwen3-8B", "prompt_tokens": 90, "output_tokens": 3,
    "loop": "closed", "concurrency": 4, "replicas": 2, "itl_ms": 7,
}  # fmt: skip
THREADS: dict[str, Any] = {
    "gpu": "L4", "replicas": 2, "model": "neuralmagic/Meta-Llama-3.1-8B-Instruct-FP8",
    "engine": "vllm", "measured": "2025-02-25", "routing": "PrefixHash", "concurrent_threads": 4,
    "threads": 12, "max_completion_tokens": 40, "requests": 60, "prompt_tokens_total": 20_000,
    "output_tokens_total": 2_340, "ttft_mean_s": 0.2, "e2e_mean_s": 3.0, "itl_mean_s": 0.08,
}  # fmt: skip
LISTED: dict[str, Any] = {
    "gpu": "L4", "replicas": 2, "engine": "vllm (V1)", "routing": "KubeAI - Least Load",
    "model": "neuralmagic/Meta-Llama-3.1-8B-Instruct-FP8 (kv cache fp8)", "request_rate": 50,
    "max_concurrency": 8, "max_conversations": 20, "n_ok": 60, "prompt_tokens_total": 48_000,
    "output_tokens_total": 4_500, "ttft_mean_ms": 200, "tpot_mean_ms": 80,
}  # fmt: skip


def only(folder: Path, row: dict[str, Any]) -> Case:
    write_table(folder / "points.csv", [row])
    (case,) = read_cases(folder)
    assert isinstance(case, Case)
    return case


@pytest.mark.parametrize(
    ("said", "router"),
    [
        ("PrefixHash", "prefix-hash"),
        ("KubeAI - Prefix Hash", "prefix-hash"),
        ("LeastLoad", "least-load"),
        ("least-load", "least-load"),
        ("round-robin", "round-robin"),
        ("k8s service (random)", "random"),
        ("K8s Native - Round Robin", "random"),
    ],
)
def test_the_router_is_the_one_of_the_source(tmp_path: Path, said: str, router: str) -> None:
    """A service of Kubernetes picks at random, whatever it is called."""
    case = only(tmp_path, {**LOOP, "routing": said})
    assert {"cluster.replicas=2", f"cluster.routing={router}"} <= set(case.settings)
    assert case.num_repeats == (3 if router == "random" else 1)


def test_data_parallel_engines_are_replicas(tmp_path: Path) -> None:
    (case,) = read_cases(request_folder(tmp_path, dp=2))
    assert isinstance(case, Case)
    assert {"cluster.replicas=2", "cluster.routing=least-load"} <= set(case.settings)
    found = compare(case)
    assert not isinstance(found, NotSimulated)
    assert {row.metric for row in found.rows} >= {"ttft", "e2e", "itl"}


def test_experts_in_parallel_are_split_like_the_rest(tmp_path: Path) -> None:
    (case,) = read_cases(request_folder(tmp_path, expert_parallel="True", tp=2))
    assert isinstance(case, Case)
    assert "expert parallelism" in [made["name"] for made in case.assumptions]
    assert "engine.tensor_parallel_size=2" in case.settings


def test_replicas_that_are_not_stated_are_each_simulated(tmp_path: Path) -> None:
    """A node of 8 GPUs: 1, 2, 4, 8 replicas of one GPU, 1 or 2 of four."""
    hidden = {**LOOP, "replicas": "single deployment"}
    case = only(tmp_path, hidden)
    assert case.choices == tuple((f"cluster.replicas={n}",) for n in (1, 2, 4, 8))
    assert case.num_repeats == 4
    more = only(tmp_path, {**hidden, "model": "Qwen3-32B-FP8-TP4"})
    assert more.model == "Qwen3-32B-FP8"
    assert "engine.tensor_parallel_size=4" in more.settings
    assert more.num_repeats == 2
    found = compare(case)
    assert not isinstance(found, NotSimulated)
    assert found.rows[0].low < found.rows[0].high


def test_more_replicas_have_shorter_queues(tmp_path: Path) -> None:
    means = []
    for replicas in (1, 4):
        row = {**LOOP, "replicas": replicas, "routing": "round-robin", "concurrency": 64}
        case = only(tmp_path, {**row, "prompt_tokens": 9000, "ttft_ms": 100})
        means.append(figure(simulate_case(case, 0), "ttft", "mean"))
    assert means[0] is not None
    assert means[1] is not None
    assert means[1] < means[0] / 2


def test_an_unknown_router_is_one_line(tmp_path: Path) -> None:
    write_table(tmp_path / "points.csv", [{**LOOP, "routing": "sticky"}])
    assert "points.csv:2: field 'routing': expected one of random, prefix-hash," in fails(
        "validate", str(tmp_path)
    )


def test_a_chat_goes_on_with_its_answers(tmp_path: Path) -> None:
    """Each prompt is the one before, its answer and a message; its client waits."""
    case = only(tmp_path, THREADS)
    assert "agents.num_agents=4" in case.settings
    assert case.preset == "early-2025"
    trace = case.trace(0)
    assert len(trace) == 12
    for session in trace:
        assert len(session.calls) >= LEAST_IN_THREAD
        for before, call in zip(session.calls, session.calls[1:], strict=False):
            assert before.segments is not None
            assert call.segments is not None
            assert call.after == (before.id,)
            assert call.segments[:-1] == (*before.segments, (f"out:{before.id}", 39))
    assert case.measured["gap", "mean"] == pytest.approx(0.08)
    # (3.0 - 0.2) s for 2340 / 60 - 1 tokens
    assert case.measured["itl", "mean"] == pytest.approx(2.8 / 38)


def test_what_a_chat_said_is_found_again(tmp_path: Path) -> None:
    case = only(tmp_path, {**THREADS, "replicas": 1})
    cached = figure(simulate_case(case, 0), "cached_tokens", "value")
    assert cached is not None
    total = sum(call.input_tokens for session in case.trace(0) for call in session.calls)
    assert 0.5 * total < cached < total


@given(
    threads=st.integers(30, 200),
    mean=st.floats(LEAST_IN_THREAD, 12),
    prompt=st.floats(300, 900),
    repeat=st.integers(0, 5),
)
def test_threads_add_up_to_the_source(
    threads: int, mean: float, prompt: float, repeat: int
) -> None:
    """Requests within what chance does, prompts near the mean of the source, outputs exact."""
    requests = round(threads * mean)
    trace = Threads("x", threads, requests, round(prompt * requests), 39 * requests)(repeat)
    assert len(trace) == threads
    counts = [len(session.calls) for session in trace]
    spread = (mean - LEAST_IN_THREAD + 1) / threads**0.5
    assert abs(sum(counts) / threads - mean) <= 6 * spread
    calls = [call for session in trace for call in session.calls]
    assert {call.output_tokens for call in calls} == {39}
    assert sum(call.input_tokens for call in calls) / requests == pytest.approx(prompt, rel=0.7)


@given(count=st.integers(1, 60), requests=st.integers(60, 200), repeat=st.integers(0, 5))
def test_listed_prompts_come_in_turn(count: int, requests: int, repeat: int) -> None:
    """Each list of prompts whole before the next; a prompt is a beginning of its chat's next."""
    load = Listed("x", count, requests, 800 * requests, 76 * requests, 100.0)
    sent = [session.calls[0].segments for session in load(repeat)]
    assert len(sent) == requests
    prompts = {prompt for prompt in sent if prompt is not None}
    assert len(prompts) == min(count, requests)
    for start in range(0, requests - count + 1, count):
        assert len(set(sent[start : start + count])) == count
    longest = [p for p in prompts if not any(q != p and q[: len(p)] == p for q in prompts)]
    assert len(longest) == -(-count // LEAST_IN_CHAT)


def test_clients_start_at_the_rate_of_the_benchmark(tmp_path: Path) -> None:
    case = only(tmp_path, LISTED)
    assert {"agents.num_agents=8", "agents.ramp_s=0.02"} <= set(case.settings)
    assert "engine.kv_cache_dtype=fp8" in case.settings
    assert case.model == "neuralmagic/Meta-Llama-3.1-8B-Instruct-FP8"
    free = only(tmp_path, {**LISTED, "max_concurrency": 60})
    assert "agents.arrival=recorded" in free.settings
    assert not isinstance(compare(case), NotSimulated)


def test_sizes_in_words_are_parts_of_one_run(tmp_path: Path) -> None:
    base = {
        "gpu": "L4", "model": "mistralai/Mistral-7B-Instruct-v0.3",
        "output_tokens": "at most 20", "ttft_p50_ms": 100,
        "load": "closed loop, 4 in flight, 30 requests, all sizes mixed",
    }  # fmt: skip
    sizes = ("S+M mixed", "S: up to 512", "M: 513-2048")
    write_table(tmp_path / "points.csv", [{**base, "prompt_tokens": size} for size in sizes])
    whole, short, middle = (case for case in read_cases(tmp_path) if isinstance(case, Case))
    assert (whole.part, short.part, middle.part) == (None, 0, 1)
    assert list(whole.trace(0)) == list(middle.trace(0))
    lengths = {"0": (1, 512), "1": (513, 2048)}
    trace = whole.trace(0)
    assert len(trace) == 30
    for session in trace:
        least, most = lengths[session.id.partition("/")[0]]
        assert least <= session.calls[0].input_tokens <= most
    ttft = []
    for case in (short, middle):
        found = compare(case)
        assert not isinstance(found, NotSimulated)
        ttft.append(found.rows[0].simulated)
    assert ttft[0] < ttft[1]


def test_a_size_of_no_table_is_listed(tmp_path: Path) -> None:
    row = {**LOOP, "replicas": 1, "prompt_tokens": "long"}
    write_table(tmp_path / "points.csv", [row])
    (left,) = read_cases(tmp_path)
    assert isinstance(left, NotSimulated)
    assert left.reason == "prompt_tokens 'long': no length, and no size of the table"
