"""Hypothesis strategies of settings and loads for the engine: small pools, odd sizes, coincidences.

A load is what a v1 trace may say: prompts of segments, of another call's prompt and output, of
hashed blocks, or of nothing shared; calls that wait for others or for none; prompts with the output
of a call that has not been answered yet, or not even been sent.
"""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from agentsim.domain.trace import Call, Session
from agentsim.engine.rules import Rules

MAX_MODEL_LEN = 144
LONGEST_PROMPT = 100
BLOCK_TOKENS = 7


@st.composite
def rules(draw: st.DrawFn) -> Rules:
    """Settings under which every load of `sessions` can be served."""
    block_size = draw(st.sampled_from([1, 3, 4, 16]))
    is_async = draw(st.booleans())
    drafts = draw(st.sampled_from([0, 0, 0, 3]))
    is_chunked = draw(st.sampled_from([True, True, True, False]))
    budgets = [16, 64, 512] if drafts else [4, 8, 16, 64, 512]
    seqs = draw(st.sampled_from([1, 2, 4, 16]))
    room = draw(st.sampled_from([0, 0, 0, 20, 100, 1000]))
    lookahead = draw(st.sampled_from([0, drafts]))
    return Rules(
        block_size=block_size,
        num_gpu_blocks=2 + (MAX_MODEL_LEN + room) // block_size,
        max_num_seqs=seqs,
        max_num_batched_tokens=draw(st.sampled_from(budgets)) if is_chunked else 512,
        max_model_len=MAX_MODEL_LEN,
        enable_prefix_caching=draw(st.sampled_from([True, True, False])),
        enable_chunked_prefill=is_chunked,
        long_prefill_token_threshold=draw(st.sampled_from([0, 0, 5, 24])),
        adaptive_long_prefill_threshold=draw(st.booleans()),
        lone_prefill_exempt=draw(st.booleans()),
        policy=draw(st.sampled_from(["fcfs", "priority"])),
        watermark=draw(st.sampled_from([0.0, 0.0, 0.1, 0.4])),
        scheduler_reserve_full_isl=draw(st.booleans()),
        max_num_active_seqs=draw(st.sampled_from([None, None, 1, seqs])),
        num_speculative_tokens=drafts,
        num_lookahead_tokens=lookahead,
        drop_last_hit=bool(lookahead) and draw(st.booleans()),
        async_scheduling=is_async,
        two_ended_free_queue=draw(st.sampled_from([True, True, True, False])),
    )


@st.composite
def _segments(draw: st.DrawFn, calls: list[Call], group: int) -> tuple[tuple[str, int], ...]:
    """A prompt of named segments; outputs of earlier calls among them, answered or not."""
    names = ["sys", "sys2", f"own{group}", "~own"]
    segments = []
    room = LONGEST_PROMPT
    for _ in range(draw(st.integers(1, 4))):
        answers = [call for call in calls if call.output_tokens]
        if answers and draw(st.booleans()):
            call = draw(st.sampled_from(answers))
            whole = draw(st.booleans())
            length = call.output_tokens if whole else draw(st.integers(1, call.output_tokens))
            segment = (f"out:{call.id}", length)
        else:
            segment = (draw(st.sampled_from(names)), draw(st.integers(1, 60)))
        if segment[1] <= room:
            segments.append(segment)
            room -= segment[1]
    return tuple(segments)


def _spelled(calls: list[Call], call: Call) -> tuple[tuple[str, int], ...] | None:
    """The segments of a call's prompt and output, if they can be named from outside."""
    segments = call.segments
    if call.extends is not None and call.input_tokens == call.keep and not call.adapter:
        base = next(other for other in calls if other.id == call.extends)
        if call.keep == base.input_tokens + base.output_tokens and not base.adapter:
            segments = _spelled(calls, base)
    if segments is None or not call.output_tokens:
        return segments
    return (*segments, (f"out:{call.id}", call.output_tokens))


@st.composite
def _identity(draw: st.DrawFn, calls: list[Call], group: int) -> dict[str, Any]:
    """What a prompt is made of, with its length."""
    kinds = ["segments", "segments", "blocks", "none", "empty"]
    if calls:
        kinds += ["extends"] * 5 + ["spelled"] * 3
    kind = draw(st.sampled_from(kinds))
    if kind == "segments":
        segments = draw(_segments(calls, group))
        return {"segments": segments, "input_tokens": sum(length for _, length in segments)}
    if kind == "blocks":
        blocks = tuple(draw(st.lists(st.integers(0, 2), min_size=1, max_size=14)))
        last = draw(st.integers(1, BLOCK_TOKENS))
        tokens = BLOCK_TOKENS * (len(blocks) - 1) + last
        return {"blocks": blocks, "block_tokens": BLOCK_TOKENS, "input_tokens": tokens}
    if kind == "none":
        return {"input_tokens": draw(st.integers(1, 60))}
    if kind == "empty":
        return {"input_tokens": 0}
    base = draw(st.sampled_from(calls))
    longest = base.input_tokens + base.output_tokens
    if kind == "spelled" and longest <= LONGEST_PROMPT:  # the same as `extends`, as segments
        spelled = _spelled(calls, base)
        if spelled:
            return {"segments": spelled, "input_tokens": longest}
    keep = draw(st.one_of(st.just(longest), st.integers(0, longest)))
    tokens = max(1, keep + draw(st.sampled_from([0, 0, 1, 7, 30])))
    tokens = min(LONGEST_PROMPT, tokens)
    return {"extends": base.id, "keep": min(keep, tokens), "input_tokens": tokens}


@st.composite
def sessions(draw: st.DrawFn, most: int = 5) -> list[Session]:
    """A few sessions whose calls share much and meet often."""
    grid = draw(st.sampled_from([1, 10]))
    spread = draw(st.sampled_from([0, 3, 40]))
    time = st.integers(0, spread).map(lambda n: n * grid)
    outputs = draw(st.sampled_from([st.integers(0, 40), st.integers(30, 44)]))
    made = []
    for number in range(draw(st.integers(1, most))):
        calls: list[Call] = []
        for turn in range(draw(st.integers(1, 5))):
            after: tuple[str, ...] = ()
            if calls:
                kind = draw(st.sampled_from(["chain", "chain", "root", "join"]))
                if kind == "chain":
                    after = (calls[-1].id,)
                elif kind == "join":
                    ids = [call.id for call in calls]
                    after = tuple(draw(st.lists(st.sampled_from(ids), min_size=1, unique=True)))
            calls.append(
                Call(
                    id=f"c{turn}",
                    output_tokens=draw(outputs),
                    after=after,
                    delay_ns=draw(time),
                    finish=draw(st.sampled_from([None, "length"])),
                    priority=draw(st.integers(0, 2)),
                    adapter=draw(st.sampled_from([None, None, None, "lora"])),
                    **draw(_identity(calls, number % 3)),
                )
            )
        made.append(Session(id=f"s{number}", calls=tuple(calls), at_ns=draw(time)))
    return made
