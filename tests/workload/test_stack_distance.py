"""Stack distances: one pass gives what caches of every size find, beside naive ones."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentsim.domain.trace import Call, Measured, Session, Trace
from agentsim.machine.system import read_config
from agentsim.simulator import simulate
from agentsim.workload import cache_use, stack_distance
from agentsim.workload.formats import read_trace
from agentsim.workload.order import SERVICE_NS, SERVICE_NS_PER_TOKEN, in_order
from agentsim.workload.reuse import SessionPrompts, reuse_of
from agentsim.workload.stack_distance import Fenwick, StackDistances
from workload.generated import spelled_out, traces

S = 1_000_000_000
BLOCK = 4
TRACES = Path(__file__).parents[2] / "traces"


@pytest.fixture
def small_blocks() -> Iterator[None]:
    """Blocks of 4 tokens, so that small prompts have several."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stack_distance, "BLOCK_SIZE", BLOCK)
        patch.setattr(cache_use, "BLOCK_SIZE", BLOCK)
        patch.setattr(cache_use, "SMALLEST_CACHE", 1)
        patch.setattr(cache_use, "WINDOWS", 3)
        yield


class Sending:
    """The blocks of each request in the order in which they are sent: looked up, and used."""

    def __init__(self, trace: Trace, block: int) -> None:
        told = {(s, call.id): (prompt, out) for s, call, prompt, out in spelled_out(trace)}
        self.requests: list[tuple[list[Any], list[Any]]] = []
        self.prompt_tokens = 0
        for session, _, call, _, _ in in_order(trace):
            prompt, output = told[session.id, call.id]
            self.prompt_tokens += len(prompt)
            tokens = prompt + output[:-1]
            blocks = [
                (call.adapter or "", tuple(tokens[: end + block]))
                for end in range(0, len(tokens) - block + 1, block)
            ]
            self.requests.append((blocks[: max(0, len(prompt) - 1) // block], blocks))


def naive_hits(sending: Sending, capacity: int) -> int:
    """Blocks that a cache of this size finds: the last blocks of a request are evicted first."""
    cache: OrderedDict[Any, None] = OrderedDict()
    hits = 0
    for looked_up, used in sending.requests:
        for block in looked_up:
            if block not in cache:
                break
            hits += 1
        for block in reversed(used):
            cache[block] = None
            cache.move_to_end(block)
        while len(cache) > capacity:
            cache.popitem(last=False)
    return hits


@pytest.mark.usefixtures("small_blocks")
@given(traces())
def test_the_curve_is_that_of_caches_of_every_size(trace: Trace) -> None:
    seen = cache_use.cache_use(trace)
    sending = Sending(trace, BLOCK)
    for size in seen.curve:
        hits = naive_hits(sending, size.blocks)
        assert size.tokens == BLOCK * size.blocks
        assert size.hit_rate * sending.prompt_tokens == pytest.approx(BLOCK * hits)
    for share, blocks in seen.enough.items():
        wanted = float(share.rstrip("%")) / 100 * naive_hits(sending, seen.distinct_blocks)
        assert naive_hits(sending, blocks) >= wanted - 1e-9
        assert not blocks or naive_hits(sending, blocks - 1) < wanted


@pytest.mark.usefixtures("small_blocks")
@given(traces())
def test_the_working_set_is_the_different_blocks_of_a_window(trace: Trace) -> None:
    seen = cache_use.cache_use(trace)
    requests = Sending(trace, BLOCK).requests
    windows = [
        requests[begin : begin + seen.window_calls]
        for begin in range(0, len(requests), seen.window_calls)
    ]
    counted = [len({block for _, used in window for block in used}) for window in windows]
    assert list(seen.working_set) == counted
    assert seen.distinct_blocks == len({block for _, used in requests for block in used})


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(-5, 5))))
def test_the_tree_sums_like_a_list(steps: list[tuple[int, int]]) -> None:
    tree, counts = Fenwick(10), [0] * 10
    for place, count in steps:
        tree.add(place, count)
        counts[place] += count
        assert tree.total == sum(counts)
        assert [tree.above(at) for at in range(10)] == [sum(counts[at + 1 :]) for at in range(10)]


def alternating() -> Trace:
    """One session whose five agents take turns, each with a history of its own."""
    calls: list[Call] = []
    last: dict[str, Call] = {}
    for number in range(48):
        agent = f"a{number * number % 5}"
        before = last.get(agent)
        keep = before.input_tokens + before.output_tokens if before else 0
        last[agent] = Call(
            f"c{number}",
            keep + 48 + 37 * number % 90,
            8 + 11 * number % 30,
            (calls[-1].id,) if calls else (),
            agent=agent,
            delay_ns=S,
            extends=before.id if before else None,
            keep=keep,
        )
        calls.append(last[agent])
    return Trace([Session("s", tuple(calls))])


@pytest.mark.parametrize("num_blocks", [165, 180, 220, 260, 300, 400])
def test_a_simulated_server_finds_the_same(num_blocks: int) -> None:
    """But for the one block that the end of a prompt fills in part; block 0 is not for use."""
    trace = alternating()
    config, _ = read_config(
        sets=[f"engine.num_gpu_blocks={num_blocks + 1}", "engine.max_model_len=2560"]
    )
    simulated = int(simulate(trace, config).requests["cached_tokens"].sum())
    sending = Sending(trace, 16)
    assert 16 * naive_hits(sending, num_blocks - 2) <= simulated
    assert simulated <= 16 * naive_hits(sending, num_blocks)
    distances = StackDistances(trace.num_calls)
    session = trace.sessions[0]
    prompts = SessionPrompts({}, "s", session)
    for call in session.calls:
        prompts.add(call)
        edge, depth = prompts.add_answer(call.id)
        distances.use(edge, depth - 1, call.input_tokens - 1)
    assert distances.hits(num_blocks) == naive_hits(sending, num_blocks)


def test_an_endless_cache_finds_what_reuse_counts() -> None:
    """But for the blocks that an answer's last token would fill: it is never computed."""
    trace = read_trace(TRACES / "swe-agent.jsonl")
    prompts = sum(call.input_tokens for session in trace for call in session.calls)
    found = cache_use.cache_use(trace).curve[-1].hit_rate * prompts
    reused = reuse_of(trace).block_tokens
    assert reused - 16 * trace.num_calls // 8 <= found <= reused


def test_calls_are_sent_by_time_across_sessions() -> None:
    chain = (
        Call("a", 10, 1, delay_ns=0),
        Call("b", 10, 1, ("a",), delay_ns=5 * S, measured=Measured(e2e_ns=S)),
        Call("c", 10, 1, ("b",), delay_ns=S),
    )
    recorded = (Call("a", 10, 1, at_ns=0), Call("b", 10, 1, ("a",), at_ns=3 * S))
    trace = Trace([Session("x", chain), Session("y", recorded, at_ns=2 * S)])
    first_s = 5 * S + SERVICE_NS + SERVICE_NS_PER_TOKEN
    assert [(sent.session.id, sent.call.id, sent.at_ns) for sent in in_order(trace)] == [
        ("x", "a", 0),
        ("y", "a", 2 * S),
        ("y", "b", 5 * S),
        ("x", "b", first_s),
        ("x", "c", first_s + 2 * S),
    ]
    assert cache_use.cache_use(trace).order == "closed-loop"
    assert cache_use.cache_use(Trace([Session("y", recorded)])).order == "recorded"


@given(traces())
def test_every_call_is_sent_once_and_after_those_it_names(trace: Trace) -> None:
    sent: set[tuple[str, str]] = set()
    last_ns = 0
    for session, _, call, at_ns, is_last in in_order(trace):
        assert at_ns >= last_ns
        last_ns = at_ns
        named = (*call.after, *([call.extends] if call.extends else []))
        assert all((session.id, name) in sent for name in named)
        sent.add((session.id, call.id))
        assert is_last == (sum(one == session.id for one, _ in sent) == len(session.calls))
    assert len(sent) == trace.num_calls
