"""A prompt cache with a lifetime: what it holds when a call is sent."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentsim.domain.trace import Call, Session, Trace
from agentsim.workload.held import held_prefixes
from agentsim.workload.reuse import reused_prefixes
from workload.generated import spelled_out, traces

S = 10**9
FOREVER = 10**18


def columns(*rows: tuple[str, str, float, float, float]) -> dict[str, Any]:
    """Requests: session, call, seconds of submission, first token and last token."""
    session, call, *times = zip(*rows, strict=True)
    names = ("submitted_ns", "first_token_ns", "finished_ns")
    made = {name: np.array(t, np.float64) * S for name, t in zip(names, times, strict=True)}
    return {
        "session": np.array(session, object),
        "call": np.array(call, object),
        **{name: column.astype(np.int64) for name, column in made.items()},
    }


CHAIN = Trace(
    [
        Session(
            "s",
            (
                Call("a", 1000, 100, segments=(("sys", 600), ("~task", 400))),
                Call("b", 1200, 100, after=("a",), extends="a", keep=1100),
                Call("c", 1400, 100, after=("b",), extends="b", keep=1300),
            ),
        )
    ]
)


def chain(*gaps_s: float, lifetime_s: float = 300, **more: Any) -> list[int]:
    """The chain, each call 2 s long (first token after 1), with so many seconds between."""
    now, rows = 0.0, []
    for name, gap in zip("abc", (0.0, *gaps_s), strict=True):
        now += gap
        rows.append(("s", name, now, now + 1, now + 2))
        now += 2
    return held_prefixes(CHAIN, columns(*rows), round(lifetime_s * S), **more).tolist()


def test_each_turn_finds_the_prompt_before_it_but_not_its_answer() -> None:
    assert chain(5, 5) == [0, 1000, 1200]


def test_answers_are_found_where_the_cache_keeps_them() -> None:
    assert chain(5, 5, with_outputs=True) == [0, 1100, 1300]


def test_a_wait_longer_than_the_lifetime_finds_nothing() -> None:
    """The age counts from the first token: 299 s of wait and 1 s of decode are 300 s."""
    assert chain(298, 5) == [0, 1000, 1200]
    assert chain(299, 5) == [0, 0, 1200]
    assert chain(299, 299) == [0, 0, 0]


def test_a_use_renews_what_it_uses_and_nothing_else() -> None:
    """t reuses the 600 tokens of the system prompt, 200 s apart; the task's 400 age on."""
    other = Session("t", (Call("x", 800, 0, segments=(("sys", 600), ("~other", 200))),))
    trace = Trace([*CHAIN.sessions, other])
    rows = columns(("s", "a", 0, 1, 2), ("t", "x", 200, 201, 202), ("s", "b", 400, 401, 402))
    assert held_prefixes(trace, rows, 300 * S).tolist() == [0, 600, 600]


def test_a_read_renews_at_once_and_not_only_when_it_is_answered() -> None:
    """b reads a's prompt after 290 s and starts to answer at 320; c comes in between."""
    extend = {"after": ("a",), "extends": "a", "keep": 1000}
    calls = (CHAIN.sessions[0].calls[0], *(Call(n, 1100, 5, **extend) for n in "bc"))
    rows = columns(("s", "a", 0, 1, 2), ("s", "b", 291, 320, 321), ("s", "c", 310, 330, 331))
    assert held_prefixes(Trace([Session("s", calls)]), rows, 300 * S).tolist() == [0, 1000, 1000]


def test_two_calls_at_once_find_nothing_of_each_other() -> None:
    twins = Session("s", tuple(Call(n, 500, 5, segments=(("sys", 500),)) for n in "ab"))
    rows = [("s", "a", 0, 1, 2), ("s", "b", 0.5, 1.5, 2)]
    assert held_prefixes(Trace([twins]), columns(*rows), FOREVER).tolist() == [0, 0]
    rows[1] = ("s", "b", 1, 2, 3)
    assert held_prefixes(Trace([twins]), columns(*rows), FOREVER).tolist() == [0, 500]


def test_a_prompt_that_begins_a_longer_one_is_held_whole() -> None:
    calls = (
        Call("long", 500, 5, segments=(("sys", 400), ("~x", 100))),
        Call("short", 300, 0, segments=(("sys", 300),)),
        Call("again", 500, 5, segments=(("sys", 400), ("~x", 100))),
    )
    rows = columns(
        ("s", "long", 0, 1, 2), ("s", "short", 250, 251, 252), ("s", "again", 400, 401, 402)
    )
    found = held_prefixes(Trace([Session("s", calls)]), rows, 300 * S)
    assert found.tolist() == [0, 300, 300]


def test_a_second_run_of_a_session_shares_only_what_all_sessions_share() -> None:
    rows = columns(("s", "a", 0, 1, 2), ("s#2", "a", 10, 11, 12), ("s#2", "b", 20, 21, 22))
    assert held_prefixes(CHAIN, rows, FOREVER).tolist() == [0, 600, 1000]


def _one_by_one(trace: Trace) -> dict[str, Any]:
    """Every call of the trace, in its order, one a second."""
    keys = [(s.id, call.id) for s in trace for call in s.calls]
    return columns(*((*key, i, i + 0.25, i + 0.5) for i, key in enumerate(keys)))


@given(traces(), st.booleans())
def test_without_a_lifetime_it_is_the_reuse_of_the_trace(trace: Trace, outputs: bool) -> None:
    found = held_prefixes(trace, _one_by_one(trace), FOREVER, with_outputs=outputs)
    assert found.tolist() == reused_prefixes(trace, with_outputs=outputs)


Row = tuple[str, str, int, int, int]


@st.composite
def runs(draw: st.DrawFn) -> tuple[Trace, list[Row]]:
    """A trace, and times on a coarse grid for some calls of its sessions, some run twice.

    A call is sent when those it goes on from are answered, or anytime; without output it has no
    first token.
    """
    trace = draw(traces())
    rows: list[Row] = []
    for session in trace:
        for name in (session.id, f"{session.id}#2")[: draw(st.integers(1, 2))]:
            now = draw(st.integers(0, 10))
            for call in session.calls:
                sent = draw(st.just(now) | st.integers(0, 30))
                first = sent + draw(st.integers(0, 2))
                now = first + draw(st.integers(0, 3))
                if draw(st.integers(0, 4)):
                    rows.append((name, call.id, sent, first if draw(st.booleans()) else -1, now))
                now += draw(st.integers(0, 6))
    return trace, draw(st.permutations(rows))


def _token_by_token(trace: Trace, rows: list[Row], lifetime: int, with_outputs: bool) -> list[int]:
    """What is held of each prompt by a table of when each prefix was used last."""
    of_runs = [
        msgspec.structs.replace(trace.find(name.partition("#")[0]), id=name)
        for name in dict.fromkeys(row[0] for row in rows)
    ]
    paths = {
        (name, call.id): (call.adapter or "", prompt, prompt + output)
        for name, call, prompt, output in spelled_out(Trace(of_runs))
    }
    events: list[tuple[int, int, int]] = []
    for at, (*_, sent, first, finished) in enumerate(rows):
        events += [(sent, 2, at), (finished if first < 0 else first, 1, at)]
        events += [(finished, 0, at)] * with_outputs
    used: dict[tuple[Any, ...], int] = {}
    found = [0] * len(rows)
    for now, what, at in sorted(events):
        adapter, prompt, with_answer = paths[rows[at][:2]]
        path = prompt if what else with_answer
        prefixes = [(adapter, *path[: end + 1]) for end in range(len(path))]
        if what == 2:
            alive = [now - used.get(prefix, -FOREVER) < lifetime for prefix in prefixes]
            found[at] = alive.index(False) if False in alive else len(alive)
            prefixes = prefixes[: found[at]]
        used |= dict.fromkeys(prefixes, now)
    return found


@given(runs(), st.integers(0, 12), st.booleans(), st.booleans())
def test_it_is_what_a_token_by_token_cache_holds(
    run: tuple[Trace, list[Row]], lifetime_s: int, outputs: bool, forgetful: bool
) -> None:
    """Also if it forgets what is old at every step."""
    trace, rows = run
    with pytest.MonkeyPatch.context() as patch:
        if forgetful:
            patch.setattr("agentsim.workload.prefix_tree._FEW_SPANS", 0)
            patch.setattr("agentsim.workload.held._EVENTS", 1)
        made = columns(*rows) if rows else columns(("", "", 0, 0, 0))
        made["first_token_ns"] = np.maximum(made["first_token_ns"], -1)
        if not rows:
            made = {name: column[:0] for name, column in made.items()}
        found = held_prefixes(trace, made, lifetime_s * S, with_outputs=outputs)
    assert found.tolist() == _token_by_token(trace, rows, lifetime_s, outputs)


def test_a_chain_in_reverse_order_of_rows_is_the_same_chain() -> None:
    """A call's place does not depend on which row is read first."""
    rows = [("s", name, 5.0 * n, 5.0 * n + 1, 5.0 * n + 2) for n, name in enumerate("abc")]
    assert held_prefixes(CHAIN, columns(*rows[::-1]), FOREVER).tolist() == [1200, 1000, 0]


class Read(Trace):
    """A trace that counts which sessions were asked for."""

    def find(self, session_id: str) -> Session:
        found = super().find(session_id)
        self.asked = [*getattr(self, "asked", ()), session_id]
        return found


def test_a_session_is_read_once_a_run() -> None:
    trace = Read(CHAIN.sessions)
    rows = [(run, name, 0.0, 1.0, 2.0) for run in ("s", "s#2") for name in "abc"]
    held_prefixes(trace, columns(*rows), FOREVER)
    assert trace.asked == ["s", "s"]


@given(traces(), st.integers(0, 30), st.integers(0, 30))
def test_a_longer_lifetime_never_holds_less(trace: Trace, one: int, other: int) -> None:
    short, long = sorted((one, other))
    rows = _one_by_one(trace)
    assert (held_prefixes(trace, rows, short * S) <= held_prefixes(trace, rows, long * S)).all()
    assert not held_prefixes(trace, rows, 0).any()


@pytest.mark.parametrize("lifetime_s", [0, 1e-9])
def test_a_lifetime_of_nothing_holds_nothing(lifetime_s: float) -> None:
    assert chain(0, 0, lifetime_s=lifetime_s) == [0, 0, 0]
