"""The head of a prompt: system prompt and tool definitions, which sessions of one agent share."""

from __future__ import annotations

from collections.abc import Sequence
from operator import is_not

import msgspec

from agentsim.domain.trace import Call, Session, Trace
from agentsim.workload.spool import collect

HEADS_SHARED = "roots with a shared head"

_Segments = Sequence[tuple[str, int]]


def share_heads(trace: Trace, shared_prefix_tokens: int | None = None) -> Trace:
    """Let sessions share the head of their first prompt where the trace says only its length.

    The first prompts (roots that share nothing so far) become two segments: the head, under a name
    that is the same for all sessions with the same lengths, and the rest, private to the session.
    Prompts given as segments or blocks already say what they share and stay.

    Parameters
    ----------
    trace : Trace
        Not changed.
    shared_prefix_tokens : int or None
        Length of the head of every root, in tokens; 0 for none. By default `system_tokens` +
        `tool_tokens` of each session.

    Returns
    -------
    Trace
        With a note of how many roots got a head.
    """
    if all(_with_heads(session, shared_prefix_tokens) is session for session in trace):
        return trace
    num_shared = 0

    def shared(session: Session) -> Session:
        nonlocal num_shared
        changed = _with_heads(session, shared_prefix_tokens)
        num_shared += sum(map(is_not, changed.calls, session.calls))
        return changed

    sessions = collect(map(shared, trace))
    return Trace(sessions, trace.header, {**trace.notes, HEADS_SHARED: num_shared})


def _with_heads(session: Session, shared_prefix_tokens: int | None) -> Session:
    """The session with its roots' heads; itself if there is none."""
    if shared_prefix_tokens is None:
        tokens = session.system_tokens + session.tool_tokens
        name = f"sys:{session.system_tokens}+{session.tool_tokens}"
    else:
        tokens, name = shared_prefix_tokens, "sys:shared-prefix"
    calls = tuple([_with_head(call, name, tokens) for call in session.calls])
    if not any(map(is_not, calls, session.calls)):
        return session
    return msgspec.structs.replace(session, calls=calls)


def _with_head(call: Call, name: str, tokens: int) -> Call:
    shares_nothing = call.segments is None and call.extends is None and call.blocks is None
    if call.after or not shares_nothing or not tokens or not call.input_tokens:
        return call
    head = min(tokens, call.input_tokens)
    rest = call.input_tokens - head
    private = ((f"~new:{call.id}", rest),) if rest else ()
    return msgspec.structs.replace(call, segments=((name, head), *private))


def head_tokens(session: Session) -> dict[str, int]:
    """How much of each prompt's start is the head of its agent, which truncation must keep.

    The head is what is declared (`system_tokens` + `tool_tokens`, for prompts that begin at a root
    of the session), or else the leading segments of the agent's first prompt that are neither
    private (``~``) nor an output.

    Returns
    -------
    dict of str to int
        Tokens, by call id.
    """
    declared = session.system_tokens + session.tool_tokens
    heads: dict[str, int] = {}
    first_segments: dict[str, _Segments] = {}
    for call in session.calls:
        if call.extends is not None:
            heads[call.id] = min(call.keep, heads[call.extends])
        elif call.segments is not None:
            named = first_segments.setdefault(call.agent, leading_shared(call.segments))
            length = common_tokens(named, call.segments)
            heads[call.id] = min(length, declared) if declared else length
        else:
            heads[call.id] = 0 if call.after else min(declared, call.input_tokens)
    return heads


def leading_shared(segments: _Segments) -> _Segments:
    """The leading segments that another session could share."""
    for index, (name, _) in enumerate(segments):
        if name.startswith(("~", "out:")):
            return segments[:index]
    return segments


def common_tokens(one: _Segments, other: _Segments) -> int:
    """Tokens that two prompts made of segments share from the start."""
    ones, others = _stack(one), _stack(other)
    total = 0
    while ones and others:
        name, begin, tokens = ones.pop()
        other_name, other_begin, other_tokens = others.pop()
        if (name, begin) != (other_name, other_begin):
            break
        same = min(tokens, other_tokens)
        total += same
        if same < tokens:
            ones.append((name, begin + same, tokens - same))
        if same < other_tokens:
            others.append((name, begin + same, other_tokens - same))
    return total


def _stack(segments: _Segments) -> list[tuple[str, int, int]]:
    """Name, first offset and tokens of each segment that is not empty; the first one is on top."""
    return [(name, 0, tokens) for name, tokens in reversed(segments) if tokens]


def first_tokens(segments: _Segments, tokens: int) -> tuple[tuple[str, int], ...]:
    """The segments of the first `tokens` tokens."""
    head: list[tuple[str, int]] = []
    for name, length in segments:
        if not tokens:
            break
        head.append((name, min(length, tokens)))
        tokens -= head[-1][1]
    return tuple(head)
