"""What is left to gain: bounds are bounds."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentsim.case_study import CONFIGURATIONS, configuration, workload
from agentsim.domain.config import Config, load_config
from agentsim.domain.records import Run
from agentsim.domain.trace import Call, Session, Trace
from agentsim.report.metrics import METRICS
from agentsim.simulator import simulate
from agentsim.study.bounds import MEANINGS, Ideal, bounds, ideal_runs
from agentsim.study.toggles import Plan
from engine.loads import sessions
from study.loads import agents

LOWER = ("runtime", "ttft", "e2e", "session")


def figures(run: Run) -> dict[str, float]:
    found = {name: METRICS[name].sample(run).mean() for name in LOWER}
    return {name: value for name, value in found.items() if value is not None}


def ideals(trace: Trace, config: Config) -> tuple[Run, dict[str, Ideal]]:
    run = simulate(trace, config)
    return run, {ideal.name: ideal for ideal in ideal_runs(trace, Plan(config), run)}


@settings(max_examples=40, deadline=None)
@given(
    made=sessions(),
    kind=st.sampled_from(["vllm", "hf", "static", "continuous", "hybrid"]),
    num_agents=st.sampled_from([None, 1, 2, 7]),
    arrival=st.sampled_from(["closed-loop", "recorded"]),
    sets=st.sampled_from([(), ("engine.num_gpu_blocks=12",), ("engine.max_num_seqs=2",)]),
    speculates=st.booleans(),
    timeout_s=st.sampled_from([None, None, 0.05, 0.4]),
)
def test_no_run_beats_a_proven_bound(
    *,
    made: list[Session],
    kind: str,
    num_agents: int | None,
    arrival: str,
    sets: tuple[str, ...],
    speculates: bool,
    timeout_s: float | None,
) -> None:
    """Whatever the load and the server: in runtime, latencies and lives of sessions."""
    if timeout_s and kind not in ("hf", "static"):
        sets += (f"agents.timeout_s={timeout_s}",)
    if kind == "hf":
        sets = tuple(text for text in sets if "num_seqs" not in text)
    if speculates and kind == "vllm":
        sets += (
            "engine.speculative_method=ngram",
            "engine.num_speculative_tokens=3",
            "speculation.rate=0.5",
        )
    load = {"agents.num_agents": num_agents} if num_agents else {"agents.arrival": arrival}
    config = load_config(
        sets=[
            f"engine.kind={kind}", "engine.max_model_len=144", *sets,
            *(f"{name}={value}" for name, value in load.items()),
        ]
    )  # fmt: skip
    run, found = ideals(Trace(made), config)
    own = figures(run)
    for name in ("no queue", "tools only"):
        assert found[name].kind == "proven"
        ideal = figures(found[name].run)
        for figure in own:
            if figure == "session" and num_agents and num_agents < len(made):
                continue  # when a session starts, who is free differs
            assert ideal[figure] <= own[figure] + 1e-12, (name, figure)
    assert found["tools only"].run.makespan_ns <= found["no queue"].run.makespan_ns


@pytest.mark.parametrize(
    ("name", "of"), [*((name, "itbench") for name in CONFIGURATIONS), ("full", "swe")]
)
def test_an_agent_alone_is_bounded_by_everything(name: str, of: str) -> None:
    """It meets nobody, so also what is idealised is a bound, and there is no queue to lose."""
    config, trace = configuration(name, of), workload(of)
    run, found = ideals(trace, config)
    own = figures(run)
    for ideal in found.values():
        for figure, value in figures(ideal.run).items():
            assert value <= own[figure] + 1e-12, (ideal.name, figure)
    if name != "spec":  # whose drafts are bounded, not followed
        assert found["no queue"].run.makespan_ns == run.makespan_ns


def test_tools_are_the_waits_of_the_trace() -> None:
    """Three calls, two seconds between them; two agents for three sessions take two turns."""
    _, found = ideals(agents(3), load_config(sets=["engine.max_model_len=4096"]))
    assert found["tools only"].run.makespan_ns == 2 * 10**9
    two = load_config(sets=["engine.max_model_len=4096", "agents.num_agents=2"])
    _, found = ideals(agents(3), two)
    assert found["tools only"].run.makespan_ns == 4 * 10**9


def test_calls_are_sent_when_they_were_recorded_if_their_answers_are_there() -> None:
    """The second after five seconds, or later if what it waits for is."""
    calls = [
        Call("a", 300, 20, delay_ns=0, at_ns=0),
        Call("b", 300, 20, after=("a",), at_ns=5 * 10**9),
        Call("c", 300, 300, after=("b",), at_ns=6 * 10**9),
        Call("d", 300, 20, after=("c",), at_ns=7 * 10**9),
    ]
    trace = Trace([Session("s", tuple(calls))])
    names = ("engine.max_model_len=4096", "engine.async_scheduling=false")
    sets = [*names, "agents.arrival=recorded"]
    run, found = ideals(trace, load_config(sets=sets))
    assert found["tools only"].run.makespan_ns == 7 * 10**9
    assert found["no queue"].run.makespan_ns == run.makespan_ns
    sent = found["no queue"].run.requests["submitted_ns"]
    assert sent.tolist() == run.requests["submitted_ns"].tolist()
    assert sent[3] > 7 * 10**9


def test_a_call_that_its_client_gave_up_took_no_longer_than_that() -> None:
    """Though alone it would, too."""
    config = load_config(sets=["engine.max_model_len=4096", "agents.timeout_s=0.25"])
    run, found = ideals(agents(1, tokens=1200), config)
    assert set(run.requests["status"].tolist()) == {"timeout"}
    assert found["no queue"].run.makespan_ns <= run.makespan_ns


def test_a_perfect_cache_computes_each_token_once() -> None:
    """A cache too small for two agents loses what the perfect one finds."""
    trace = workload("swe")
    config = load_config(
        sets=[
            "engine.max_model_len=8192", "engine.num_gpu_blocks=514",
            "agents.too_long=skip", "agents.num_agents=8",
        ]
    )  # fmt: skip
    run = simulate(trace, config)
    found = {
        bound.name: bound
        for bound in bounds(trace, Plan(config), run, lambda run: run.makespan_ns / 1e9)
    }
    own = int((run.requests["prompt_tokens"] - run.requests["cached_tokens"]).sum())
    assert found["perfect cache"].prefilled_tokens < own / 2
    assert found["no queue"].prefilled_tokens == own
    perfect, best = found["perfect cache"], found["Belady eviction"]
    assert perfect.prefilled_tokens < best.prefilled_tokens < own
    gain = found["perfect cache"].gain
    assert gain is not None
    assert 0.1 < gain < 1


@pytest.mark.parametrize("setting", ["engine.enable_prefix_caching=false", "engine.kind=hf"])
def test_where_nothing_is_cached_nothing_is_evicted_better(setting: str) -> None:
    config = load_config(sets=["engine.max_model_len=4096", setting])
    run, found = ideals(agents(2), config)
    assert found["Belady eviction"].run is run


def test_gains_of_a_rate_are_gains() -> None:
    """What is higher is better there."""
    config, trace = load_config(sets=["engine.max_model_len=4096"]), agents(2)
    run = simulate(trace, config)

    def rate(run: Run) -> float | None:
        return METRICS["output_rate"].sample(run).mean()

    found: list[Any] = bounds(trace, Plan(config), run, rate, higher_is_better=True)
    assert [bound.name for bound in found] == list(MEANINGS)
    tools = found[-1]
    assert tools.value > rate(run)
    assert tools.gain > 0
