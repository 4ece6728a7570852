"""Profiles fitted to traces: what was generated from a profile gives that profile back."""

from __future__ import annotations

import itertools
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from agentsim.domain.trace import Call, Header, Session, Tool, Trace
from agentsim.errors import ConfigError, TraceError
from agentsim.workload.formats import read_trace
from agentsim.workload.generate import fit
from agentsim.workload.generate.distribution import Distribution, Lognormal, Quantiles
from agentsim.workload.generate.estimate import TOLERANCE, fit_distribution, product_limit
from agentsim.workload.generate.fields import profile_text, write_profile
from agentsim.workload.generate.fit import fit_profile
from agentsim.workload.generate.profile import (
    Profile,
    load_profile,
    parse_profile,
    shipped_profiles,
)
from agentsim.workload.generate.sessions import generate
from workload.generated import traces

S = 1_000_000_000
PERCENTILES = (0.1, 0.25, 0.5, 0.75, 0.9)


def again(profile: Profile, count: int) -> Profile:
    """The profile fitted to sessions drawn from it, through the text of its file."""
    fitted = fit_profile(Trace(generate(profile, count, seed=7)))
    return parse_profile(tomllib.loads(profile_text(fitted.profile, fitted.comments)), "again")


def close(found: Distribution, true: Distribution, rel: float, unit: float = 0.0) -> None:
    """The quartiles and tenths agree within `rel`, and within half of what is rounded away."""
    for at in PERCENTILES:
        around = [true.value_at(at + step) for step in (-0.03, 0.0, 0.03)]
        low, high = min(around) * (1 - rel) - unit / 2, max(around) * (1 + rel) + unit / 2
        assert low <= found.value_at(at) <= high, at


@pytest.mark.parametrize("name", shipped_profiles())
def test_a_generated_trace_gives_its_profile_back(name: str) -> None:
    true = load_profile(name)
    found = again(true, 400)
    close(found.session.calls, true.session.calls, 0.1, 1)
    close(found.output.tokens, true.output.tokens, 0.1, 1)
    close(found.prompt.first, true.prompt.first, 0.15, 1)
    close(found.prompt.appended, true.prompt.appended, 0.15, 1)
    if found.prompt.appended_user is not None and true.prompt.appended_user is not None:
        close(found.prompt.appended_user, true.prompt.appended_user, 0.2)
    assert found.head_tokens == true.head_tokens
    assert (found.early is None) == (true.early is None)
    for field in ("shrink", "breaks"):
        one, other = getattr(found, field), getattr(true, field)
        if other is not None:
            assert one.chance == pytest.approx(other.chance, rel=0.3)
    assert found.compaction is not None or true.compaction is None
    if found.user is not None and true.user is not None:
        close(found.user.wait_s, true.user.wait_s, 0.2)
    shares = {tool.name: tool.share for tool in found.tools.classes}
    for tool in true.tools.classes:
        assert shares[tool.name] == pytest.approx(tool.share, rel=0.1)
        seen = next(each for each in found.tools.classes if each.name == tool.name)
        close(seen.time_s, tool.time_s, 0.15)


def test_contexts_of_a_generated_trace_end_where_the_profile_says() -> None:
    true, found = load_profile("interactive-coding"), again(load_profile("interactive-coding"), 800)
    assert found.compaction is not None
    assert true.compaction is not None
    for at in (0.25, 0.4, 0.6):
        low, high = (true.compaction.at.value_at(at + step) for step in (-0.06, 0.06))
        assert 0.95 * low <= found.compaction.at.value_at(at) <= 1.05 * high


def test_sub_agents_are_told_from_agents_that_are_handed_over_to() -> None:
    profile = load_profile("interactive-coding")
    found = again(profile, 800).sub_agents
    assert found is not None
    assert profile.sub_agents is not None
    assert found.session_share == pytest.approx(profile.sub_agents.session_share, rel=0.5)
    assert found.system_tokens == profile.sub_agents.system_tokens
    close(found.calls, profile.sub_agents.calls, 0.35, 1)
    sre = read_trace(Path(__file__).parents[2] / "traces" / "itbench-sre.jsonl")
    assert fit_profile(sre).profile.sub_agents is None
    assert fit_profile(sre).profile.session.calls.plain() == 93


# ------------------------------------------------------------------------------- what is found


def calls(count: int, **fields: Any) -> tuple[Call, ...]:
    """A chain of calls that each append 50 tokens after a tool."""
    made: list[Call] = []
    for turn in range(count):
        before = made[-1] if made else None
        keep = before.input_tokens + before.output_tokens if before else 0
        told = {"delay_ns": S, "trigger": "tool", **fields} if before else {"trigger": "user"}
        made.append(
            Call(
                f"main/{turn}",
                keep + 50 if before else 100,
                20 + turn % 3,
                (before.id,) if before else (),
                turn=turn,
                extends=before.id if before else None,
                keep=keep,
                **told,
            )
        )
    return tuple(made)


def test_few_calls_are_refused() -> None:
    with pytest.raises(TraceError, match="holds 19 calls: expected at least 20"):
        fit_profile(Trace([Session("s", calls(19))]))
    assert fit_profile(Trace([Session("s", calls(20))])).profile.session.calls.plain() == 20


def test_what_a_trace_does_not_say_is_listed() -> None:
    plain = calls(30, delay_ns=None, trigger=None)
    trace = Trace([Session("s", plain)], Header(source="mine", tokenizer="t"))
    about = fit_profile(trace).profile.profile
    assert about.tokenizer == "t"
    assert about.source == "fitted to 30 calls of 1 sessions: mine"
    told = " ".join(about.unknown)
    assert "session.system_tokens: the trace does not say" in told
    assert "waits that are not in the trace: 29" in told
    assert "taken as tools: 29" in told
    assert "tools.classes.tool.time_s: no value in the trace" in told


def test_a_stated_head_is_taken_off_the_first_prompts() -> None:
    found = fit_profile(Trace([Session("s", calls(30))]), shared_prefix_tokens=60).profile
    assert found.head_tokens == 60
    assert found.prompt.first.plain() == 40


def test_tools_are_classes_with_their_own_times() -> None:
    def with_tools(call: Call, place: int) -> Call:
        import msgspec

        tools = (Tool("fast", S // 100), Tool("slow", 3 * S))[: 1 + place % 2]
        return msgspec.structs.replace(call, tools=tools, delay_ns=3 * S + S // 10)

    session = Session("s", tuple(with_tools(call, n) for n, call in enumerate(calls(201))))
    tools = fit_profile(Trace([session])).profile.tools
    assert {tool.name: (tool.share, tool.time_s.plain()) for tool in tools.classes} == {
        "fast": (0.6667, 0.01),
        "slow": (0.3333, 3.0),
    }
    assert tools.per_call.value_at(0.9) == 2
    assert tools.client_s.value_at(0.1) == pytest.approx(0.1)


# ------------------------------------------------------------------------------- distributions


def test_a_lognormal_is_found_where_values_are_and_quantiles_elsewhere() -> None:
    rng = np.random.default_rng(1)
    near, how = fit_distribution(rng.lognormal(5, 0.8, 4000).tolist())
    assert isinstance(near.parts[0][1], Lognormal)
    assert near.parts[0][1].median == pytest.approx(np.exp(5), rel=0.05)
    assert how.startswith("4,000 values; lognormal, ")
    two_modes = [*rng.lognormal(0, 0.2, 2000), *rng.lognormal(6, 0.2, 2000)]
    poor, how = fit_distribution(two_modes)
    assert isinstance(poor.parts[0][1], Quantiles)
    assert "quantiles: a lognormal misses" in how
    assert fit_distribution([4.0])[0].plain() == 4


@given(st.lists(st.floats(0, 1e9), min_size=1, max_size=60))
def test_a_fit_is_within_its_tolerance_and_its_values_within_those_seen(
    values: list[float],
) -> None:
    found, how = fit_distribution(values)
    assert found.least >= min(values) * (1 - 1e-3)
    assert found.most <= max(values) * (1 + 1e-3)
    if "lognormal, " in how:
        for at in (0.1, 0.5, 0.9):
            wanted = float(np.quantile(values, at))
            assert found.value_at(at) == pytest.approx(wanted, rel=TOLERANCE + 1e-3)


def test_where_contexts_end_is_estimated_from_those_that_went_on_too() -> None:
    """Half end at 100; the others are seen until 50 only: that tells nothing of their end."""
    found = product_limit([(10, 100, True)] * 40 + [(10, 50, False)] * 40, 1000)
    assert found.value_at(0.5) == 100
    late = product_limit([(10, 100, True)] * 20 + [(10, 200, False)] * 20, 1000)
    assert late.value_at(0.4) == 100
    assert late.value_at(0.6) == 1000


@given(
    st.lists(
        st.tuples(st.integers(1, 50), st.integers(0, 50), st.booleans()), min_size=1, max_size=30
    )
)
def test_the_estimate_is_that_of_one_step_after_the_other(
    told: list[tuple[int, int, bool]],
) -> None:
    contexts = [(begin, begin + more, ended) for begin, more, ended in told]
    staying = 1.0
    steps = []
    for at in sorted({end for _, end, ended in contexts if ended}):
        begun = sum(begin <= at for begin, _, _ in contexts)
        at_risk = sum(begin <= at <= end for begin, end, _ in contexts)
        ends = sum(end == at and ended for _, end, ended in contexts)
        if begun >= len(contexts) / 20:
            staying *= 1 - ends / at_risk
        steps.append((1 - staying, at))
    found = product_limit(contexts, 1000)
    for share in (0.05, 0.5, 0.95):
        wanted = next((at for reached, at in steps if reached >= share - 1e-9), 1000)
        assert found.value_at(share) == pytest.approx(wanted)


# ------------------------------------------------------------------------------- the file


@pytest.mark.parametrize("name", shipped_profiles())
def test_the_text_of_a_profile_reads_back(name: str) -> None:
    profile = load_profile(name)
    text = profile_text(profile, {"prompt.first": "a comment"})
    assert "# a comment\nfirst = " in text
    read = parse_profile(tomllib.loads(text), name)
    assert profile_text(read, {"prompt.first": "a comment"}) == text


@pytest.mark.parametrize("name", shipped_profiles())
def test_every_number_of_a_shipped_profile_has_its_source_above_it(name: str) -> None:
    folder = Path(__file__).parents[2] / "sim" / "agentsim" / "workload" / "generate" / "profiles"
    lines = (folder / f"{name}.toml").read_text("utf-8").splitlines()
    plain = ("source", "tokenizer", "unknown", "name", "share", "calls = 10")
    for above, line in itertools.pairwise(lines):
        if " = " in line and not line.startswith((" ", "#", *plain)) and not line.endswith("= 0"):
            assert above.startswith("#"), line


def test_a_profile_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be written"):
        write_profile("x", str(tmp_path / "none" / "p.toml"))
    (tmp_path / "folder").mkdir()
    with pytest.raises(ConfigError, match="cannot be written"):
        write_profile("x", str(tmp_path / "folder"))
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


@given(traces())
def test_every_trace_has_a_profile_that_sessions_can_be_drawn_from(trace: Trace) -> None:
    """However odd: calls without prompts, times out of order, agents that take turns."""
    assume(any(call.input_tokens for session in trace for call in session.calls))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fit, "FEWEST_CALLS", 1)
        try:
            fitted = fit_profile(trace)
        except TraceError as error:
            assert "has a prompt" in str(error)
            return
    text = profile_text(fitted.profile, fitted.comments)
    profile = parse_profile(tomllib.loads(text), "odd")
    assert all(session.calls for session in generate(profile, 2))
