"""Acceptance models: every one keeps the laws of a drafter, each its own statistics."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentsim.domain.config import Config, EngineConfig
from agentsim.domain.speculation import SpeculationConfig
from agentsim.errors import ConfigError, TraceError, UnknownName
from agentsim.policies.acceptance import DEFAULT_RATES, Acceptance, resolve
from agentsim.policies.drafters import DRAFTERS, Drafted, Drafter

MANY = 4000


def drafter(
    model: str, num_drafts: int = 4, name: str = "s/c", extra: Mapping[str, Any] = {}, **more: Any
) -> Drafter:
    acceptance = Acceptance(model=model, method="ngram", **more)
    return DRAFTERS[model](acceptance, Drafted(num_drafts, 0, name, extra))


def resolved(method: str = "ngram", **given: Any) -> Acceptance:
    engine = EngineConfig(speculative_method=method, num_speculative_tokens=2)
    return resolve(Config(engine=engine, speculation=SpeculationConfig(**given)))


def share(of: Drafter, num_drafts: int) -> float:
    return sum(of.accept(num_drafts, n * num_drafts) for n in range(MANY)) / MANY


def test_a_fixed_rate_accepts_a_geometric_run() -> None:
    """Leviathan et al.: rate + rate^2 + ... of k drafts."""
    expected = sum(0.7**n for n in range(1, 5))
    assert share(drafter("fixed", rate=0.7), 4) == pytest.approx(expected, rel=0.03)


@given(st.floats(0, 1), st.floats(0, 1), st.integers(0, 100))
def test_a_higher_rate_accepts_all_that_a_lower_one_does(a: float, b: float, at: int) -> None:
    low, high = sorted((a, b))
    assert drafter("fixed", rate=low).accept(4, at) <= drafter("fixed", rate=high).accept(4, at)


def test_positions_have_the_shares_they_were_given() -> None:
    rates = (0.8, 0.5, 0.1)
    found = drafter("per-position", num_drafts=3, rates=rates)
    accepted = [found.accept(3, n) for n in range(MANY)]
    for position, rate in enumerate(rates):
        assert sum(a > position for a in accepted) / MANY == pytest.approx(rate, abs=0.03)


def test_sequences_differ_around_the_rate_and_keep_its_mean() -> None:
    own = [share_of_one(drafter("drawn", name=f"s/{n}", rate=0.5, spread=0.2)) for n in range(200)]
    mean = sum(own) / len(own)
    spread = (sum((rate - mean) ** 2 for rate in own) / len(own)) ** 0.5
    assert mean == pytest.approx(0.5, abs=0.05)
    assert spread == pytest.approx(0.2, abs=0.04)


def share_of_one(of: Drafter) -> float:
    return sum(of.accept(1, n) for n in range(300)) / 300


def test_a_rate_at_the_edge_has_no_room_to_spread() -> None:
    assert share(drafter("drawn", rate=1.0, spread=0.3), 2) == 2.0


def test_matching_fails_as_often_as_it_is_said_to() -> None:
    found = drafter("fixed", proposal=0.25)
    assert sum(found.propose() > 0 for _ in range(MANY)) / MANY == pytest.approx(0.25, abs=0.03)


def test_a_trace_gives_lengths_in_order_and_again_from_the_first() -> None:
    found = drafter("trace", extra={"accepted_lengths": [2, 0, 9]})
    assert [found.accept(4, 0) for _ in range(4)] == [2, 0, 4, 2]


def test_a_trace_gives_a_rate_and_how_often_anything_matches() -> None:
    found = drafter("trace", extra={"ngram_acceptance": 1, "ngram_proposal": 0.0})
    assert (found.propose(), found.accept(3, 0)) == (0, 3)


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ({}, "request s/c: the acceptance model 'trace' needs the field 'accepted_lengths' or"),
        ({"medusa_acceptance": 0.5}, "'ngram_acceptance' in every call (or its session)"),
        ({"accepted_lengths": []}, "field 'accepted_lengths': expected a list of integers >= 0"),
        ({"accepted_lengths": [1, -1]}, "field 'accepted_lengths': expected a list"),
        ({"accepted_lengths": [True]}, "field 'accepted_lengths': expected a list"),
        ({"ngram_acceptance": 1.5}, "field 'ngram_acceptance': expected a number from 0 to 1"),
        ({"ngram_acceptance": 0.5, "ngram_proposal": "x"}, "field 'ngram_proposal': expected a"),
    ],
)
def test_what_a_trace_lacks_is_named(extra: dict[str, Any], message: str) -> None:
    with pytest.raises(TraceError) as caught:
        drafter("trace", extra=extra)
    assert message in str(caught.value)


def test_every_method_of_ours_has_a_default_with_a_source_or_asks_for_a_rate() -> None:
    for method in ("ngram", "draft_model", "medusa", "eagle", "eagle3", "mtp", "lookahead"):
        found = resolved(method)
        assert (found.model, found.rate) == ("fixed", DEFAULT_RATES[method][0])
        assert len(found.source) > 20
    with pytest.raises(ConfigError, match=r"speculation\.rate: no default is known for"):
        resolved("suffix")


def test_the_numbers_given_say_which_model_reads_them() -> None:
    assert resolved(rate=0.3).model == "fixed"
    assert resolved(rates=(0.3, 0.2)).model == "per-position"
    assert resolved(spread=0.2).model == "drawn"
    assert (resolved(acceptance="drawn").rate, resolved(acceptance="drawn").spread) == (0.001, 0.1)
    assert resolved("medusa", tree_tokens=64).rate > resolved("medusa").rate


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"acceptance": "fixed", "rates": (0.3, 0.2)}, "'fixed' does not read it"),
        ({"acceptance": "trace", "rate": 0.3}, "'trace' does not read it"),
        ({"acceptance": "per-position", "rate": 0.3}, "'per-position' does not read it"),
        ({"acceptance": "per-position"}, "needs one rate for each draft token"),
        ({"acceptance": "per-position", "spread": 0.1}, "'per-position' does not read it"),
    ],
)
def test_numbers_that_a_model_does_not_read_are_refused(
    given: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        resolved(**given)
    assert message in str(caught.value)


def test_an_unknown_model_is_named_with_the_nearest() -> None:
    with pytest.raises(UnknownName, match="unknown acceptance model 'fixd'; did you mean 'fixed'"):
        drafter("fixd")
