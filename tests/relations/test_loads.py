"""Change the load, know how the result must change."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from agentsim.domain.trace import Call, Session
from agentsim.engine.rules import Rules
from engine.loads import MAX_MODEL_LEN, rules, sessions
from engine.runs import GridCost, LinearCost, Served, serve

costs = st.builds(GridCost, st.sampled_from([1, 10]), st.sampled_from([7, 64, 10**9]))

#: columns that are points in time; -1 is no time
TIMES = {
    "requests": ("submitted_ns", "scheduled_ns", "first_token_ns", "finished_ns"),
    "steps": ("start_ns", "end_ns"),
    "sessions": ("started_ns", "finished_ns"),
    "gaps": (),
}
#: columns that are lengths of time
LENGTHS = {
    "requests": ("delay_ns", "recovering_ns"),
    "steps": (),
    "sessions": ("served_ns", "waited_ns"),
    "gaps": ("ns",),
}


def with_times(run: Served, factor: int = 1, shift: int = 0) -> dict[str, dict[str, list[Any]]]:
    """The columns of a run with every time changed."""
    tables = run.tables()
    for table, columns in tables.items():
        for name in (*TIMES[table], *LENGTHS[table]):
            add = shift if name in TIMES[table] else 0
            columns[name] = [t if t < 0 else t * factor + add for t in columns[name]]
    return tables


@given(sessions(), rules(), costs, st.sampled_from([1, 7, 10**12]))
@settings(max_examples=60)
def test_a_later_start_is_the_same_run_later(
    made: list[Session], rule: Rules, cost: GridCost, shift: int
) -> None:
    """All starts shifted: all times shifted, nothing else."""
    later = [msgspec.structs.replace(s, at_ns=s.at_ns + shift) for s in made]
    assert serve(later, rule, cost).tables() == with_times(serve(made, rule, cost), shift=shift)


@given(sessions(), rules(), st.integers(2, 5))
@settings(max_examples=60)
def test_slow_motion_is_the_same_run_slower(made: list[Session], rule: Rules, slower: int) -> None:
    """Every wait and every step so many times as long: every time as well, nothing else."""
    stretched = [
        msgspec.structs.replace(
            session,
            at_ns=session.at_ns * slower,
            calls=tuple(
                msgspec.structs.replace(call, delay_ns=(call.delay_ns or 0) * slower)
                for call in session.calls
            ),
        )
        for session in made
    ]
    slow = LinearCost(step=50 * slower, token=3 * slower, context=slower)
    fast = LinearCost(step=50, token=3, context=1)
    expected = with_times(serve(made, rule, fast), factor=slower)
    assert serve(stretched, rule, slow).tables() == expected


def renamed(session: Session) -> Session:
    """Other names for the session, its calls and all segments, in the same order."""
    calls = []
    for call in session.calls:
        segments = call.segments and tuple(
            (f"out:z{name[4:]}", length)
            if name.startswith("out:")
            else (f"~z{name}" if name.startswith("~") else f"z{name}", length)
            for name, length in call.segments
        )
        blocks = call.blocks and tuple(f"z{block}" for block in call.blocks)
        calls.append(
            msgspec.structs.replace(
                call,
                id=f"z{call.id}",
                after=tuple(f"z{name}" for name in call.after),
                segments=segments,
                blocks=blocks,
                extends=call.extends and f"z{call.extends}",
                adapter=call.adapter and f"z{call.adapter}",
            )
        )
    return msgspec.structs.replace(session, id=f"z{session.id}", calls=tuple(calls))


@given(sessions(), rules(), costs)
@settings(max_examples=60)
def test_names_do_not_matter(made: list[Session], rule: Rules, cost: GridCost) -> None:
    """Everything renamed, order kept: the same but for the names."""
    expected = serve(made, rule, cost).tables()
    for table, name in (("requests", "session"), ("requests", "call"), ("sessions", "session")):
        expected[table][name] = [f"z{text}" for text in expected[table][name]]
    assert serve([renamed(session) for session in made], rule, cost).tables() == expected


@given(sessions(), rules(), costs, st.randoms(use_true_random=False))
@settings(max_examples=40)
def test_the_order_in_the_file_does_not_matter(
    made: list[Session], rule: Rules, cost: GridCost, random: Any
) -> None:
    """Sessions are taken by start and name."""
    expected = serve(made, rule, cost).tables()
    shuffled = list(made)
    random.shuffle(shuffled)
    assert serve(shuffled, rule, cost).tables() == expected


def spelled_out(session: Session) -> Session:
    """The session with every `extends` as segments: what is kept, then text of its own."""
    texts: dict[str, list[tuple[str, int]]] = {}
    calls = []
    for call in session.calls:
        segments = list(call.segments or ())
        if call.extends is not None:
            base = next(other for other in session.calls if other.id == call.extends)
            kept = call.keep if base.adapter == call.adapter else 0
            segments = [*_first(texts[call.extends], kept), (f"~new:{call.id}", call.input_tokens)]
        elif call.blocks is not None:
            segments = [(f"block {block}", call.block_tokens) for block in call.blocks]
        elif call.segments is None:
            segments = [(f"~new:{call.id}", call.input_tokens)]
        segments = _first(segments, call.input_tokens)
        texts[call.id] = [*segments, (f"out:{call.id}", call.output_tokens)]
        calls.append(
            msgspec.structs.replace(
                call, segments=tuple(segments), extends=None, keep=0, blocks=None, block_tokens=0
            )
        )
    return msgspec.structs.replace(session, calls=tuple(calls))


def _first(segments: list[tuple[str, int]], num_tokens: int) -> list[tuple[str, int]]:
    kept = []
    for name, length in segments:
        if num_tokens > 0:
            kept.append((name, min(length, num_tokens)))
        num_tokens -= length
    return kept


@given(sessions(), rules(), costs)
@settings(max_examples=150)
def test_all_ways_to_say_what_a_prompt_is_made_of_are_equal(
    made: list[Session], rule: Rules, cost: GridCost
) -> None:
    """`extends` with `keep`, blocks and nothing, all of them written as segments: the same run."""
    segments = [spelled_out(session) for session in made]
    assert serve(segments, rule, cost).tables() == serve(made, rule, cost).tables()


def strangers(made: list[Session]) -> list[Session]:
    """The sessions with prompts that share nothing."""
    return [
        msgspec.structs.replace(
            session,
            calls=tuple(
                msgspec.structs.replace(c, segments=None, extends=None, keep=0, blocks=None)
                for c in session.calls
            ),
        )
        for session in made
    ]


@given(sessions(), rules(), costs)
@settings(max_examples=60)
def test_a_cache_of_what_nobody_shares_changes_no_time(
    made: list[Session], rule: Rules, cost: GridCost
) -> None:
    """Prefix caching on or off, with blocks enough that nobody is preempted."""
    roomy = replace(rule, num_gpu_blocks=4096)
    on = serve(strangers(made), replace(roomy, enable_prefix_caching=True), cost).tables()
    off = serve(strangers(made), replace(roomy, enable_prefix_caching=False), cost).tables()
    assert not any(on["requests"]["cached_tokens"])
    assert on == off


@given(sessions(), rules(), costs, st.integers(1, 60), st.integers(1, 40))
@settings(max_examples=60)
def test_a_stranger_who_was_there_before_leaves_nothing_behind(
    made: list[Session], rule: Rules, cost: GridCost, prompt: int, output: int
) -> None:
    """A session that ends before the others begin and shares nothing with them: taken out, the
    rest is the same. (Its cached blocks are evicted first, so that evictions differ.)"""
    start = 10**7
    later = [msgspec.structs.replace(s, at_ns=s.at_ns + start) for s in made]
    stranger = Session("a stranger", (Call("c", prompt, output, delay_ns=0),))
    rule = replace(rule, two_ended_free_queue=True)
    alone, after = serve(later, rule, cost), serve([stranger, *later], rule, cost)
    assert after.session("a stranger")["finished_ns"] < start
    for table in ("requests", "sessions"):
        columns = getattr(after, table)
        rest = columns["session"] != "a stranger"
        for name, column in getattr(alone, table).items():
            if name != "slot":
                assert columns[name][rest].tolist() == column.tolist(), name
    since = after.steps["start_ns"] >= start
    for name, column in alone.steps.items():
        if name not in ("step", "evicted_blocks"):
            assert after.steps[name][since].tolist() == column.tolist(), name


@given(sessions(), rules(), costs)
@settings(max_examples=40)
def test_a_session_after_all_others_changes_nothing_before(
    made: list[Session], rule: Rules, cost: GridCost
) -> None:
    """Whatever it shares with them."""
    alone = serve(made, rule, cost)
    end = int(alone.sessions["finished_ns"].max()) + 10**6
    with_late = serve([*made, msgspec.structs.replace(made[0], id="zz", at_ns=end)], rule, cost)
    for table in ("requests", "sessions"):
        columns = getattr(with_late, table)
        before = columns["session"] != "zz"
        for name, column in getattr(alone, table).items():
            assert columns[name][before].tolist() == column.tolist(), name


def in_a_row(session: Session) -> Session:
    """The session with each call after the one before it."""
    calls: list[Call] = []
    for call in session.calls:
        after = (calls[-1].id,) if calls else ()
        calls.append(msgspec.structs.replace(call, after=after))
    return msgspec.structs.replace(session, calls=tuple(calls))


@given(sessions(), rules(), st.integers(1, 200))
@settings(max_examples=80)
def test_more_blocks_never_lower_a_hit_if_one_request_runs_at_a_time(
    made: list[Session], rule: Rules, more: int
) -> None:
    """What a small cache holds is held by a larger one."""
    rule = replace(rule, two_ended_free_queue=True, enable_prefix_caching=True)
    chains = [in_a_row(session) for session in made]
    small = serve(chains, rule, num_agents=1).requests["cached_tokens"]
    larger = replace(rule, num_gpu_blocks=rule.num_gpu_blocks + more)
    large = serve(chains, larger, num_agents=1).requests["cached_tokens"]
    assert (small <= large).all()


@given(sessions(), rules(), costs)
@settings(max_examples=60)
def test_blocks_that_nobody_needs_change_nothing(
    made: list[Session], rule: Rules, cost: GridCost
) -> None:
    """From the point where nothing is evicted and nobody waits for memory."""
    tokens = sum(c.input_tokens + c.output_tokens + 8 for s in made for c in s.calls)
    enough = 2 + tokens * 2 // rule.block_size + len(made) * 10
    rule = replace(rule, watermark=0.0, num_gpu_blocks=max(rule.num_gpu_blocks, enough))
    expected = serve(made, rule, cost).tables()
    more = replace(rule, num_gpu_blocks=rule.num_gpu_blocks + 1000)
    assert serve(made, more, cost).tables() == expected
    assert not any(expected["steps"]["evicted_blocks"])


def test_the_loads_are_not_trivial() -> None:
    """Guards the strategies: among 300 loads there are hits, evictions and preemptions."""
    seen = np.zeros(3, dtype=np.int64)

    @given(sessions(), rules())
    @settings(max_examples=150, database=None, derandomize=True)
    def count(made: list[Session], rule: Rules) -> None:
        run = serve(made, rule, GridCost(1, 64))
        assert (run.requests["prompt_tokens"] < MAX_MODEL_LEN).all()
        seen[0] += run.requests["cached_tokens"].any()
        seen[1] += run.steps["evicted_blocks"].any()
        seen[2] += run.requests["preemptions"].any()

    count()
    assert (seen >= [30, 30, 5]).all(), seen
