"""What two configurations differ by, mechanism by mechanism."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentsim.case_study import CONFIGURATIONS, configuration, workload
from agentsim.domain.config import Config, load_config
from agentsim.errors import ConfigError, DoesNotFit
from agentsim.simulator import simulate
from agentsim.study.explain import explain
from agentsim.study.explanation import Explanation
from agentsim.study.figures import read_figure
from agentsim.study.toggles import Plan, build, plan_of, toggles_between, with_defaults
from agentsim.study.variants import Variant
from study.loads import agents, histories

RUNTIME = read_figure("runtime")
SMALL = ("engine.max_model_len=4096",)


def config(*sets: str) -> Config:
    return load_config(sets=[*SMALL, *sets])


def explained(first: Config, second: Config | None, **more: Any) -> Explanation:
    trace = more.pop("trace", histories(3))
    named = Variant("b", second) if second is not None else None
    return explain(
        trace, Variant("a", first), named, more.pop("figure", RUNTIME), with_bounds=False, **more
    )


def labels(first: Config, second: Config) -> list[str]:
    return [toggle.label for toggle in toggles_between(first, second)]


@pytest.mark.parametrize("kind", ["vllm", "hf", "static", "continuous", "hybrid"])
@pytest.mark.parametrize("eager", ["true", "false"])
def test_a_kind_taken_apart_and_put_together_is_the_same_server(kind: str, eager: str) -> None:
    """Every column of the run: so no effect hides between a configuration and its parts."""
    whole = config(f"engine.kind={kind}", f"engine.enforce_eager={eager}")
    plan = plan_of(whole, [], 0)
    before = simulate(histories(3), whole)
    after = simulate(histories(3), plan.config, system=build(plan))
    for table in ("requests", "steps", "sessions"):
        ours, theirs = getattr(before, table), getattr(after, table)
        assert all((ours[name] == theirs[name]).all() for name in ours)


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_all_toggles_switched_is_the_second_configuration(name: str) -> None:
    """From and to each row of the case study, to the nanosecond."""
    trace = workload("itbench")
    second = configuration(name, "itbench")
    for other in CONFIGURATIONS:
        toggles = toggles_between(configuration(other, "itbench"), second)
        plan = plan_of(configuration(other, "itbench"), toggles, (1 << len(toggles)) - 1)
        assert plan == plan_of(second, [], 0)
    run = simulate(trace, plan.config, system=build(plan))
    assert run.makespan_ns == simulate(trace, second).makespan_ns


def test_the_engine_kinds_fall_apart_into_their_mechanisms() -> None:
    """And what is not of a mechanism is named as it is."""
    vllm = config()
    assert labels(config("engine.kind=hf"), vllm) == [
        "model code", "paging", "API server", "prefix caching", "chunked prefill", "CUDA graphs",
        "batching", "async scheduling",
    ]  # fmt: skip
    assert labels(config("engine.kind=hybrid"), vllm) == ["prefix caching"]
    assert labels(config("model=qwen2.5-14b"), config("model=qwen2.5-14b-awq")) == ["quantisation"]
    assert "model" in labels(config("model=llama-3.1-8b"), config("model=qwen2.5-14b-awq"))
    assert labels(config("seed=1", "agents.num_agents=2"), vllm) == ["seed, agents.num_agents"]
    assert labels(vllm, vllm) == []


SETTINGS = [
    "engine.enable_prefix_caching=false",
    "engine.enforce_eager=true",
    "engine.max_num_seqs=1",
    "engine.async_scheduling=false",
    "engine.kind=hf",
    "engine.kind=static",
    "engine.num_gpu_blocks=300",
    "gpu=a100-80gb",
    "cluster.replicas=2",
    "engine.max_num_batched_tokens=256",
]


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.sampled_from(SETTINGS), max_size=3, unique_by=lambda text: text.split("=")[0]),
    st.lists(st.sampled_from(SETTINGS), max_size=3, unique_by=lambda text: text.split("=")[0]),
    st.sampled_from(["runtime", "mean ttft", "p90 session", "cost", "output_rate"]),
)
def test_effects_add_up_to_the_difference_of_two_simulations(
    first: list[str], second: list[str], figure: str
) -> None:
    """Whatever differs; and turned round, each effect only changes its sign."""
    try:
        ends = [config(*first), config(*second)]
        runs = [simulate(histories(3), one) for one in ends]
    except (ConfigError, DoesNotFit):
        return
    if not toggles_between(*ends):
        return
    found = explained(*ends, figure=read_figure(figure))
    assert found.second is not None
    whole = found.second.value - found.first.value
    assert math.isclose(math.fsum(e.value for e in found.effects), whole, abs_tol=1e-12)
    if figure == "runtime":
        assert found.first.value == runs[0].makespan_ns / 1e9
        assert found.second.value == runs[1].makespan_ns / 1e9
    back = explained(*ends[::-1], figure=read_figure(figure))
    ours = {effect.mechanism: effect.value for effect in found.effects}
    for effect in back.effects:
        assert math.isclose(effect.value, -ours[effect.mechanism], abs_tol=1e-12)


def test_a_lone_mechanism_gets_the_whole_difference() -> None:
    """Whatever the method."""
    ends = config("engine.enable_prefix_caching=false"), config()
    for pairs in (None, 1):
        found = explained(*ends, pairs=pairs)
        assert found.second is not None
        (effect,) = found.effects
        assert effect.mechanism == "prefix caching"
        assert effect.value == found.second.value - found.first.value < 0


def test_from_generate_to_vllm_the_case_study_is_explained() -> None:
    """Code, paging and the prefix cache gain hours; batching one agent gains nothing."""
    found = explained(
        configuration("hf", "itbench"),
        configuration("full", "itbench"),
        trace=workload("itbench"),
    )
    effects = {effect.mechanism: effect for effect in found.effects}
    assert set(list(effects)[:3]) == {"model code", "paging", "prefix caching"}
    assert all(effects[name].value < -1000 for name in list(effects)[:3])
    assert all(abs(effects[name].value) < 2 for name in list(effects)[3:])
    assert effects["prefix caching"].high == 0  # without paging there is none
    assert effects["paging"].high > 0  # paging alone: an API server of nothing else, more context
    assert found.method is not None
    assert (found.method.kind, found.method.orders) == ("exact", math.factorial(7))


def test_speculation_that_accepts_nothing_costs_what_the_case_study_says() -> None:
    """Of the difference between full and spec, all is speculation's."""
    full, spec = (configuration(name, "itbench") for name in ("full", "spec"))
    found = explained(full, spec, trace=workload("itbench"))
    (effect,) = found.effects
    assert effect.mechanism == "speculation"
    assert 5 < effect.value < 10


def test_many_mechanisms_are_sampled_with_an_error_around_the_exact_effect() -> None:
    """The same effects, within a few standard errors, from fewer simulations."""
    ends = config("engine.kind=hf"), config("gpu=a100-80gb", "model=llama-3.1-8b")
    whole = explained(*ends, pairs=None, trace=histories(2, calls=2))
    drawn = explained(*ends, pairs=12, trace=histories(2, calls=2))
    assert whole.method is not None
    assert drawn.method is not None
    # more than eight mechanisms are sampled unasked
    assert len(whole.effects) > 8
    assert whole.method.kind == drawn.method.kind == "sampled"
    few = config("engine.kind=hf"), config()
    true = {e.mechanism: e.value for e in explained(*few, trace=histories(2, calls=2)).effects}
    for effect in explained(*few, pairs=12, trace=histories(2, calls=2)).effects:
        assert effect.error is not None
        assert abs(effect.value - true[effect.mechanism]) <= 4 * effect.error + 1e-9


def test_orders_through_what_does_not_fit_are_left_out() -> None:
    """A 14 B model in 16 bits does not fit an L4, so the GPU comes first."""
    found = explained(config(), config("gpu=a100-80gb", "model=qwen2.5-14b"))
    assert found.method is not None
    assert found.method.orders_left_out > 0
    assert any("does not fit" in why for why in found.method.impossible)
    assert found.second is not None
    whole = found.second.value - found.first.value
    assert math.isclose(math.fsum(e.value for e in found.effects), whole, abs_tol=1e-12)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (
            ["engine.async_scheduling=true", "gpu=h100"],
            ["engine.speculative_method=ngram", "engine.num_speculative_tokens=2"],
        ),
        (["engine.kv_offloading_size=1"], ["engine.enable_prefix_caching=false"]),
        (
            ["engine.kv_offloading_size=1"],
            ["engine.speculative_method=ngram", "engine.num_speculative_tokens=2"],
        ),
        (["engine.kind=hf"], ["engine.tensor_parallel_size=2", "gpu=h100"]),
    ],
)
def test_what_cannot_act_together_is_no_contradiction(first: list[str], second: list[str]) -> None:
    """It changes nothing there, and no order is left out."""
    found = explained(config(*first), config(*second))
    assert found.method is not None
    assert (found.method.orders_left_out, found.method.impossible) == (0, [])


def test_nothing_to_explain_and_ends_that_cannot_run_are_refused() -> None:
    """One line each; the end at fault is named."""
    with pytest.raises(ConfigError, match="a and b are the same configuration: nothing to explain"):
        explained(config(), config())
    with pytest.raises(ConfigError, match=r"^b: .*does not fit"):
        explained(config(), config("model=qwen2.5-14b"))
    with pytest.raises(ConfigError, match="a: it has no p90 itl"):
        explained(
            config(),
            config("engine.enforce_eager=true"),
            figure=read_figure("p90 itl"),
            trace=agents(1, calls=1, output=1),
        )


def test_processes_find_the_same() -> None:
    """In any number of them."""
    ends = config("engine.kind=static"), config()
    assert explained(*ends, jobs=2) == explained(*ends, jobs=1)


def test_defaults_switch_on_what_is_free_and_keep_the_rest() -> None:
    """Hardware, model, memory and load stay."""
    slow = config(
        "engine.kind=static", "engine.enforce_eager=true", "engine.max_num_seqs=2",
        "gpu=h100", "agents.num_agents=2", "engine.gpu_memory_utilization=0.5",
    )  # fmt: skip
    fast = with_defaults(slow)
    assert (fast.engine.kind, fast.engine.enforce_eager) == ("vllm", False)
    assert fast.engine.max_num_seqs is None
    assert (fast.gpu, fast.agents, fast.engine.gpu_memory_utilization) == ("h100", slow.agents, 0.5)
    assert with_defaults(fast) == fast


def test_generate_with_a_cache_is_a_server_between_two_kinds() -> None:
    """It keeps generate's slow steps, computes each token once, and copies no cache."""
    hf, vllm = config("engine.kind=hf"), config()
    toggles = toggles_between(hf, vllm)
    names = [toggle.label for toggle in toggles]
    coalition = sum(1 << names.index(name) for name in ("paging", "prefix caching"))
    plan = plan_of(hf, toggles, coalition)
    assert plan.has_generate
    assert plan.config.cost.hf_kv_passes == 0
    runs = [
        simulate(histories(1), one.config, system=build(one))
        for one in (Plan(hf), plan, Plan(vllm))
    ]
    assert runs[0].makespan_ns > runs[1].makespan_ns > runs[2].makespan_ns
