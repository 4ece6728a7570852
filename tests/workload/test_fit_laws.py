"""Laws that every way of fitting keeps, over random traces."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentsim.domain.trace import Trace
from agentsim.workload.fit import fit_to_limit
from agentsim.workload.write import records_of
from workload.generated import Token, common, spelled_out, traces
from workload.texts import read_bytes, text_of

LIMITS = st.integers(2, 60)
MODES = pytest.mark.parametrize("mode", ["skip", "truncate", "compact"])


def _fit(trace: Trace, limit: int, mode: str) -> Trace:
    return fit_to_limit(trace, limit, mode)


@MODES
@given(trace=traces(), limit=LIMITS)
def test_no_prompt_is_left_beyond_the_limit(mode: str, trace: Trace, limit: int) -> None:
    for session in _fit(trace, limit, mode):
        assert all(call.input_tokens < limit for call in session.calls)


@MODES
@given(trace=traces(), limit=LIMITS)
def test_the_result_is_again_a_valid_trace(mode: str, trace: Trace, limit: int) -> None:
    """Every reference resolves, keep stays within its base, segments add up."""
    fitted = _fit(trace, limit, mode)
    if len(fitted):
        assert read_bytes(text_of(*map(json.dumps, records_of(fitted)))).sessions == fitted.sessions


def _prompt_tokens(trace: Trace) -> int:
    return sum(call.input_tokens for session in trace for call in session.calls)


@MODES
@given(trace=traces(), limit=LIMITS)
def test_what_is_lost_is_counted(mode: str, trace: Trace, limit: int) -> None:
    fitted = _fit(trace, limit, mode)
    lost = {
        "skip": "prompt tokens of skipped calls",
        "truncate": "prompt tokens truncated",
        "compact": "prompt tokens saved by compaction",
    }[mode]
    assert _prompt_tokens(trace) == _prompt_tokens(fitted) + fitted.notes.get(lost, 0)
    skipped = sum(fitted.notes.get(f"calls skipped: {why}", 0) for why in _WHY_SKIPPED)
    assert trace.num_calls == fitted.num_calls + skipped


_WHY_SKIPPED = ("prompt too long", "after a skipped call")


@MODES
@given(trace=traces(), limit=LIMITS)
def test_order_outputs_and_waits_stay(mode: str, trace: Trace, limit: int) -> None:
    old = {(s.id, c.id): c for s in trace for c in s.calls}
    for session in _fit(trace, limit, mode):
        for call in session.calls:
            before = old[session.id, call.id]
            assert call.output_tokens == before.output_tokens
            assert (call.after, call.delay_ns, call.at_ns) == (
                before.after,
                before.delay_ns,
                before.at_ns,
            )


@MODES
@given(trace=traces(), limit=LIMITS)
def test_fitting_invents_no_sharing(mode: str, trace: Trace, limit: int) -> None:
    """No two prompts share more than they did."""
    old = _spelled(trace)
    new = _spelled(_fit(trace, limit, mode))
    names = list(new)
    for index, later in enumerate(names):
        for earlier in names[:index]:
            before = common(old[later][0], old[earlier][0] + old[earlier][1])
            now = common(new[later][0], new[earlier][0] + new[earlier][1])
            assert now <= before


def _spelled(trace: Trace) -> dict[tuple[str, str], tuple[list[Token], list[Token]]]:
    return {
        (session, call.id): (prompt, output) for session, call, prompt, output in spelled_out(trace)
    }
