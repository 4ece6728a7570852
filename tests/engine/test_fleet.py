"""Several replicas behind a router: where requests go, and what each replica then has cached."""

from __future__ import annotations

import pytest

from agentsim.domain.trace import Call, Session
from agentsim.engine.fleet import Arrived
from agentsim.engine.rules import Rules
from agentsim.errors import UnknownName
from agentsim.policies.routers import PrefixHash, make_router
from engine.runs import LinearCost, serve

COST = LinearCost()  # a step takes 100 ns and 1 ns a token
RULES = Rules(block_size=16)


def single(name: str, head: str, wait_ns: int = 0) -> Session:
    """A session of one call, 64 tokens of a head and 16 of its own."""
    call = Call("c", 80, 4, segments=((head, 64), ("~own", 16)), delay_ns=wait_ns)
    return Session(name, (call,))


def replicas_of(sessions: list[Session], routing: str, num: int = 3) -> list[int]:
    """Where each session's call went, in the order of the sessions."""
    run = serve(sessions, RULES, COST, replicas=num, routing=routing)
    where = dict(zip(run.requests["session"], run.requests["replica"].tolist(), strict=True))
    return [where[session.id] for session in sessions]


def test_round_robin_takes_one_after_the_other() -> None:
    assert replicas_of([single(f"s{i}", "h") for i in range(7)], "round-robin") == [
        0, 1, 2, 0, 1, 2, 0,
    ]  # fmt: skip


def test_least_load_takes_who_has_least_to_do() -> None:
    """The first two keep theirs busy; a long time later all are idle again."""
    sessions = [single(f"s{i}", "h", wait_ns) for i, wait_ns in enumerate([0, 1, 2, 10**6])]
    assert replicas_of(sessions, "least-load") == [0, 1, 2, 0]


def test_prompts_that_begin_alike_meet_on_one_replica() -> None:
    """One at a time, so that no load stands against it: each head is computed once."""
    sessions = [single(f"s{i}", f"head{i % 4}", 10_000 * i) for i in range(16)]
    where = replicas_of(sessions, "prefix-hash")
    assert all(len({where[i] for i in range(k, 16, 4)}) == 1 for k in range(4))
    cached = {
        routing: serve(sessions, RULES, COST, replicas=3, routing=routing).requests["cached_tokens"]
        for routing in ("prefix-hash", "round-robin")
    }
    assert cached["prefix-hash"].tolist().count(64) == 12
    assert cached["round-robin"].tolist().count(64) == 4  # who comes after all three had it


def test_prefix_hash_bounds_the_load() -> None:
    """All prompts begin alike and come at once: no replica has more than 1.25 times its share."""
    where = replicas_of([single(f"s{i}", "h") for i in range(30)], "prefix-hash")
    assert max(where.count(replica) for replica in range(3)) <= 1.25 * 31 / 3 + 1


def test_a_call_finds_nothing_of_its_base_elsewhere() -> None:
    """Turns alternate between two replicas: the third finds what the first left on its own."""
    base = Call("a", 64, 16, delay_ns=0)
    second = Call("b", 96, 16, after=("a",), extends="a", keep=80, delay_ns=5)
    third = Call("c", 128, 16, after=("b",), extends="b", keep=112, delay_ns=5)
    run = serve([Session("s", (base, second, third))], RULES, COST, replicas=2)
    assert run.requests["replica"].tolist() == [0, 1, 0]
    assert run.requests["cached_tokens"].tolist() == [0, 0, 64]  # its last token has no KV yet


def test_one_replica_is_what_it_was() -> None:
    sessions = [single(f"s{i}", "h", 70 * i) for i in range(9)]
    alone = serve(sessions, RULES, COST).tables()
    for routing in ("random", "least-load", "prefix-hash"):
        assert serve(sessions, RULES, COST, routing=routing).tables() == alone


def test_names_of_prefixes() -> None:
    """Equal where the first tokens are; through the calls that a prompt goes on from."""
    root = Call("a", 40, 8, segments=(("sys", 30), ("~q", 10)))
    grown = Call("b", 60, 8, after=("a",), extends="a", keep=48)
    hashed = Call("h", 20, 1, blocks=(7, 8), block_tokens=10)
    session = Session("s", (root, grown, hashed))
    names = [Arrived(session, "s", call).prefix(25) for call in (root, grown, hashed)]
    assert names[0] == names[1] == "sys:25"
    assert names[2] == "#7:10|#8:10"
    other = Session("t", (root,))
    assert Arrived(other, "t", root).prefix(35) != Arrived(session, "s", root).prefix(35)
    assert Arrived(other, "t", root).prefix(30) == Arrived(session, "s", root).prefix(30)


def test_an_unknown_router_is_named() -> None:
    with pytest.raises(UnknownName, match="router"):
        make_router("prefix-hsh", 2, 0)
    assert isinstance(make_router("prefix-hash", 2, 0), PrefixHash)
