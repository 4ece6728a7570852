"""Reuse by its cause, on prompts whose causes can be told on paper."""

from __future__ import annotations

from hypothesis import given

from agentsim.domain.trace import Call, Session, Trace
from agentsim.workload.reuse import reuse_of
from agentsim.workload.reuse_causes import Causes, causes_of
from workload.generated import traces

S = 1_000_000_000


def test_reuse_is_told_by_cause() -> None:
    """A head that both sessions know, a text that both know, and a history of one's own."""
    spans = (("sys", 64), ("~mine", 16), ("text", 16))
    calls = (
        Call("main/0", 96, 10, segments=(("sys", 64), ("~t", 32))),
        Call("main/1", 130, 10, ("main/0",), extends="main/0", keep=106),
        Call("sub/0", 96, 5, ("main/1",), agent="sub", segments=(("sys", 64), ("~s", 32))),
    )
    first = Session("a", calls)
    assert causes_of(Trace([first])) == Causes(106, 64, 0)
    second = Session("b", (Call("main/0", 96, 0, segments=spans),), at_ns=S)
    assert causes_of(Trace([first, second])) == Causes(106, 128, 0)
    blocks = tuple(
        Session(name, (Call("main/0", 48, 0, blocks=(1, 2, 3), block_tokens=16),)) for name in "ab"
    )
    assert causes_of(Trace(blocks)) == Causes(0, 0, 48)


@given(traces())
def test_causes_add_up_to_the_reuse(trace: Trace) -> None:
    causes = causes_of(trace)
    parts = (causes.own_history, causes.shared_head, causes.other_sessions)
    assert sum(parts) == reuse_of(trace).tokens
    assert min(parts) >= 0
