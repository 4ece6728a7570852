"""The case study's unified scores."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentsim.billing import read_terms
from agentsim.case_study import configuration, workload
from agentsim.domain.config import Config, load_config
from agentsim.domain.trace import Session, Trace
from agentsim.errors import ConfigError, TraceError, UnknownName
from agentsim.machine.system import build_system
from agentsim.study.outcomes import outcomes_of, task_scores
from agentsim.study.score import Grading, read_targets, score
from agentsim.study.score_document import Part, Scores
from agentsim.study.score_text import scores_text
from agentsim.study.weights import SUMS, default_weights, read_weights
from agentsim.workload.formats import read_trace
from study.loads import histories


def scored(trace: Trace, config: Config | None = None, **grading: Any) -> Scores:
    config = config or load_config(sets=["engine.max_model_len=4096"])
    system = build_system(config)
    return score(trace, config, system, read_terms(system.gpu), Grading(**grading))


def parts(found: Scores) -> dict[str, Part]:
    return {part.name: part for one in found.sums for part in one.parts}


def with_outcomes(*outcomes: Any) -> Trace:
    """Sessions s0, s1, ... with these outcomes."""
    plain = histories(len(outcomes), calls=1).sessions
    return Trace(
        [
            Session(session.id, session.calls, extra={"outcome": outcome} if outcome else None)
            for session, outcome in zip(plain, outcomes, strict=True)
        ]
    )


def test_better_servers_score_better_on_the_case_study() -> None:
    """Hugging Face wastes time and memory; vLLM alone with one agent loses nothing."""
    trace = workload("itbench")
    hf, full = (scored(trace, configuration(name, "itbench")) for name in ("hf", "full"))
    ours, theirs = parts(full), parts(hf)
    for name in ("Latency", "Throughput", "Memory"):
        slow, fast = theirs[name].score, ours[name].score
        assert slow is not None
        assert fast is not None
        assert slow < 0.35
        assert 0.99 < fast <= 1
    assert full.reported.time_to_solution.mean == pytest.approx(422, abs=1)
    assert full.reported.prefix_reuse == pytest.approx(1 - 38_219 / 648_971)
    assert full.reported.usd == pytest.approx(0.094, abs=0.001)


def test_prefill_and_decode_are_told_apart_and_with_the_queue_are_the_whole_call() -> None:
    """Without an API server, to the nanosecond."""
    names = ("api_request_s", "api_prompt_token_s", "api_stream_s")
    config = load_config(sets=["engine.max_model_len=4096", *(f"cost.{name}=0" for name in names)])
    one_slot = msgspec.structs.replace(
        config, engine=msgspec.structs.replace(config.engine, max_num_seqs=1)
    )
    found = scored(histories(3), one_slot).reported
    means = [one.mean for one in (found.queue, found.prefill, found.decode)]
    assert all(mean is not None and mean > 0 for mean in means)
    # one session: its life is its calls and two seconds of tools
    lone = scored(histories(1), config).reported
    total = sum(one.count * (one.mean or 0) for one in (lone.queue, lone.prefill, lone.decode))
    assert lone.time_to_solution.mean == pytest.approx(total + 2, abs=1e-9)


@pytest.mark.parametrize("timeout_s", [0.1, 1.3])
def test_each_score_lies_between_0_and_1_and_says_what_both_mean(timeout_s: float) -> None:
    """Also of a run that is late, dear and unlucky; what is not known says why."""
    config = load_config(
        sets=["engine.max_model_len=1000", "agents.too_long=skip", f"agents.timeout_s={timeout_s}"]
    )
    found = scored(histories(4), config)
    for part in parts(found).values():
        assert part.zero
        assert part.one
        assert part.why if part.score is None else 0 <= part.score <= 1
    answered = parts(found)["ErrorCost"].score
    assert answered is not None
    assert answered < 2 / 3  # a third is too long, and some time out
    assert scores_text(found)


def test_targets_replace_the_references() -> None:
    """Twice as fast as wanted is no better than as fast as wanted."""
    trace = histories(2)
    took = parts(scored(trace))["Latency"].actual
    assert took is not None
    slow, fast = (
        parts(scored(trace, targets={"latency": target}))["Latency"]
        for target in (took / 2, took * 2)
    )
    assert slow.score == pytest.approx(0.5)
    assert (fast.score, fast.reference) == (1.0, took * 2)


def test_without_outcomes_nothing_is_made_up() -> None:
    """OpEff and with it Efficiency are unknown, not 0; the rest is scored."""
    found = scored(histories(2))
    assert found.task is None
    assert found.efficiency is None
    assert [one.score is None for one in found.sums] == [False, False, True]
    comp, econ = (one.score or 0 for one in found.sums[:2])
    assert found.efficiency_known == pytest.approx((comp + econ) / 2)
    assert found.weight_known == pytest.approx(2 / 3)
    assert "the trace carries no outcomes" in scores_text(found)
    without_op = scored(histories(2), weights=read_weights(["eff.comp=0.5,eff.econ=0.5"]))
    assert without_op.efficiency == pytest.approx((comp + econ) / 2)


def test_outcomes_give_the_task_metrics() -> None:
    """By hand: accuracies 1 and 1/2, usefulness 1 and 1/2, efficacies 1 and 1/2; one perturbed."""
    trace = with_outcomes(
        {"diag": True, "root_cause": 1, "remediation": 1.0, "penalty": 0, "interventions": 0},
        {"diag": 1, "root_cause": 0.5, "remediation": 0, "penalty": 0.5, "interventions": 2},
        {"diag": 0.4, "root_cause": 0.4, "remediation": 0.4, "penalty": 0.6,
         "perturbation_of": "s0"},
        None,
    )  # fmt: skip
    found = scored(trace, max_interventions=4)
    task = found.task
    assert task is not None
    assert (task.accuracy, task.usefulness, task.efficacy) == pytest.approx((0.75, 0.75, 0.75))
    assert (task.graded, task.perturbed) == (2, 1)
    assert task.adaptivity == pytest.approx(0.4)
    assert parts(found)["Interventions"].score == pytest.approx(1 - 1 / 4)
    assert found.efficiency is not None
    assert "TaskEfficacy 0.750 (2 sessions" in scores_text(found)


def test_what_an_outcome_lacks_is_unknown() -> None:
    """Not 0; unless its weight is 0."""
    outcomes = outcomes_of(with_outcomes({"diag": 1, "penalty": 0.2}))
    assert task_scores(outcomes, default_weights()).efficacy is None
    weights = read_weights(["acc.diag=1", "task.accuracy=0.5,task.usefulness=0.5"])
    assert task_scores(outcomes, weights).efficacy == pytest.approx(0.9)


@pytest.mark.parametrize(
    ("outcome", "message"),
    [
        ({"diag": 2}, r"session 's0': .*<= 1.*outcome.diag"),
        ({"diagnosis": 1}, "session 's0': .*unknown field 'diagnosis'"),
        ({"interventions": -1}, "session 's0': .*>= 0.*outcome.interventions"),
        ({"perturbation_of": "s9"}, "session 's0': .*outcome.perturbation_of.*'s9'"),
        ("good", "session 's0': .*object"),
    ],
)
def test_outcomes_that_are_none_are_refused(outcome: Any, message: str) -> None:
    """Naming session and field, before anything runs."""
    with pytest.raises(TraceError, match=message):
        scored(with_outcomes(outcome))


def test_outcomes_are_read_from_a_trace(tmp_path: Path) -> None:
    """A field of the session line."""
    lines = [
        {"type": "session", "session": "s", "outcome": {"interventions": 5}},
        {"type": "call", "session": "s", "input_tokens": 10, "output_tokens": 2},
    ]
    path = tmp_path / "t.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    found = scored(read_trace(path))
    assert parts(found)["Interventions"].score == 0


@given(st.sampled_from(list(SUMS)), st.lists(st.integers(0, 50), min_size=3, max_size=3))
def test_weights_that_add_up_to_1_are_taken_and_others_refused(
    name: str, hundredths: list[int]
) -> None:
    """In each sum, and all other sums keep equal weights."""
    names = SUMS[name]
    given = dict(zip(names, hundredths, strict=False))
    text = ",".join(f"{name}.{part}={number / 100}" for part, number in given.items())
    if sum(given.values()) == 100:
        weights = read_weights([text])
        assert weights[name] == {part: number / 100 for part, number in given.items()}
        assert {k: v for k, v in weights.items() if k != name} == {
            k: v for k, v in default_weights().items() if k != name
        }
    else:
        with pytest.raises(ConfigError, match=rf"{name}\.{names[0]} .* = .*: expected a sum of 1"):
            read_weights([text])


def test_weights_come_from_a_file_too(tmp_path: Path) -> None:
    """Tables of the sums."""
    path = tmp_path / "w.toml"
    path.write_text("[comp]\nlat = 0.5\nmem = 0.5\n[task]\naccuracy = 1\n")
    weights = read_weights([str(path)])
    assert weights["comp"] == {"lat": 0.5, "mem": 0.5, "thr": 0.0}
    assert weights["task"] == {"accuracy": 1.0, "usefulness": 0.0}
    assert all(math.isclose(sum(one.values()), 1) for one in weights.values())


@pytest.mark.parametrize(
    ("texts", "error", "message"),
    [
        (["comp.lta=1"], UnknownName, "unknown weight 'comp.lta'; did you mean 'comp.lat'"),
        (["comp.lat=2"], ConfigError, "comp.lat: expected a number from 0 to 1, got 2"),
        (["comp.lat=x"], ConfigError, "comp.lat: expected a number from 0 to 1, got 'x'"),
        (["comp.lat=nan"], ConfigError, "comp.lat: expected a number from 0 to 1, got nan"),
        (["comp.lat"], ConfigError, "'comp.lat': expected NAME=NUMBER"),
        (["comp.lat=1", "comp.lat=1"], ConfigError, "comp.lat: given twice"),
        (["gone.toml"], ConfigError, "gone.toml: no such file"),
    ],
)
def test_wrong_weights_are_refused(texts: list[str], error: type, message: str) -> None:
    """One line each."""
    with pytest.raises(error, match=message):
        read_weights(texts)


def test_wrong_targets_are_refused() -> None:
    """One line each."""
    with pytest.raises(UnknownName, match="did you mean 'latency'"):
        read_targets(("latencies=3",))
    with pytest.raises(ConfigError, match=r"cost: expected a number > 0, in .*got '-1'"):
        read_targets(("cost=-1",))
