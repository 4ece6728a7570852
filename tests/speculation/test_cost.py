"""Step times of verification and of proposals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentsim.domain.batch import BatchShape
from agentsim.machine.speculative import SpeculativeCost
from agentsim.machine.system import build_system
from speculation.replays import METHODS, config


def cost(method: str, num_drafts: int = 3, **more: Any) -> SpeculativeCost:
    found = build_system(config(method, num_drafts, **more)).cost
    assert isinstance(found, SpeculativeCost)
    return found


COSTS = {method: cost(method) for method in METHODS}


def verification(seqs: int, num_drafts: int = 3, context: int = 1000) -> BatchShape:
    tokens = seqs * (1 + num_drafts)
    return BatchShape(
        num_tokens=tokens,
        num_seqs=seqs,
        num_sampled=tokens,
        decode_context=seqs * context,
        window_decode_context=seqs * context,
        num_drafts=seqs * num_drafts,
    )


@st.composite
def shapes(draw: st.DrawFn) -> BatchShape:
    """A step of verifications and perhaps a chunk of a prompt."""
    shape = verification(draw(st.integers(1, 40)), context=draw(st.integers(4, 9000)))
    chunk = draw(st.sampled_from([0, 0, 17, 900]))
    if not chunk:
        return shape
    context = chunk + draw(st.integers(0, 3000))
    return shape._replace(
        num_tokens=shape.num_tokens + chunk,
        num_seqs=shape.num_seqs + 1,
        prefill_tokens=chunk,
        prefill_pairs=chunk * context,
        prefill_context=context,
        window_pairs=chunk * context,
        window_prefill_context=context,
    )


@given(st.sampled_from(sorted(METHODS)), shapes())
def test_the_parts_of_a_step_add_up_to_it(method: str, shape: BatchShape) -> None:
    columns = {name: np.array([value]) for name, value in shape._asdict().items()}
    parts = COSTS[method].parts(columns)
    step_s = COSTS[method].step_ns(shape) * 1e-9
    causes = ("weights", "attention", "lm_head", "communication", "overhead", "proposal")
    assert sum(float(parts[name][0]) for name in causes) == pytest.approx(step_s, abs=2e-9)
    spent = sum(float(parts[name][0]) for name in ("prefill_s", "decode_s", "overhead_s"))
    assert spent == pytest.approx(step_s, abs=2e-9)
    for name, value in parts.items():
        assert value[0] >= -1e-12, name
        assert value[0] <= step_s + 2e-9, name


@given(st.sampled_from(sorted(METHODS)), shapes())
def test_drafting_never_makes_a_step_shorter(method: str, shape: BatchShape) -> None:
    assert COSTS[method].step_ns(shape) >= COSTS[method].without_proposal().step_ns(shape)


@pytest.mark.parametrize("method", sorted(METHODS))
def test_a_stride_is_its_steps(method: str) -> None:
    shape = BatchShape(4, 4, 4, decode_context=400, window_decode_context=400)
    found = COSTS[method].decode_steps_ns(shape, 5, 4)
    grown = [
        shape._replace(decode_context=400 + 4 * i, window_decode_context=400 + 4 * i)
        for i in range(5)
    ]
    assert found.tolist() == [COSTS[method].step_ns(step) for step in grown]


def test_verifying_costs_a_little_more_than_decoding_alone() -> None:
    """A few tokens more share the same weights: that is why speculation can gain at all."""
    plain = build_system(config(engine={"async_scheduling": False})).cost
    one = plain.step_ns(BatchShape(1, 1, 1, decode_context=1000))
    verified = COSTS["ngram"].without_proposal().step_ns(verification(1))
    assert one < verified < 1.15 * one


def test_a_verification_is_padded_to_graphs_of_whole_sequences() -> None:
    """6 tokens each: a batch of 3 runs in a graph of 18 or 24, never of 20 (vLLM 0.32)."""
    sizes = {"engine": {"cudagraph_capture_sizes": (1, 2, 4, 8, 20, 40)}}
    target = build_system(config("ngram", 5, **sizes)).cost
    found = target._verification.coefficients  # type: ignore[union-attr]
    assert [found.padded_decode[n] for n in (6, 12, 18, 24)] == [6, 12, 24, 24]
    assert found.largest_decode_graph == 24
    assert [found.padded[n] for n in (3, 6, 18, 25)] == [4, 8, 20, 40]


def test_a_draft_model_runs_once_a_draft() -> None:
    """Each further draft costs a pass of one token; the first pass also takes the prompt."""
    shape = verification(1)
    lengths = [cost("draft_model", n)._proposal.sides_ns(shape)[0] for n in (1, 2, 3, 4)]
    passes = np.diff(lengths)
    assert passes == pytest.approx(passes[0], rel=0.01)
    prompt = shape._replace(
        num_tokens=2000, num_sampled=1, prefill_tokens=2000, prefill_pairs=2_000_000,
        prefill_context=2000, decode_context=0, window_decode_context=0, num_drafts=0,
    )  # fmt: skip
    first = cost("draft_model", 1)._proposal
    assert first.sides_ns(prompt)[0] > first.sides_ns(shape)[0]


def test_the_draft_models_own_roofline_is_used() -> None:
    shape = verification(1)
    small, large = (
        cost("draft_model", draft_model=name)._proposal.sides_ns(shape)[0]
        for name in ("qwen2.5-0.5b", "qwen2.5-1.5b")
    )
    assert large > 1.1 * small


def test_matching_is_cpu_time_that_grows_with_context_and_sequences() -> None:
    found = COSTS["ngram"]._proposal
    assert found.sides_ns(verification(1, context=30_000))[0] == 0.0
    # measured: 33 us at one sequence of 30,000 tokens, 830 us at 32 of them
    assert found.sides_ns(verification(1, context=30_000))[1] == pytest.approx(33e3, rel=0.25)
    assert found.sides_ns(verification(32, context=30_000))[1] == pytest.approx(830e3, rel=0.25)


def test_lookahead_computes_its_branches_as_the_paper_counts_them() -> None:
    """(W + G) (N - 1) tokens a sequence: W 15, N 5, G 15 are 120."""
    plan = cost("lookahead", 4)._plan
    assert (plan.verified_tokens, plan.extra_tokens) == (120, 115)
    assert plan.sampled_rows == 1 + 15 + 15 * 4
    small = cost("lookahead", 4, window=2, guesses=1).step_ns(verification(8, 4))
    assert cost("lookahead", 4).step_ns(verification(8, 4)) > small


def test_a_tree_computes_its_nodes() -> None:
    plan = cost("medusa", 4, tree_tokens=64)._plan
    assert (plan.verified_tokens, plan.extra_tokens, plan.extra_rows) == (64, 59, 59)
    chain, tree = cost("medusa", 4), cost("medusa", 4, tree_tokens=64)
    assert tree.step_ns(verification(16, 4)) > chain.step_ns(verification(16, 4))


def test_medusa_heads_and_eagle_passes_cost_less_than_a_draft_model() -> None:
    shape = verification(1)
    spent = {method: COSTS[method]._proposal.sides_ns(shape)[0] for method in METHODS}
    assert 0 < spent["medusa"] < spent["draft_model"]
    assert 0 < spent["eagle3"] < spent["eagle"] < spent["draft_model"]
    assert spent["lookahead"] == 0
