"""Metrics: one definition each, computed by hand on small runs; quantiles as of expanded values."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentsim.report.metrics import METRICS, Sample
from report.runs import S, request, run, session, step, two_turns


def values(name: str, of: object) -> list[float]:
    sample = METRICS[name].sample(of)  # type: ignore[arg-type]
    return np.repeat(sample.values, sample.weights).tolist()


def test_latencies_of_two_turns_are_those_on_paper() -> None:
    made = two_turns()
    assert values("ttft", made) == [3.0, 4.0]
    assert values("tpot", made) == [3.0 / 3, 4.0 / 2]
    assert values("e2e", made) == [6.0, 8.0]
    assert values("queue", made) == [0.0, 1.0]
    assert values("session", made) == [20.0]
    assert values("runtime", made) == [20.0]


def test_rates_are_tokens_and_calls_over_the_whole_runtime() -> None:
    made = two_turns()
    assert values("output_rate", made) == [7 / 20]
    assert values("prompt_rate", made) == [400 / 20]
    assert values("call_rate", made) == [2 / 20]


def test_tpot_of_one_token_is_undefined_not_zero() -> None:
    one = [request("s", "a", (0, 0, 1, 1), output_tokens=1)]
    sample = METRICS["tpot"].sample(run(one, [step(0, 1)], [session("s", 0, 1)]))
    assert sample.count == 0
    assert sample.mean() is None
    assert sample.quantiles((0.5,)) == (None,)


def test_a_prefill_only_call_has_an_e2e_but_no_ttft() -> None:
    only = [request("s", "a", (0, 1, 0, 2), output_tokens=0, first_token_ns=-1)]
    made = run(only, [step(1, 2)], [session("s", 0, 2)])
    assert values("ttft", made) == []
    assert values("e2e", made) == [2.0]


@pytest.mark.parametrize("status", ["skipped", "too-long"])
def test_calls_that_never_reached_the_server_count_in_no_latency_and_no_rate(status: str) -> None:
    calls = [request("s", "a", (0, 0, 1, 2)), request("s", "b", (2, 2, 2, 2), status=status)]
    made = run(calls, [step(0, 2)], [session("s", 0, 2)])
    assert [len(values(name, made)) for name in ("ttft", "tpot", "e2e", "queue")] == [1, 1, 1, 1]
    assert values("output_rate", made) == [2 / 2]


def test_calls_cut_at_the_length_limit_count_like_finished_ones() -> None:
    made = run([request("s", "a", (0, 0, 1, 2), status="cut")], [step(0, 2)], [session("s", 0, 2)])
    assert values("e2e", made) == [2.0]


def test_gaps_between_tokens_count_as_often_as_their_weights_say() -> None:
    sample = METRICS["itl"].sample(two_turns())
    assert sample.count == 5
    assert sample.mean() == pytest.approx((3 * 1 + 2 * 2) / 5)
    assert sample.quantiles((0.5, 0.9)) == (1.0, 2.0)


def test_a_run_without_gaps_has_no_itl() -> None:
    made = run([], [], [])
    assert METRICS["itl"].sample(made).count == 0
    assert METRICS["output_rate"].sample(made).mean() is None


@given(
    st.lists(st.tuples(st.integers(0, 10 * S), st.integers(0, 7)), min_size=1, max_size=30),
    st.lists(st.floats(0, 1), min_size=1, max_size=5),
)
def test_a_weighted_quantile_is_that_of_the_expanded_values(
    pairs: list[tuple[int, int]], shares: list[float]
) -> None:
    gaps, weights = (np.array(column, np.int64) for column in zip(*pairs, strict=True))
    sample = Sample(gaps / S, weights)
    expanded = np.repeat(gaps / S, weights)
    if not len(expanded):
        assert sample.quantiles(tuple(shares)) == (None,) * len(shares)
        return
    expected = np.quantile(expanded, shares, method="linear")
    assert sample.quantiles(tuple(shares)) == pytest.approx(expected.tolist(), rel=1e-12, abs=0)
    assert sample.mean() == pytest.approx(expanded.mean(), rel=1e-12)


def test_every_metric_has_a_unit_and_works_on_the_same_run() -> None:
    for name, metric in METRICS.items():
        assert name == metric.name
        assert metric.unit
        assert metric.sample(two_turns()).count >= 1
