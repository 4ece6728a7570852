"""What speculation gains or loses: laws of whole runs."""

from __future__ import annotations

import msgspec
import pytest

from agentsim.domain.batch import BatchShape
from agentsim.domain.records import Run
from agentsim.domain.trace import Call, Session, Trace
from agentsim.machine.system import build_system
from agentsim.report.summary import summarize
from agentsim.report.text import to_text
from agentsim.speculation import PlainSteps, compare
from speculation.replays import FREE, METHODS, compared, config, replay, trace

PARTS = ("synchronous_s", "memory_s", "accepted_s", "verification_s", "proposal_s")


def test_the_parts_add_up_to_what_was_lost() -> None:
    for method in METHODS:
        told = compared(config(method))
        assert sum(told[part] for part in PARTS) == pytest.approx(-told["gained_s"], abs=1e-9)


@pytest.mark.parametrize("method", sorted(METHODS))
def test_zero_acceptance_never_gains(method: str) -> None:
    """Every part of it takes time, or none; the whole is slower than without."""
    told = compared(config(method, rate=0.0))
    assert told["gained_s"] < 0
    assert all(told[part] >= 0 for part in PARTS), told


@pytest.mark.parametrize("method", sorted(METHODS))
def test_the_gain_grows_with_the_rate(method: str) -> None:
    alone = trace(num_sessions=1)
    runs = [replay(config(method, rate=rate), alone) for rate in (0, 0.2, 0.5, 0.8, 1)]
    lengths = [run.makespan_ns for run in runs]
    assert lengths == sorted(lengths, reverse=True)
    assert lengths[0] > lengths[-1]


def test_perfect_drafts_for_nothing_take_so_many_times_fewer_steps() -> None:
    """k + 1 tokens a step, but for the first token of each call and a rest at its end."""
    alone = trace(num_sessions=1)
    sync = {"async_scheduling": False}
    plain = replay(config(engine=sync), alone)
    for num_drafts in (1, 3, 7):
        run = replay(config("ngram", num_drafts, rate=1.0, engine=sync, **FREE), alone)
        outputs = plain.requests["output_tokens"]
        steps = sum(1 + -(-(int(output) - 1) // (num_drafts + 1)) for output in outputs)
        assert len(run.steps["step"]) == steps
        told = compared(config("ngram", num_drafts, rate=1.0, engine=sync, **FREE), alone)
        decode = summarize(plain, None).agent.decode_s
        assert told["accepted_s"] == pytest.approx(-decode * (1 - 1 / (num_drafts + 1)), rel=0.05)


@pytest.mark.parametrize("method", sorted(METHODS))
def test_tokens_are_conserved(method: str) -> None:
    """Whatever is accepted, each call gets its answer, and each draft is kept or lost."""
    for rate in (0.0, 0.4, 1.0):
        run = replay(config(method, rate=rate))
        plain = replay(config())
        made, asked = (sorted(r.requests["output_tokens"].tolist()) for r in (run, plain))
        assert made == asked
        assert int(run.steps["new_tokens"].sum()) == int(plain.requests["output_tokens"].sum())
        drafted, accepted = (
            int(run.requests[name].sum()) for name in ("drafted_tokens", "accepted_tokens")
        )
        assert 0 <= accepted <= drafted <= int(run.steps["num_drafts"].sum())


def test_methods_that_vllm_cannot_overlap_pay_for_synchronous_steps() -> None:
    for method in METHODS:
        forced = compared(config(method, rate=0.0))["synchronous_s"]
        overlaps = method in ("draft_model", "eagle", "eagle3", "mtp")
        assert (forced == 0) == overlaps


def test_memory_is_paid_where_the_cache_runs_short() -> None:
    """A tight cache evicts more beside Medusa heads; a wide one does not care."""
    tight = {"gpu_memory_utilization": 0.1685, "max_model_len": 1800}
    many = trace(num_sessions=5)
    assert compared(config("medusa", 2, engine=tight), many)["memory_s"] > 0
    assert compared(config("medusa", 2), many)["memory_s"] == 0


def test_without_matches_there_is_nothing_to_verify() -> None:
    run = replay(config("ngram", proposal=0.0))
    assert summarize(run).speculation is None
    assert int(run.steps["num_drafts"].sum()) == 0


def told(run: Run) -> dict[str, object]:
    found = summarize(run).speculation
    assert found is not None
    return dict(msgspec.to_builtins(found))


def test_the_result_tells_length_acceptance_and_waste() -> None:
    run = replay(config("ngram", 3, rate=1.0))
    found = told(run)
    assert found["acceptance"] == 1.0
    assert found["accepted_length"] == 4.0
    assert (found["wasted"], found["without"]) == (0, None)
    lost = told(replay(config("ngram", 3, rate=0.0)))
    assert lost["wasted"] == lost["drafted"]
    assert lost["accepted_length"] == 1.0


def test_the_screen_tells_what_was_gained_and_why() -> None:
    settings = config("ngram", 3, rate=0.0)
    run = compare(trace(), settings, replay(settings), build_system(settings))
    text = " ".join(to_text(run, summarize(run)).split())
    assert "tokens a step; lost" in text
    assert "without it: synchronous scheduling +" in text
    plain = replay(config())
    assert compare(trace(), config(), plain, build_system(config())) is plain


def test_each_verification_is_drawn_anew() -> None:
    """In a long answer the accepted lengths come out as the rate says."""
    call = Call(id="a", input_tokens=50, output_tokens=5000, finish="length")
    run = replay(config("ngram", 3, rate=0.5), Trace([Session(id="s", calls=(call,))]))
    found = told(run)
    assert found["accepted_length"] == pytest.approx(1 + 0.5 + 0.25 + 0.125, rel=0.02)


def test_steps_without_their_drafts_are_those_of_plain_decoding() -> None:
    base = build_system(config(engine={"async_scheduling": False})).cost
    plain = BatchShape(3, 3, 3, decode_context=3000, window_decode_context=3000)
    verifying = BatchShape(
        15, 3, 15, decode_context=3012, window_decode_context=3012, num_drafts=12
    )
    assert PlainSteps(base).step_ns(verifying) == base.step_ns(plain) < base.step_ns(verifying)
