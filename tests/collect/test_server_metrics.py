"""What a server's /metrics says: exact sums, bounds of quantiles, differences of two readings."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentsim.errors import UserError
from agentsim.report.server_metrics import Bounds, Histogram, parse_metrics

NAME = "vllm:x_seconds"


def exposition(values: list[float], bounds: list[float], engine: int = 0) -> str:
    """A histogram as a server writes it."""
    lines = [
        f'{NAME}_bucket{{engine="{engine}",le="{bound}"}} {sum(v <= bound for v in values)}.0'
        for bound in [*bounds, math.inf]
    ]
    lines += [f'{NAME}_sum{{engine="{engine}"}} {sum(values)}', f"{NAME}_count{{}} {len(values)}"]
    return "# HELP x\n# TYPE x histogram\n" + "\n".join(lines) + "\n"


@given(
    st.lists(st.integers(0, 40).map(lambda n: n / 4), min_size=1, max_size=30),
    st.lists(st.integers(0, 10).map(float), min_size=1, max_size=6, unique=True).map(sorted),
    st.sampled_from([0.0, 0.5, 0.9, 0.99, 1.0]),
)
def test_a_quantile_lies_within_its_bounds(
    values: list[float], bounds: list[float], share: float
) -> None:
    """The quantile of the values themselves, and no bucket more than it needs."""
    found = parse_metrics(exposition(values, bounds), "here").histogram(NAME)
    assert found is not None and found.count == len(values)
    assert found.mean() == pytest.approx(np.mean(values))
    limits = found.quantile(share)
    assert limits is not None and limits.holds(float(np.quantile(values, share)))
    ordered, rank = sorted(values), share * (len(values) - 1)
    edges = [0.0, *bounds, math.inf]
    assert limits.high == min(edge for edge in edges[1:] if edge >= ordered[math.ceil(rank)])
    assert limits.low == max([0.0, *[e for e in bounds if e < ordered[math.floor(rank)]]])


def test_series_of_several_engines_are_summed() -> None:
    """Histograms and counters of the same name."""
    text = exposition([1.0, 3.0], [2.0]) + exposition([1.0], [2.0], engine=1)
    snapshot = parse_metrics(text, "here")
    assert snapshot.histogram(NAME) == Histogram((2.0, math.inf), (2.0, 1.0), 5.0)
    assert snapshot.value("vllm:nothing") is None and snapshot.histogram("vllm:nothing") is None


def test_between_two_readings_only_what_came_counts() -> None:
    """Counters and histograms are differences, gauges those of the second reading."""
    before = parse_metrics(exposition([1.0], [2.0]) + "vllm:g 5\nvllm:n_total 2\n", "before")
    after = parse_metrics(
        exposition([1.0, 3.0, 3.0], [2.0]) + "vllm:g 7\nvllm:n_total 9\n", "after"
    )
    passed = after.since(before)
    found = passed.histogram(NAME)
    assert found is not None and (found.count, found.mean()) == (2, 3.0)
    assert found.quantile(0.5) == Bounds(2.0, math.inf)
    assert (passed.value("vllm:g"), passed.value("vllm:n_total")) == (7, 7)
    with pytest.raises(UserError, match=r"before: .* the server was started again"):
        before.since(after)


def test_labels_with_escapes() -> None:
    """Quotes, backslashes, commas and line ends in a label."""
    snapshot = parse_metrics('a{x="q\\"\\\\, \\n}",y=""} 1e3 1700000000\n', "here")
    assert snapshot.labels("a") == {"x": 'q"\\, \n}', "y": ""}
    assert snapshot.value("a") == 1000


def test_nothing_counted_has_no_mean_and_no_quantile() -> None:
    found = parse_metrics(exposition([], [2.0]), "here").histogram(NAME)
    assert found is not None and found.mean() is None and found.quantile(0.5) is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "here: no metrics in it"),
        ("<html>\n", "here:1: expected a line of Prometheus metrics, got '<html>'"),
        ("a 1\na{b=c} 1\n", "here:2: expected a line of Prometheus metrics"),
        ("a many\n", "here:1: expected a line"),
    ],
)
def test_what_is_no_metrics_names_the_line(text: str, message: str) -> None:
    with pytest.raises(UserError) as raised:
        parse_metrics(text, "here")
    assert message in str(raised.value)


@pytest.mark.parametrize(
    "lines",
    [
        f'{NAME}_bucket{{le="1"}} 2\n',
        f'{NAME}_bucket{{le="1"}} 2\n{NAME}_bucket{{le="+Inf"}} 1\n',
        f'{NAME}_bucket{{le="one"}} 2\n',
    ],
)
def test_a_histogram_without_sense_is_refused(lines: str) -> None:
    with pytest.raises(UserError, match="here: "):
        parse_metrics(lines, "here").histogram(NAME)
