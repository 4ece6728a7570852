"""Results that can be had on paper: one request, one agent, a queue, Little's law."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentsim.domain.batch import BatchShape
from agentsim.domain.config import AgentsConfig, Config, CostConfig, EngineConfig
from agentsim.domain.trace import Call, Session, Trace
from agentsim.engine.rules import Rules
from agentsim.machine.roofline import Roofline
from agentsim.machine.system import build_system
from agentsim.simulator import simulate
from engine.loads import rules, sessions
from engine.runs import GridCost, LinearCost, serve


def chunk_ns(cost: Roofline, computed: int, new: int, samples: bool) -> int:
    """A step of one chunk of a prompt."""
    pairs = new * computed + new * (new + 1) // 2
    context = computed + new
    return cost.step_ns(BatchShape(new, 1, int(samples), new, pairs, context, 0, pairs, context, 0))


def decode_ns(cost: Roofline, context: int) -> int:
    """A step of one token that attends to so many, itself included."""
    return cost.step_ns(BatchShape(1, 1, 1, 0, 0, 0, context, 0, 0, context))


@pytest.mark.parametrize("is_async", [True, False])
@pytest.mark.parametrize(("prompt", "output"), [(1500, 1), (1500, 40), (7000, 300)])
def test_one_request_alone_is_its_chunks_and_its_decodes(
    prompt: int, output: int, is_async: bool
) -> None:
    """On the case study's L4 with chunks of 2048 tokens: token i + 1 attends to prompt + i."""
    engine = EngineConfig(async_scheduling=is_async, max_model_len=16384)
    in_process = CostConfig(api_request_s=0.0, api_prompt_token_s=0.0, api_stream_s=0.0)
    config = Config(engine=engine, cost=in_process)
    system = build_system(config)
    budget = system.engine.max_num_batched_tokens
    assert budget == 2048
    cost = system.cost
    prefill = sum(
        chunk_ns(cost, at, min(budget, prompt - at), at + budget >= prompt)
        for at in range(0, prompt, budget)
    )
    decode = sum(decode_ns(cost, prompt + i) for i in range(1, output))
    trace = Trace([Session("s", (Call("c", prompt, output, delay_ns=0),))])
    run = simulate(trace, config, system=system, check=True)
    assert run.requests["first_token_ns"].tolist() == [prefill]
    assert run.requests["finished_ns"].tolist() == [prefill + decode]
    assert run.makespan_ns == prefill + decode


@pytest.mark.parametrize("is_async", [True, False])
def test_one_agent_in_a_closed_loop_is_the_sum_of_calls_and_waits(is_async: bool) -> None:
    """Each prompt is all that was said before and 37 tokens more. Found in the cache is what was
    computed (all but the last token), in whole blocks."""
    size, turns, new, output, delay = 16, 12, 37, 21, 999
    calls: list[Call] = []
    for turn in range(turns):
        said = turn * (new + output)
        base = {"extends": f"c{turn - 1}", "keep": said, "after": (f"c{turn - 1}",)} if turn else {}
        calls.append(Call(f"c{turn}", said + new, output, delay_ns=delay, **base))
    said = np.arange(turns) * (new + output)
    cached = np.maximum(said - 1, 0) // size * size
    first = 100 + (said + new - cached)
    rules = Rules(block_size=size, async_scheduling=is_async)
    cost = LinearCost(step=100, token=1)
    run = serve([Session("s", tuple(calls))], rules, cost, num_agents=1)
    assert run.requests["cached_tokens"].tolist() == cached.tolist()
    assert run.sessions["served_ns"].tolist() == [first.sum() + turns * (output - 1) * 101]
    assert run.sessions["waited_ns"].tolist() == [turns * delay]
    ttft = run.requests["first_token_ns"] - run.requests["submitted_ns"]
    # the step decided too many while the last answer ended may still run when a call is sent
    assert (ttft == first).all()


def test_at_low_load_a_call_takes_as_long_as_alone() -> None:
    """Far apart, nobody waits for anybody."""
    config = Config(agents=AgentsConfig(arrival="poisson:0.001"))
    made = [Session(f"s{i}", (Call("c", 800, 25, delay_ns=0),)) for i in range(5)]
    together = simulate(Trace(made), config)
    took = together.requests["finished_ns"] - together.requests["submitted_ns"]
    assert took.tolist() == [simulate(Trace(made[:1]), Config()).makespan_ns] * 5


@given(
    sessions(),
    rules().map(lambda rule: replace(rule, async_scheduling=False)),
    st.builds(GridCost, st.sampled_from([1, 10]), st.sampled_from([7, 10**9])),
)
@settings(max_examples=100)
def test_littles_law(made: list[Session], rule: Rules, cost: GridCost) -> None:
    """The time of all requests in the system is the number in the system over time: those running
    and waiting in each step, and until the next step is decided those that have just come."""
    run = serve(made, rule, cost)
    asked = run.requests["prompt_tokens"] > 0
    submitted = run.requests["submitted_ns"][asked]
    in_system = (run.requests["finished_ns"][asked] - submitted).sum()
    starts, ends = run.steps["start_ns"], run.steps["end_ns"]
    decided = starts[np.searchsorted(starts, submitted)]
    number = run.steps["running"] + run.steps["waiting"]
    assert in_system == (number * (ends - starts)).sum() + (decided - submitted).sum()


@pytest.mark.parametrize("load", [0.3, 0.6, 0.8])
def test_one_server_with_poisson_arrivals_waits_as_m_d_1(load: float) -> None:
    """One at a time, each a step of 1 ms: the mean wait is load / (2 (1 - load)) ms
    (Pollaczek and Khinchine)."""
    service_ns, num_sessions = 1_000_000, 12_000
    made = [Session(f"s{i:05}", (Call("c", 1, 1, delay_ns=0),)) for i in range(num_sessions)]
    cost = LinearCost(step=service_ns - 1, token=1)
    system = Config(agents=AgentsConfig(arrival=f"poisson:{1000 * load}"), seed=1)
    run = serve(made, Rules(max_num_seqs=1), cost, arrival=system.agents.arrival, seed=1)
    waited = run.requests["scheduled_ns"] - run.requests["submitted_ns"]
    expected = load / (2 * (1 - load)) * service_ns
    assert waited.mean() == pytest.approx(expected, rel=0.12)
    busy = (run.steps["end_ns"] - run.steps["start_ns"]).sum() / run.steps["end_ns"].max()
    assert busy == pytest.approx(load, rel=0.03)
