"""The cheapest deployment within objectives."""

from __future__ import annotations

import dataclasses
import json

import jsonschema
import msgspec
import pytest

from agentsim.errors import ConfigError
from agentsim.simulator import simulate
from agentsim.study.capacity import with_agents
from agentsim.study.figures import Measured
from agentsim.study.plan import Plan, plan
from agentsim.study.plan_document import PlanDocument, plan_json
from agentsim.study.plan_text import plan_text
from agentsim.study.planner import Infeasible
from agentsim.study.space import Space
from agentsim.study.variants import Sources
from study.loads import agents

TRACE = agents(4, calls=3, tokens=1500)
SLO = ("p95 ttft < 800ms", "p90 session < 12s")
VARY = ("gpu=l4,l40s,h100", "engine.tensor_parallel_size=1,2", "cluster.replicas=1,2,3,4")
BASE = Sources(sets=("agents.num_agents=24",))


def made(**more: object) -> Plan:
    settings = {"sources": BASE, "vary": VARY, "trials": 12, "samples": 3} | more
    return plan(TRACE, more.pop("slo", SLO), **{k: v for k, v in settings.items() if k != "slo"})  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def found() -> Plan:
    return made()


def test_the_answer_keeps_every_objective_when_it_is_simulated_again(found: Plan) -> None:
    run = simulate(TRACE, found.best.option.config(found.space.base))
    for one in found.objectives:
        value = one.figure.of(Measured(run))
        assert value == found.best.values[one.figure.name]
        assert one.is_met(value)


def test_nothing_cheaper_on_the_plain_settings_keeps_them(found: Plan) -> None:
    """Every count of every platform, simulated to its end."""
    space: Space = found.space
    limit = space.rent(found.best.option)
    for platform in space.platforms():
        for number in space.counts(platform):
            option = space.option(platform, number)
            if space.rent(option) >= limit or platform in found.unfit:
                continue
            run = simulate(TRACE, option.config(space.base))
            values = {o.figure.name: o.figure.of(Measured(run)) for o in found.objectives}
            assert not all(o.is_met(values[o.figure.name]) for o in found.objectives), option


def test_the_front_is_what_nothing_beats(found: Plan) -> None:
    """By options with the user's own formats; the answer stands first."""
    space, name = found.space, found.latency.name
    assert found.front[0].option == found.best.option
    own = [
        one
        for one in found.tried
        if one.is_met(found.objectives) and not one.option.changes_quality(space.base)
    ]
    for one in found.front[1:]:
        rent, latency = space.rent(one.option), one.values[name]
        assert latency is not None
        for other in own:
            value = other.values[name]
            assert value is not None
            assert not (space.rent(other.option) <= rent and value < latency)
    rents = [space.rent(one.option) for one in found.front]
    assert rents == sorted(set(rents))


def test_more_replicas_may_be_worse_and_one_is_found_all_the_same() -> None:
    """A session costs less on one GPU than on eight."""
    found = plan(
        TRACE, ("cost/session < $0.02",), sources=BASE, vary=("gpu=h100",), trials=0, samples=0
    )
    assert found.best.option.num_gpus == 1


def test_the_capacity_is_where_objectives_begin_to_fail(found: Plan) -> None:
    capacity = found.capacity
    assert capacity is not None
    assert capacity.agents >= 1
    one = dataclasses.replace(capacity.option, replicas=1).config(found.space.base)
    values = []
    for number in (capacity.agents, capacity.agents + max(1, round(0.02 * capacity.agents))):
        run = simulate(TRACE, with_agents(one, number))
        values.append({o: o.figure.of(Measured(run)) for o in found.objectives})
    assert all(o.is_met(values[0][o]) for o in found.objectives)
    if capacity.binding is not None:
        assert not all(o.is_met(values[1][o]) for o in found.objectives)
    assert [point.agents for point in capacity.curve] == sorted(p.agents for p in capacity.curve)
    table = capacity.frame()
    assert list(table.agents) == [point.agents for point in capacity.curve]
    assert list(table.is_met) == [point.is_met for point in capacity.curve]
    assert set(table.columns) == {"agents", "is_met", *capacity.curve[0].values}


def test_what_moves_the_answer_is_asked_both_ways(found: Plan) -> None:
    assert [(one.what, one.factor) for one in found.moves] == [
        ("tool time", 0.8), ("tool time", 1.2), ("growth", 0.8), ("growth", 1.2),
        ("load", 0.8), ("load", 1.2),
    ]  # fmt: skip
    for one in found.moves:
        assert one.holds == (one.missed is None)
        if one.holds:
            assert one.answer is not None


def test_every_other_gpu_has_a_reason(found: Plan) -> None:
    reasons = found.rejected()
    assert set(reasons) == set(found.space.rents) - {found.best.option.platform.gpu}
    for why in reasons.values():
        assert any(word in why for word in ("dearer", "misses", "price", "does not fit")), why


def test_the_break_even_is_where_rent_and_api_cost_the_same(found: Plan) -> None:
    for one in found.even:
        assert one.calls_a_day is not None
        assert one.calls_a_day * one.usd_per_call == pytest.approx(one.usd_a_day)
        assert one.usd_a_day == pytest.approx(24 * found.space.rent(found.best.option))


def test_the_same_plan_with_any_number_of_processes(found: Plan) -> None:
    assert plan_json(made(jobs=2)) == plan_json(found)


def test_json_is_what_its_schema_says(found: Plan) -> None:
    document = json.loads(plan_json(found))
    jsonschema.validate(document, msgspec.json.schema(PlanDocument))
    assert document["answer"]["name"] == found.best.option.name()
    assert len(document["options"]) == len(found.tried) == len(found.frame())


def test_the_answer_comes_with_its_command_and_what_it_leaves_out() -> None:
    sources = Sources(sets=("agents.too_long=skip", "engine.max_model_len=4000"))
    found = plan(
        TRACE, ("p95 ttft < 9s",), sources=sources, vary=("gpu=h100",), trials=0, samples=0
    )
    text = plan_text(found)
    assert "agentsim replay TRACE --gpu h100 --model" in text
    assert "Note: " in text
    document = json.loads(plan_json(found))
    assert document["notes"]
    assert "--set engine.max_model_len=4000" in document["replay"]


def test_the_text_fits_a_screen_and_begins_with_the_answer(found: Plan) -> None:
    text = plan_text(found)
    assert text.startswith(found.best.option.name())
    assert max(map(len, text.splitlines())) <= 80


def test_hopeless_objectives_name_the_nearest_and_what_binds() -> None:
    with pytest.raises(Infeasible) as told:
        made(slo=("p95 ttft < 1ms", "p90 session < 1h"), vary=("gpu=l4",), trials=2)
    message = str(told.value)
    assert "\n" not in message
    assert "no option keeps all objectives; nearest is" in message
    assert "'p95 ttft < 1ms' binds" in message


def test_a_budget_that_is_too_small_names_what_would_do() -> None:
    with pytest.raises(Infeasible, match=r"within \$0.80/h .* or --budget \$"):
        made(budget="$0.80/h", trials=2)


def test_the_interval_of_the_answer_comes_from_its_parameter_sets(found: Plan) -> None:
    assert len(found.best.sampled) == 3
    if found.sure is not None:
        for values in found.sure.sampled:
            assert all(o.is_met(values[o.figure.name]) for o in found.objectives)


def test_without_an_objective_there_is_no_plan() -> None:
    with pytest.raises(ConfigError, match="no objective: give --slo"):
        plan(TRACE, ())


def test_a_spot_price_says_what_it_means() -> None:
    found = plan(TRACE, ("p95 ttft < 9s",), vary=("gpu=l40s",), spot=True, trials=0, samples=0)
    assert found.space.rent(found.best.option) == pytest.approx(0.941)
    assert "can be taken away at any time" in " ".join(plan_text(found).split())


def test_json_names_what_was_not_even_tried() -> None:
    found = plan(
        TRACE, ("p95 ttft < 9min",), vary=("gpu=l4,h100",), budget="$1/h", trials=0, samples=0
    )
    document = json.loads(plan_json(found))
    assert "does not fit" in document["not_tried"]["l4 qwen2.5-14b tp=1"]
    assert document["not_tried"]["h100 qwen2.5-14b tp=1"].startswith("price")


def test_dearer_gpus_stand_on_the_front_with_a_given_number_of_replicas() -> None:
    sources = Sources(sets=(*BASE.sets, "cluster.replicas=2"))
    found = plan(
        TRACE, ("p95 ttft < 9min",), sources=sources, vary=("gpu=l4,h100",), trials=0, samples=0
    )
    assert {one.option.platform.gpu for one in found.tried} == {"l4", "h100"}
    assert {one.option.replicas for one in found.tried} == {2}
