"""Orders of eviction in the engine: what each keeps, and what vLLM's would have lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from agentsim import read_trace, simulate
from agentsim.domain.config import load_config
from agentsim.domain.trace import Call, Session
from agentsim.engine.rules import Rules
from agentsim.policies.evictions import Lru
from engine.runs import serve

TRACE = Path(__file__).parents[2] / "traces" / "swe-agent.jsonl"
FAR = 100_000  # ns: each request has ended long before the next

#: room for two prompts of `asked`, and one block
RULES = Rules(block_size=16, num_gpu_blocks=10)


def asked(name: str, at: int, call: str = "c", after: tuple[str, ...] = ()) -> Call:
    """A prompt of four whole blocks and a token of a fifth."""
    return Call(call, 65, 1, segments=((name, 65),), after=after, at_ns=at * FAR)


def found_at_last(made: list[Session], eviction: str) -> int:
    """Tokens that the last request finds in the cache."""
    rules = Rules(block_size=16, num_gpu_blocks=10, eviction=eviction)
    run = serve(made, rules, arrival="recorded")
    return int(run.requests["cached_tokens"][run.requests["submitted_ns"].argmax()])


@pytest.mark.parametrize(
    ("eviction", "tokens"), [("lru", 0), ("lfu", 64), ("shared-last", 64), ("ended-first", 64)]
)
def test_what_was_found_before_or_is_shared_stays(eviction: str, tokens: int) -> None:
    """Two sessions ask a, a third b, a fourth c, for which a or b goes; then a again."""
    made = [Session(f"s{at}", (asked(name, 0),), at_ns=at * FAR) for at, name in enumerate("aabca")]
    assert found_at_last(made, eviction) == tokens


@pytest.mark.parametrize(("eviction", "tokens"), [("lru", 0), ("lfu", 0), ("ended-first", 64)])
def test_what_a_session_left_that_has_ended_goes_first(eviction: str, tokens: int) -> None:
    """One session asks a and goes on to ask it again; b is all of another, and newer."""
    twice = Session("s", (asked("a", 0), asked("a", 3, "d", ("c",))))
    others = [
        Session(f"t{name}", (asked(name, 0),), at_ns=at * FAR) for at, name in ((1, "b"), (2, "x"))
    ]
    assert found_at_last([twice, *others], eviction) == tokens


def test_the_end_of_a_prompt_goes_before_its_beginning() -> None:
    """Whatever the rank: here the beginning of a has the smallest, and only the end is lost."""

    class BeginningFirst:
        sees_depth = True

        def rank(self, use: object, depth: int) -> tuple[int, ...]:
            return (depth,)

    short = Call("c", 17, 1, segments=(("b", 17),))
    made = [
        Session("s0", (asked("a", 0),), at_ns=0),
        Session("s1", (short,), at_ns=FAR),
        Session("s2", (asked("x", 0),), at_ns=2 * FAR),
        Session("s3", (asked("a", 0),), at_ns=3 * FAR),
    ]
    run = serve(made, RULES, eviction=BeginningFirst(), arrival="recorded")
    assert run.requests["cached_tokens"].tolist() == [0, 0, 0, 64]
    longer = [*made[:2], Session("s2", (Call("c", 97, 1),), at_ns=2 * FAR), made[3]]
    run = serve(longer, RULES, eviction=BeginningFirst(), arrival="recorded")
    assert run.requests["cached_tokens"].tolist() == [0, 0, 0, 32]


def test_an_order_in_which_all_are_equal_is_vllms() -> None:
    """The general pool and the one of vLLM's queue give the same run of a shipped trace."""

    class Equal(Lru):
        pass

    config = load_config(sets=["agents.num_agents=5"])
    one, other = (simulate(read_trace(TRACE), config, eviction=order) for order in (None, Equal()))
    assert one.steps["evicted_blocks"].sum() > 1000
    for table in ("requests", "steps", "sessions"):
        theirs = getattr(other, table)
        for name, column in getattr(one, table).items():
            assert column.tolist() == theirs[name].tolist()
