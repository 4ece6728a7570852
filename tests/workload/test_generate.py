"""Generated agents: the same for the same address, and as the sources of their profiles."""

from __future__ import annotations

import itertools
import math
import tomllib
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from agentsim.domain.trace import Session, Trace
from agentsim.errors import ConfigError, TraceError, UnknownName
from agentsim.simulator import simulate
from agentsim.workload.formats import read_trace
from agentsim.workload.generate.arrivals import DAY_S, starts
from agentsim.workload.generate.distribution import GRID, Distribution
from agentsim.workload.generate.draws import Draws
from agentsim.workload.generate.profile import (
    Profile,
    load_profile,
    parse_profile,
    shipped_profiles,
)
from agentsim.workload.generate.sessions import generate, header_of
from agentsim.workload.heads import share_heads
from agentsim.workload.inspect import inspect
from agentsim.workload.write import write_sessions, write_trace
from workload.generated import spelled_out

S = 1_000_000_000
TRACES = Path(__file__).parents[2] / "traces"

SMALL = """
[profile]
source = "a test"
[session]
calls = { median = 6, sigma = 0.7, most = 30 }
context_limit = 4000
system_tokens = 100
tool_tokens = 50
[prompt]
first = { median = 200, sigma = 0.5 }
appended = { median = 60, sigma = 1.5 }
appended_user = 30
[early]
calls = 2
appended = 400
[output]
tokens = { median = 40, sigma = 0.8 }
[tools]
per_call = [
  { share = 0.7, median = 1, sigma = 0 },
  { share = 0.3, median = 2.5, sigma = 0.4, most = 6 },
]
client_s = 0.05
[[tools.classes]]
name = "shell"
share = 0.75
time_s = { median = 1, sigma = 1 }
[[tools.classes]]
name = "file"
share = 0.25
time_s = 0.02
[shrink]
chance = 0.2
dropped = { median = 30, sigma = 1 }
[breaks]
chance = 0.1
kept = 0.5
[compaction]
at = { median = 1500, sigma = 0.3 }
kept = { median = 0.3, sigma = 0.3, most = 1 }
[user]
calls_per_turn = { median = 2, sigma = 0.5 }
wait_s = { median = 60, sigma = 1 }
[sub_agents]
session_share = 0.5
times = 2
at_once = 2
calls = 3
first = 300
appended = 100
output = 30
system_tokens = 80
"""


def small(**changes: Any) -> Profile:
    """The profile above; ``session__calls=3`` changes a field."""
    tables = tomllib.loads(SMALL)
    for name, value in changes.items():
        table, _, field = name.partition("__")
        if not field:
            tables.pop(table)
        else:
            tables[table][field] = value
    return parse_profile(tables, "small")


def made(profile: Profile, count: int, seed: int = 0, arrival: str = "closed") -> Trace:
    return Trace(generate(profile, count, seed=seed, arrival=arrival))


# ------------------------------------------------------------------------------- by address


def test_the_same_seed_makes_the_same_sessions_and_another_one_others() -> None:
    one, same, other = (list(generate(small(), 20, seed=seed)) for seed in (1, 1, 2))
    assert one == same
    assert all(a != b for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("arrival", ["closed", "poisson:2", "gamma:2:3", "diurnal:0.01"])
def test_another_session_shifts_nothing(arrival: str) -> None:
    few = list(generate(small(), 10, arrival=arrival))
    assert list(generate(small(), 30, arrival=arrival))[:10] == few


def test_another_thing_in_a_profile_shifts_nothing_else() -> None:
    """Without sub-agents the main agent does what it did with them."""

    def main(session: Session) -> list[tuple[int, int]]:
        return [(c.input_tokens, c.output_tokens) for c in session.calls if c.agent == "main"]

    with_them, without = made(small(), 30), made(small(sub_agents=None), 30)
    assert any(len(a.calls) > len(b.calls) for a, b in zip(with_them, without, strict=True))
    assert list(map(main, with_them)) == list(map(main, without))
    slow = made(small(user__wait_s=5000), 30)
    assert [[c.input_tokens for c in s.calls] for s in slow] == [
        [c.input_tokens for c in s.calls] for s in with_them
    ]


def test_the_file_has_the_same_bytes_and_gives_back_the_sessions(tmp_path: Path) -> None:
    profile = small()
    trace = made(profile, 15, arrival="poisson:3")
    header = header_of(profile, "small", seed=0, arrival="poisson:3")
    paths = [tmp_path / name for name in ("a.jsonl.gz", "b.jsonl.gz", "c.jsonl.gz")]
    for path in paths[:2]:
        write_sessions(header, generate(profile, 15, arrival="poisson:3"), path)
    write_trace(Trace(trace, header), paths[2])
    assert len({path.read_bytes() for path in paths}) == 1
    again = read_trace(paths[0])
    assert list(again) == list(trace)
    assert again.header == header


def test_what_stops_the_writing_leaves_no_file(tmp_path: Path) -> None:
    def some() -> Any:
        yield from generate(small(), 3)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_sessions(
            header_of(small(), "small", seed=0, arrival="closed"), some(), tmp_path / "t"
        )
    assert list(tmp_path.iterdir()) == []


# ------------------------------------------------------------------------------- what is made


def check(trace: Trace, profile: Profile) -> None:
    """Nothing negative, nothing beyond the limit, every prefix where it is said to be."""
    for session in trace:
        calls = {call.id: call for call in session.calls}
        assert len(calls) == len(session.calls)
        for call in session.calls:
            assert call.input_tokens >= 1
            assert call.output_tokens >= 1
            assert call.input_tokens + call.output_tokens <= profile.session.context_limit
            assert call.delay_ns is not None
            assert 0 <= call.delay_ns <= 3e9 * S
            assert all(tool.duration_ns is None or tool.duration_ns >= 0 for tool in call.tools)
            if call.extends is None:
                assert call.segments is not None
                assert sum(tokens for _, tokens in call.segments) == call.input_tokens
            else:
                base = calls[call.extends]
                assert base.agent == call.agent
                assert (
                    0 <= call.keep <= min(call.input_tokens, base.input_tokens + base.output_tokens)
                )
            assert all(name in calls for name in call.after)


@pytest.mark.parametrize("name", shipped_profiles())
def test_the_profiles_of_the_package_make_sound_sessions(name: str) -> None:
    profile = load_profile(name)
    check(made(profile, 25), profile)


_TOKENS = st.one_of(
    st.floats(0, 5000),
    st.builds(
        lambda median, sigma: {"median": median, "sigma": sigma},
        st.floats(1e-3, 1e6),
        st.floats(0, 10),
    ),
    st.lists(st.floats(0, 1e6), min_size=len(GRID), max_size=len(GRID)).map(
        lambda values: {"quantiles": sorted(values)}
    ),
)
_SHARES = st.floats(0, 1)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "session__context_limit": st.integers(300, 10_000),
            "session__correlation": st.floats(-1, 1),
            "prompt__first": _TOKENS,
            "prompt__appended": _TOKENS,
            "output__tokens": _TOKENS,
            "tools__client_s": _TOKENS,
            "shrink__chance": _SHARES,
            "shrink__dropped": _TOKENS,
            "breaks__chance": _SHARES,
            "breaks__kept": _SHARES,
            "compaction__at": _TOKENS,
            "compaction__kept": _SHARES,
            "user__calls_per_turn": _TOKENS,
            "user__wait_s": _TOKENS,
            "sub_agents__session_share": _SHARES,
            "sub_agents__first": _TOKENS,
        },
    ),
    st.integers(),
)
def test_no_profile_makes_absurd_sessions(changes: dict[str, Any], seed: int) -> None:
    profile = small(**changes)
    check(made(profile, 3, seed), profile)


def test_prompts_begin_with_the_head_that_all_sessions_share() -> None:
    told = list(spelled_out(made(small(sub_agents=None), 6)))
    for _, _, prompt, _ in told:
        assert prompt[:150] == told[0][2][:150]
        assert all(token[0] for token in prompt[150:])  # the session's own


def test_an_agent_waits_for_its_longest_tool_and_the_client() -> None:
    trace = made(small(sub_agents=None), 40)
    waits = 0
    for session in trace:
        for before, call in itertools.pairwise(session.calls):
            if call.trigger == "tool":
                longest = max(tool.duration_ns or 0 for tool in before.tools)
                assert call.delay_ns == pytest.approx(longest + 0.05 * S, abs=2)
                waits += len(before.tools) > 1
            else:
                assert not before.tools
    assert waits > 10


def test_sub_agents_run_at_once_and_the_next_call_waits_for_all() -> None:
    trace = made(small(session__calls=20, user=None, sub_agents__session_share=1.0), 20)
    joins = [call for session in trace for call in session.calls if len(call.after) > 1]
    assert joins
    for session in trace:
        calls = {call.id: call for call in session.calls}
        for call in session.calls:
            if len(call.after) > 1:
                parent, *ends = call.after
                assert len(ends) == len(calls[parent].tools) == 2
                assert all(calls[end].turn == 2 for end in ends)
                firsts = [calls[end.replace("/2", "/0")] for end in ends]
                assert all(first.after == (parent,) for first in firsts)
                assert all((first.segments or ())[0] == ("sys:sub-agent", 80) for first in firsts)
    spawned = len(joins) / len(trace)
    assert spawned == pytest.approx(2, abs=0.7)


def test_a_full_context_is_compacted_or_ends_the_session() -> None:
    long = small(session__calls=200, user=None, sub_agents=None)
    assert all(len(session.calls) == 200 for session in made(long, 5))
    ending = made(small(session__calls=200, user=None, compaction=None), 5)
    assert all(len(session.calls) < 200 for session in ending)


def test_contexts_are_compacted_where_the_profile_says() -> None:
    profile = small(
        session__calls=150,
        session__context_limit=1_000_000,
        compaction__at=1500,
        compaction__kept=0.3,
        user=None,
        sub_agents=None,
        shrink=None,
        breaks=None,
    )
    anew = [
        before.input_tokens + before.output_tokens
        for session in made(profile, 5)
        for before, call in itertools.pairwise(session.calls)
        if call.keep == 150
    ]
    assert len(anew) > 50
    assert min(anew) >= 1500


def test_the_length_of_a_session_and_its_first_prompt_are_correlated_as_told() -> None:
    def ranks(values: list[int]) -> Any:
        return np.argsort(np.argsort(values))

    for wanted in (-0.8, 0.0, 0.5):
        profile = small(
            session__correlation=wanted,
            session__calls={"median": 1000, "sigma": 0.5, "most": 100_000},
            session__context_limit=1_000_000,
        )
        draws = [Draws(0, f"s{number}") for number in range(2000)]
        calls = [draw.whole("calls", 0, profile.session.calls) for draw in draws]
        first = [
            profile.prompt.first.value_at(
                draw.like("first", 0, draw.uniform("calls", 0), profile.session.correlation)
            )
            for draw in draws
        ]
        found = np.corrcoef(ranks(calls), ranks([round(1000 * each) for each in first]))[0, 1]
        assert found == pytest.approx(wanted, abs=0.05)


def test_a_generated_trace_runs_through_the_simulator() -> None:
    run = simulate(made(small(), 4), check=True)
    assert run.requests.num_rows == made(small(), 4).num_calls


# ------------------------------------------------------------------------------- as the sources

#: profile -> source, head stated for it, and how far each quantile may be off: p10, p50, p90.
SOURCES: dict[str, tuple[str, int | None, dict[str, tuple[float, float, float]]]] = {
    "interactive-coding": (
        "weka-claude-code/calls.jsonl.gz",
        None,
        {
            "calls_per_session": (0.2, 0.1, 0.1),
            "prompt": (0.2, 0.2, 0.45),
            "output": (0.05, 0.05, 0.1),
            "appended": (0.1, 0.1, 0.2),
        },
    ),
    "unattended-coding": (
        "agentcgroup-claude-code/glm-4.7-flash-local.calls.jsonl.gz",
        13_200,
        {
            "calls_per_session": (0.15, 0.1, 0.1),
            "prompt": (0.15, 0.1, 0.15),
            "output": (0.05, 0.05, 0.1),
            "appended": (0.1, 0.1, 0.1),
        },
    ),
    "service-agent": (
        "tau-bench/gpt-4o-airline.calls.jsonl.gz",
        1_250,
        {
            "calls_per_session": (0.1, 0.1, 0.1),
            "prompt": (0.1, 0.1, 0.15),
            "output": (0.05, 0.05, 0.05),
            "appended": (0.15, 0.1, 0.1),
        },
    ),
    "swe-agent": (
        "swe-agent/calls.jsonl.gz",
        1_100,
        {
            "calls_per_session": (0.2, 0.1, 0.1),
            "prompt": (0.15, 0.2, 0.15),
            "output": (0.1, 0.1, 0.1),
            "appended": (0.1, 0.1, 0.15),
            "delay_s": (0.1, 0.1, 0.1),
        },
    ),
}
#: Reuse within a session, of prompt tokens, may differ by so many points.
REUSE_POINTS = 1.5


def compare(seen: Any, true: Any, bounds: dict[str, tuple[float, float, float]]) -> None:
    for name, allowed in bounds.items():
        one, other = getattr(seen, name), getattr(true, name)
        for percentile, bound in zip(("p10", "p50", "p90"), allowed, strict=True):
            found, wanted = getattr(one, percentile), getattr(other, percentile)
            assert found == pytest.approx(wanted, rel=bound), (name, percentile)
    one, other = (each.causes.own_history / each.prompt_tokens for each in (seen, true))
    assert 100 * one == pytest.approx(100 * other, abs=REUSE_POINTS)


@pytest.mark.parametrize("name", SOURCES)
def test_what_is_generated_is_like_the_source(name: str, shared: Path) -> None:
    file, head, bounds = SOURCES[name]
    source = read_trace(shared / "traces" / file)
    seen = inspect(made(load_profile(name), 800, seed=1))
    compare(seen, inspect(share_heads(source, head)), bounds)


def test_the_sre_incident_is_like_the_shipped_trace() -> None:
    seen = inspect(made(load_profile("sre-incident"), 100, seed=1))
    true = inspect(read_trace(TRACES / "itbench-sre.jsonl"))
    bounds = {"prompt": (0.05,) * 3, "output": (0.1,) * 3, "appended": (0.1,) * 3}
    assert seen.calls_per_session.p50 == 93
    assert seen.prompt_tokens / 100 == pytest.approx(true.prompt_tokens, rel=0.03)
    assert seen.output_tokens / 100 == pytest.approx(true.output_tokens, rel=0.03)
    compare(seen, true, bounds)  # type: ignore[arg-type]


def _waits(trace: Trace, *triggers: str) -> Any:
    waits = [
        call.delay_ns / S
        for session in trace
        for call in session.calls
        if call.trigger in triggers and call.delay_ns is not None and len(call.after) == 1
    ]
    return np.quantile(waits, [0.1, 0.5, 0.9])


def test_waits_are_like_the_sources(shared: Path) -> None:
    """Tools and humans of weka; tools of the runs with Haiku 4.5."""
    folder = shared / "traces"
    weka = read_trace(folder / "weka-claude-code" / "calls.jsonl.gz")
    interactive = made(load_profile("interactive-coding"), 400)
    assert _waits(interactive, "tool") == pytest.approx(_waits(weka, "tool"), rel=0.1)
    assert _waits(interactive, "user") == pytest.approx(_waits(weka, "user"), rel=0.2)
    haiku = read_trace(folder / "agentcgroup-claude-code" / "haiku-4.5-api.calls.jsonl.gz")
    unattended = made(load_profile("unattended-coding"), 100)
    assert _waits(unattended, "tool") == pytest.approx(_waits(haiku, "tool"), rel=0.35)


# ------------------------------------------------------------------------------- arrivals


def gaps(arrival: str, count: int = 20_000) -> Any:
    times = np.array(list(starts(arrival, count, 3))) / S
    return np.diff(times, prepend=0.0)


@pytest.mark.parametrize(
    ("arrival", "rate", "variation"),
    [
        ("poisson:4", 4, 1),
        ("gamma:4:1", 4, 1),
        ("gamma:0.5:3", 0.5, 3),
        ("gamma:10:0.3", 10, 0.3),
    ],
)
def test_arrivals_have_their_rate_and_variation(
    arrival: str, rate: float, variation: float
) -> None:
    found = gaps(arrival)
    assert 1 / found.mean() == pytest.approx(rate, rel=0.03 * (1 + variation))
    assert found.std() / found.mean() == pytest.approx(variation, rel=0.06)
    assert (found >= 0).all()


def test_a_day_goes_up_and_down_about_its_mean() -> None:
    times = np.array(list(starts("diurnal:0.2", 40_000, 1))) / S
    days = times[times < 2 * DAY_S]
    assert len(days) / (2 * DAY_S) == pytest.approx(0.2, rel=0.02)
    by_hour = np.histogram(days % DAY_S, 24, (0, DAY_S))[0] / (2 * 3600)
    assert by_hour[0] == pytest.approx(0.2 * 0.2, rel=0.15)
    assert by_hour[12] == pytest.approx(0.2 * 1.8, rel=0.1)


def test_closed_starts_all_at_once_and_a_recording_as_recorded(tmp_path: Path) -> None:
    assert list(starts("closed", 3, 0)) == [0, 0, 0]
    trace = made(small(), 5, arrival="poisson:0.1")
    write_trace(trace, tmp_path / "r.jsonl")
    first = trace.sessions[0].at_ns
    recorded = list(starts(f"recorded:{tmp_path / 'r.jsonl'}", 4, 0))
    assert recorded == [session.at_ns - first for session in trace][:4]
    with pytest.raises(ConfigError, match="5 sessions start in it and 6 are"):
        starts(f"recorded:{tmp_path / 'r.jsonl'}", 6, 0)
    with pytest.raises(TraceError, match="no such file"):
        starts(f"recorded:{tmp_path / 'none.jsonl'}", 1, 0)


@pytest.mark.parametrize(
    "arrival",
    [
        *("", "poison:1", "poisson", "poisson:", "poisson:0", "poisson:nan", "poisson:1:2"),
        *("poisson:inf", "gamma:1", "gamma:1:0", "gamma:1:1e9", "diurnal:-1", "closed:1"),
        "recorded:",
    ],
)
def test_an_arrival_that_is_not_known_is_told(arrival: str) -> None:
    with pytest.raises(ConfigError, match="--arrival"):
        starts(arrival, 2, 0)


# ------------------------------------------------------------------------------- profiles


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"session__calls": -1}, "session.calls: a number: expected a number from 0"),
        (
            {"session__calls": {"median": 5, "sigma": 1}},
            "session.calls: expected values of at most",
        ),
        ({"session__calls": {"median": 5}}, "session.calls: sigma: expected a number"),
        ({"session__calls": {"median": 5, "sigma": 1, "max": 3}}, "unknown key 'max'"),
        ({"session__calls": {"median": 0, "sigma": 1}}, "a median above 0"),
        ({"session__calls": {"median": 5, "sigma": 1, "least": 9, "most": 3}}, "least <= most"),
        ({"session__calls": {"quantiles": [1, 2]}}, "expected 25 values"),
        ({"session__calls": {"quantiles": [2.0] + [1.0] * 24}}, "values that never fall"),
        ({"session__calls": []}, "a number, a table or a list"),
        ({"session__calls": "many"}, "a number, a table or a list"),
        ({"session__calls": [{"share": 0.4, "median": 1, "sigma": 1}]}, "add up to 0.4"),
        ({"session__calls": math.nan}, "session.calls"),
        ({"session__context_limit": 0}, "session.context_limit"),
        ({"session__context_limit": 100}, "leaves no room"),
        ({"session__colour": 1}, "session.colour: unknown key"),
        ({"session__correlation": 2.0}, "session.correlation"),
        ({"prompt__first": True}, "prompt.first"),
        ({"shrink__chance": 1.5}, "shrink.chance"),
        ({"breaks__kept": 2}, "breaks.kept: expected values of at most 1"),
        ({"tools__classes": []}, "tools.classes"),
        ({"tools__per_call": 1000}, "tools.per_call: expected values of at most 64"),
        ({"sub_agents__at_once": 1000}, "sub_agents.at_once"),
        ({"output": None}, "output: missing"),
    ],
)
def test_a_field_that_is_wrong_is_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        small(**changes)
    assert message in str(caught.value)
    assert str(caught.value).startswith("small: ")
    assert "\n" not in str(caught.value)


def test_an_unknown_profile_is_told_with_the_nearest() -> None:
    with pytest.raises(UnknownName, match="did you mean 'swe-agent'"):
        load_profile("swe-agnt")


_DISTRIBUTIONS = _TOKENS.map(Distribution.parse)


@given(_DISTRIBUTIONS, st.lists(st.floats(0, 1), min_size=2))
def test_values_rise_with_their_quantile_and_stay_within(
    of: Distribution, quantiles: list[float]
) -> None:
    values = [of.value_at(quantile) for quantile in sorted(quantiles)]
    assert values == sorted(values)
    assert of.least <= values[0]
    assert values[-1] <= of.most
    again = Distribution.parse(of.plain())
    assert [again.value_at(quantile) for quantile in sorted(quantiles)] == values


@given(_DISTRIBUTIONS, st.floats(0, 1e6))
def test_the_quantile_of_a_value_is_where_values_reach_it(of: Distribution, value: float) -> None:
    assume(of.value_at(0.0) < value < of.value_at(1.0))
    at = of.quantile_of(value)
    assert of.value_at(max(0.0, at - 1e-9)) <= value
    assert of.value_at(min(1.0, at + 1e-9)) >= value * (1 - 1e-6) or at > 1 - 1e-9


def test_a_mixture_draws_its_parts_by_their_shares() -> None:
    mixture = Distribution.parse(
        [{"share": 0.25, "median": 1, "sigma": 0}, {"share": 0.75, "median": 9, "sigma": 0}]
    )
    assert [mixture.value_at(at) for at in (0.0, 0.24, 0.26, 1.0)] == [1, 1, 9, 9]


def test_shares_of_tools_that_do_not_add_up_are_told() -> None:
    folder = Path(str(resources.files("agentsim.workload.generate"))) / "profiles"
    tables = tomllib.loads((folder / "unattended-coding.toml").read_text("utf-8"))
    tables["tools"]["classes"][0]["share"] *= 0.4
    with pytest.raises(ConfigError, match=r"tools.classes: expected shares that add up to 1: "):
        parse_profile(tables, "mine.toml")
