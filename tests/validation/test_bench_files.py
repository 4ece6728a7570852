"""Results of vLLM's benchmark, one JSON file a run, and who says what served them."""

from __future__ import annotations

from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentsim.validation import Case, NotSimulated, compare, read_cases, validate
from agentsim.validation.bench_files import read_bench_file
from cli.program import agentsim, fails
from validation.folders import bench_file


def only(folder: Path) -> Case:
    (case,) = read_cases(folder)
    assert isinstance(case, Case), case.reason
    return case


def served(folder: Path, toml: str = 'gpu = "h100"\n', **changes: Any) -> Path:
    bench_file(folder / "result.json", **changes)
    (folder / "server.toml").write_text(toml)
    return folder


def test_requests_are_sent_when_they_were(tmp_path: Path) -> None:
    """By hand: in the order of sending, since the first; the failed one is left out and told."""
    case = only(served(tmp_path))
    sent = [(s.at_ns, s.calls[0].input_tokens, s.calls[0].output_tokens) for s in case.trace(0)]
    assert sent == [(0, 200, 3), (5 * 10**8, 100, 3), (10**9, 300, 3)]
    assert (case.gpu, case.model) == ("h100", "Qwen/Qwen2.5-7B-Instruct")
    assert "agents.arrival=recorded" in case.settings
    assert [made["value"] for made in case.assumptions if made["name"] == "failed requests"] == [1]


def test_figures_are_worked_out_from_the_requests(tmp_path: Path) -> None:
    """By hand; what vLLM calls ITL, the gaps of all requests, is as the file states it."""
    measured = only(served(tmp_path)).measured
    assert measured["ttft", "mean"] == pytest.approx(0.2)
    assert measured["e2e", "mean"] == pytest.approx((0.5 + 0.4 + 0.7) / 3)
    assert measured["itl", "mean"] == pytest.approx((0.2 + 0.1 + 0.2) / 3)
    assert measured["gap", "p99"] == pytest.approx(0.3)
    # the last, sent 1 s after the first, is answered after 0.7 s
    assert measured["makespan", "value"] == pytest.approx(1.7)
    assert measured["output_rate", "value"] == pytest.approx(9 / 1.7)


@given(
    st.lists(
        st.tuples(
            st.floats(0.001, 2),
            st.lists(st.floats(0.001, 0.1), min_size=1, max_size=5),
            st.floats(0, 50),
        ),
        min_size=1,
        max_size=12,
    )
)
def test_figures_are_those_of_a_plain_reading(
    tmp_path_factory: pytest.TempPathFactory, requests: list[tuple[float, list[float], float]]
) -> None:
    folder = served(
        tmp_path_factory.mktemp("bench"),
        completed=len(requests),
        input_lens=[50] * len(requests),
        output_lens=[len(gaps) + 1 for _, gaps, _ in requests],
        ttfts=[ttft for ttft, _, _ in requests],
        itls=[gaps for _, gaps, _ in requests],
        start_times=[start for _, _, start in requests],
        errors=[""] * len(requests),
        mean_ttft_ms=None,
    )
    measured = only(folder).measured
    near = {"rel": 1e-6, "abs": 1e-8}
    assert measured["ttft", "mean"] == pytest.approx(fmean(r[0] for r in requests), **near)
    assert measured["e2e", "mean"] == pytest.approx(
        fmean(ttft + sum(gaps) for ttft, gaps, _ in requests), **near
    )
    assert measured["itl", "mean"] == pytest.approx(
        fmean(fmean(gaps) for _, gaps, _ in requests), **near
    )


def test_arrivals_without_times_are_drawn(tmp_path: Path) -> None:
    """Poisson at the rate of the benchmark; makespan and rate are then the file's own."""
    case = only(served(tmp_path, start_times=None))
    assert case.num_repeats == 3
    times = [[session.at_ns for session in case.trace(repeat)] for repeat in (0, 1, 0)]
    assert times[0] == times[2] != times[1]
    assert case.measured["makespan", "value"] == 2.5
    assert case.measured["output_rate", "value"] == 3.6
    at_once = only(served(tmp_path, start_times=None, request_rate="inf"))
    assert at_once.num_repeats == 1
    assert {session.at_ns for session in at_once.trace(0)} == {0}


def test_a_bound_on_requests_in_flight_is_a_closed_loop(tmp_path: Path) -> None:
    case = only(served(tmp_path, max_concurrency=2, request_rate="inf"))
    assert "agents.num_agents=2" in case.settings
    slow = only(served(tmp_path, max_concurrency=2, request_rate=4.0))
    assert {"agents.num_agents=2", "agents.ramp_s=0.25"} <= set(slow.settings)
    assert not isinstance(compare(slow), NotSimulated)


def test_metadata_comes_before_the_file_beside(tmp_path: Path) -> None:
    """--metadata writes text; the file beside states the rest."""
    toml = 'gpu = "l4"\nmax_num_seqs = 16\nvllm_args = "--max-model-len 2048"\n'
    stated = {"gpu": "h100", "tp": "2", "engine_version": "0.19.0", "model": "qwen2.5-14b"}
    case = only(served(tmp_path, toml, **stated))
    assert (case.gpu, case.model) == ("h100", "qwen2.5-14b")
    assert case.vllm_args == "--max-model-len 2048"
    assert {
        "engine.tensor_parallel_size=2",
        "engine.max_num_seqs=16",
        "engine.estimate_cudagraph_memory=false",
    } <= set(case.settings)


def test_a_result_without_requests_has_drawn_lengths(tmp_path: Path) -> None:
    """As a row of a table of results: no --save-detailed, so the totals alone are known."""
    details = ("input_lens", "output_lens", "ttfts", "itls", "start_times", "errors")
    case = only(served(tmp_path, **dict.fromkeys(details)))
    assert case.num_repeats == 3
    assert case.trace(0).num_calls == 3
    assert case.measured["ttft", "mean"] == pytest.approx(0.2)
    assert case.measured["gap", "p99"] == pytest.approx(0.3)
    assert case.measured["makespan", "value"] == 2.5


def test_a_shared_prefix_can_be_stated(tmp_path: Path) -> None:
    toml = 'gpu = "h100"\nsystem_prompt_groups = 1\nshared_system_prompt_tokens = 64\n'
    case = only(served(tmp_path, toml))
    heads = {session.calls[0].segments[0] for session in case.trace(0) if session.calls[0].segments}
    assert heads == {("system-0", 64)}
    assert case.num_repeats == 1


def test_a_result_of_no_known_server_is_listed(tmp_path: Path) -> None:
    """It does not keep the others from being simulated."""
    bench_file(tmp_path / "a" / "result.json")
    served(tmp_path / "b")
    served(tmp_path / "c", 'gpu = "h1000"\n')
    served(tmp_path / "d", completed=0)
    found = validate(tmp_path, jobs=1)
    assert [run.run_id for run in found.comparisons] == ["b/result"]
    reasons = {left.run_id: left.reason for left in found.not_simulated}
    assert "state it in server.toml beside the file, or by --metadata" in reasons["a/result"]
    assert "unknown gpu 'h1000'" in reasons["c/result"]
    assert reasons["d/result"] == "no request was answered"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"ttfts": [0.1, -0.2, 0.3, 0]}, "request 1: field 'ttfts': expected a number >= 0"),
        ({"ttfts": [0.1]}, "field 'ttfts': expected a list with a value for each request"),
        ({"itls": [1, 2, 3, 4]}, "request 1: field 'itls': expected a list of seconds"),
        ({"itls": [[0.1], ["x"], [], []]}, "request 1: field 'itls': expected a number >= 0"),
        ({"input_lens": [1.5, 2, 3, 4]}, "field 'input_lens': expected an integer >= 1"),
        ({"mean_ttft_ms": 0.2}, "field 'mean_ttft_ms': expected 1000 times the mean of ttfts"),
        ({"latencies": [0.01, 1, 1, 1]}, "field 'ttfts': expected no more than the whole latency"),
        ({"errors": ["x"] * 4}, "field 'errors': expected at least one request without an error"),
        ({"request_rate": 0}, "field 'request_rate': expected a rate above 0, or inf"),
        ({"engine_version": "new"}, "field 'engine_version': expected a version such as"),
    ],
)
def test_a_bad_field_is_one_line(tmp_path: Path, changes: dict[str, Any], expected: str) -> None:
    served(tmp_path, **changes)
    assert expected in fails("validate", str(tmp_path))


def test_a_bad_file_beside_is_one_line(tmp_path: Path) -> None:
    served(tmp_path, "gpu = \n")
    assert "server.toml: not TOML: " in fails("validate", str(tmp_path))
    served(tmp_path, 'gpu = "l4"\nmax_seqs = 3\n')
    assert "server.toml: unknown key 'max_seqs'; known: gpu, model, " in fails(
        "validate", str(tmp_path)
    )


def test_other_json_is_of_no_layout(tmp_path: Path) -> None:
    served(tmp_path)
    (tmp_path / "list.json").write_text("[1, 2]")
    (tmp_path / "broken.json").write_text('{"model_id": ')
    left = [case for case in read_cases(tmp_path) if isinstance(case, NotSimulated)]
    assert [case.reason for case in left] == ["no layout of runs: broken.json, list.json"]
    assert agentsim("validate", str(tmp_path)).exit_code == 0


def test_real_results_are_read(shared: Path) -> None:
    """What vLLM 0.32 writes: its own means are those of its requests."""
    folder = shared / "measured" / "vllm-cpu" / "server-sample"
    for path in sorted(folder.glob("bench-*.json")):
        (left,) = read_bench_file(path)
        assert isinstance(left, NotSimulated)
        assert left.reason.startswith("no GPU")
