"""The table of a run's future, by hand and beside a naive one; and what it is for."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from agentsim.domain.trace import Call, Session, Trace
from agentsim.engine.rules import Rules
from agentsim.policies.evictions import Belady, EvictionOrder
from agentsim.workload.next_uses import next_uses
from engine.loads import sessions
from engine.runs import GridCost, LinearCost, Served, serve
from properties.orders import ORDERS

FAR = 100_000  # ns: each request has ended long before the next


def one_by_one(prompts: list[list[tuple[str, int]]]) -> list[Session]:
    """Sessions of one call each, in turn."""
    return [
        Session(f"s{i}", (Call("c", sum(n for _, n in spans), 1, segments=tuple(spans)),), at_ns=at)
        for i, spans in enumerate(prompts)
        for at in [i * FAR]
    ]


def table_of(made: list[Session], run: Served) -> dict[tuple[str, str], Any]:
    return next_uses(Trace(made), dict(run.requests.items()))


def test_a_head_is_used_sooner_than_the_whole() -> None:
    """The second prompt shares 32 tokens with the first, the third all 64 but the last."""
    made = one_by_one([[("a", 32), ("b", 32)], [("a", 32), ("x", 8)], [("a", 32), ("b", 32)]])
    run = serve(made, arrival="recorded")
    table = table_of(made, run)
    assert table["s0", "c"] == ((32, FAR), (63, 2 * FAR))
    assert table["s1", "c"] == ((32, 2 * FAR),)
    assert table["s2", "c"] == ()


def tokens_of(made: list[Session], name: str, call: str, with_output: bool) -> list[Any]:
    """The tokens of a prompt, one by one."""
    session = next(session for session in made if session.id == name)
    calls = {each.id: each for each in session.calls}

    def spelled(call: Call) -> list[Any]:
        adapter = call.adapter or ""
        if call.extends is not None and call.keep:
            base = calls[call.extends]
            known = whole(base)[: call.keep]
            known = [(adapter, *token[1:]) for token in known]
            return known + fresh(call, call.input_tokens - call.keep)
        if call.segments is not None:
            own = [(name, s) if s.startswith(("~", "out:")) else s for s, _ in call.segments]
            lengths = [n for _, n in call.segments]
            return [(adapter, o, i) for o, n in zip(own, lengths, strict=True) for i in range(n)]
        if call.blocks is not None:
            size = call.block_tokens
            return [(adapter, call.blocks[i // size], i % size) for i in range(call.input_tokens)]
        return fresh(call, call.input_tokens)

    def fresh(call: Call, length: int) -> list[Any]:
        return [(call.adapter or "", (name, f"new:{call.id}"), i) for i in range(length)]

    def whole(call: Call) -> list[Any]:
        output = (name, f"out:{call.id}")
        return spelled(call) + [(call.adapter or "", output, i) for i in range(call.output_tokens)]

    return whole(calls[call]) if with_output else spelled(calls[call])


@given(sessions(), st.sampled_from([1, 2]))
@settings(max_examples=60)
def test_the_table_is_what_looking_ahead_gives(made: list[Session], replicas: int) -> None:
    run = serve(made, Rules(max_model_len=144), GridCost(10, 64), replicas=replicas)
    table = table_of(made, run)
    rows = list(
        zip(*(run.requests[n].tolist() for n in ("session", "call", "replica")), strict=True)
    )
    starts, ends = run.requests["scheduled_ns"], run.requests["finished_ns"]
    served = [i for i in range(len(rows)) if starts[i] >= 0]
    assert set(table) == {rows[i][:2] for i in served}
    for i in served:
        mine = tokens_of(made, *rows[i][:2], with_output=True)
        best: dict[int, int] = {}
        for j in served:
            if rows[j][2] != rows[i][2] or starts[j] < ends[i]:
                continue
            other = tokens_of(made, *rows[j][:2], with_output=False)[:-1]
            pairs = enumerate(zip(mine, other, strict=False))
            first = next((k for k, (a, b) in pairs if a != b), None)
            same = min(len(mine), len(other)) if first is None else first
            for depth in range(1, same + 1):
                best[depth] = min(best.get(depth, 1 << 62), int(starts[j]))
        for depth in range(1, len(mine) + 1):
            told = next((when for tokens, when in table[rows[i][:2]] if depth <= tokens), None)
            assert told == best.get(depth), (rows[i], depth)


def hits(made: list[Session], rules: Rules, order: EvictionOrder) -> int:
    run = serve(made, rules, LinearCost(), eviction=order, arrival="recorded")
    return int(run.requests["cached_tokens"].sum())


prompts = st.lists(
    st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from([16, 32])), min_size=1, max_size=4),
    min_size=2,
    max_size=12,
)


@given(prompts, st.integers(10, 16))
@settings(max_examples=100)
def test_with_the_future_known_nobody_finds_more(
    spans: list[list[tuple[str, int]]], num_blocks: int
) -> None:
    """Requests one after the other, in an order that is the same whatever is evicted."""
    made = one_by_one(spans)
    rules = Rules(block_size=16, num_gpu_blocks=num_blocks, max_model_len=144)
    table = table_of(made, serve(made, rules, LinearCost(), arrival="recorded"))
    best = hits(made, rules, Belady(table))
    found = {name: hits(made, rules, order) for name, order in ORDERS.items()}
    assert best >= max(found.values()), (best, found)
