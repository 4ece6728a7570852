"""Hypothesis strategies for small traces, and prompts spelled out token by token."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st

from agentsim.domain.trace import Call, Header, Measured, Session, Tool, Trace

BLOCK_SIZE = 4
#: (where the name belongs, name, offset)
Token = tuple[str, Any, int]

_NAMES = ["sys", "task", "~p", "~q"]
_TIMES = st.none() | st.integers(0, 10**14)


@st.composite
def calls_with(draw: st.DrawFn, earlier: list[Call], number: int) -> Call:
    """A call that may go on from earlier ones in every way the format has."""
    agent = draw(st.sampled_from(["main", "sub"]))
    ids = [call.id for call in earlier]
    fields: dict[str, Any] = {"input_tokens": draw(st.integers(0, 40))}
    way = draw(st.sampled_from(["none", "segments", "blocks", "extends", "extends"]))
    if way == "segments":
        names = st.sampled_from([*_NAMES, *(f"out:{name}" for name in ids)])
        parts = draw(st.lists(st.tuples(names, st.integers(0, 15)), max_size=4))
        limits = {f"out:{call.id}": call.output_tokens for call in earlier}
        segments = tuple((name, min(n, limits.get(name, n))) for name, n in parts)
        fields = {"segments": segments, "input_tokens": sum(n for _, n in segments)}
    elif way == "blocks":
        blocks = tuple(draw(st.lists(st.integers(0, 2) | st.just("h"), max_size=5)))
        partial = draw(st.integers(0, BLOCK_SIZE - 1)) if blocks else 0
        tokens = len(blocks) * BLOCK_SIZE - partial
        fields = {"blocks": blocks, "block_tokens": BLOCK_SIZE, "input_tokens": tokens}
    elif way == "extends" and earlier:
        base = draw(st.sampled_from(earlier))
        whole = base.input_tokens + base.output_tokens
        keep = draw(st.just(whole) | st.integers(0, whole))
        fields = {"extends": base.id, "keep": keep, "input_tokens": keep + draw(st.integers(0, 20))}
    after = draw(st.lists(st.sampled_from(ids), unique=True, max_size=2)) if ids else []
    return Call(
        id=f"{agent}/{number}",
        agent=agent,
        turn=number,
        after=tuple(after),
        output_tokens=draw(st.integers(0, 12)),
        delay_ns=draw(_TIMES),
        at_ns=draw(_TIMES),
        trigger=draw(st.sampled_from([None, "tool", "user"])),
        adapter=draw(st.sampled_from([None, None, None, "lora"])),
        priority=draw(st.none() | st.integers(-3, 3)),
        tools=tuple(draw(st.lists(st.builds(Tool, st.just("t"), _TIMES), max_size=2))),
        measured=draw(st.none() | st.builds(Measured, _TIMES, _TIMES)),
        output_estimated=draw(st.booleans()),
        extra=draw(st.none() | st.just({"colour": "red", "slo": {"ttft": 2.0}})),
        **fields,
    )


@st.composite
def sessions(draw: st.DrawFn, name: str) -> Session:
    """A session of one to seven calls."""
    calls: list[Call] = []
    for number in range(draw(st.integers(1, 7))):
        calls.append(draw(calls_with(calls, number)))
    return Session(
        name,
        tuple(calls),
        at_ns=draw(st.integers(0, 3)) * 10**9,
        priority=draw(st.integers(-1, 1)),
        deadline_ns=draw(_TIMES),
        system_tokens=draw(st.sampled_from([0, 0, 5])),
        tool_tokens=draw(st.sampled_from([0, 7])),
        extra=draw(st.none() | st.just({"repo": "r"})),
    )


@st.composite
def traces(draw: st.DrawFn) -> Trace:
    """One to three sessions."""
    names = [f"s{index}" for index in range(draw(st.integers(1, 3)))]
    header = Header(source="made up", tokenizer="none", extra={"block_size": BLOCK_SIZE})
    return Trace([draw(sessions(name)) for name in names], header)


def spelled_out(trace: Trace) -> Iterator[tuple[str, Call, list[Token], list[Token]]]:
    """Session, call, tokens of its prompt and of its output, by the rules of the format."""
    for session in trace:
        prompts: dict[str, list[Token]] = {}
        outputs: dict[str, list[Token]] = {}
        for call in session.calls:
            prompts[call.id] = prompt = list(_prompt(session.id, call, prompts, outputs))
            outputs[call.id] = stretch(session.id, f"out:{call.id}", call.output_tokens)
            assert len(prompt) == call.input_tokens
            yield session.id, call, prompt, outputs[call.id]


def _prompt(
    session: str, call: Call, prompts: dict[str, list[Token]], outputs: dict[str, list[Token]]
) -> Iterator[Token]:
    if call.segments is not None:
        for name, tokens in call.segments:
            private = name.startswith(("~", "out:"))
            yield from stretch(session if private else "", name, tokens)
    elif call.blocks is not None:
        left = call.input_tokens
        for name in call.blocks:
            yield from stretch("#", name, min(left, call.block_tokens))
            left -= call.block_tokens
    else:
        if call.extends is not None:
            yield from (prompts[call.extends] + outputs[call.extends])[: call.keep]
        yield from stretch(session, f"~new:{call.id}", call.input_tokens - call.keep)


def stretch(where: str, name: Any, tokens: int) -> list[Token]:
    return [(where, name, offset) for offset in range(tokens)]


def common(one: list[Token], other: list[Token]) -> int:
    """Tokens that two sequences share from the start."""
    for index, (left, right) in enumerate(zip(one, other, strict=False)):
        if left != right:
            return index
    return min(len(one), len(other))
