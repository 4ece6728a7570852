"""The numbers of a run, by name."""

from __future__ import annotations

import numpy as np
import pytest

from agentsim.errors import ConfigError, UnknownName
from agentsim.simulator import simulate
from agentsim.study.figures import Measured, figure_names, read_figure
from study.loads import agents


def test_a_figure_is_the_metric_and_its_statistic() -> None:
    run = simulate(agents(4))
    first = (run.requests["first_token_ns"] - run.requests["submitted_ns"]) / 1e9
    for text, value in (
        ("p95 ttft", np.percentile(first, 95)),
        ("TTFT p95", np.percentile(first, 95)),
        ("median ttft", np.median(first)),
        ("mean ttft", first.mean()),
        ("max ttft", first.max()),
        ("p99.9 ttft", np.percentile(first, 99.9)),
        ("runtime", run.makespan_ns / 1e9),
    ):
        assert read_figure(text).of(Measured(run)) == pytest.approx(value, rel=1e-12), text


def test_names_carry_statistic_and_unit() -> None:
    assert read_figure("p99.9 ttft").name == "ttft_p99_9_s"
    assert read_figure("output_rate").name == "output_rate_token_per_s"
    assert read_figure("output rate").name == "output_rate_token_per_s"
    assert read_figure("cost").name == "run_usd"


def test_every_name_that_is_offered_is_read() -> None:
    for name in figure_names():
        assert read_figure(name.replace("pNN", "p90")).better in ("lower", "higher")


def test_failed_counts_calls_that_their_client_gave_up() -> None:
    from agentsim.domain.config import load_config

    config = load_config(sets=["agents.timeout_s=0.8", "agents.num_agents=4"])
    share = read_figure("failed").of(Measured(simulate(agents(4), config)))
    assert share is not None
    assert 0 < share <= 1
    assert read_figure("failed").of(Measured(simulate(agents(4)))) == 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ttft", "say which, such as 'p95 ttft'"),
        ("p95 tfft", "did you mean 'ttft'"),
        ("p95 runtime", "is one number"),
        ("p95 cost", "is one number"),
        ("p100 ttft", "unknown figure"),
        ("", "unknown figure"),
    ],
)
def test_what_is_no_figure_is_one_line(text: str, message: str) -> None:
    with pytest.raises((ConfigError, UnknownName), match=message):
        read_figure(text)
