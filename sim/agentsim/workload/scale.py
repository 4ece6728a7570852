"""A trace made larger or smaller turn by turn."""

from __future__ import annotations

from typing import Any

import msgspec

from agentsim.domain.trace import Call, Session, Trace
from agentsim.errors import TraceError


def scale_turns(trace: Trace, factor: float) -> Trace:
    """Multiply what every turn adds, and how long every tool runs.

    First prompts stay as they are; answers and appended tokens are multiplied and rounded (answers
    to at least 1), and each prompt becomes its base's prompt, answer and appended tokens.

    Parameters
    ----------
    trace : Trace
        Sessions whose calls extend earlier ones by whole prompts and answers. Not changed.
    factor : float
        Above 0.

    Raises
    ------
    TraceError
        If a call extends only a part of an earlier one.
    """
    return Trace([_scaled(session, factor) for session in trace], trace.header, trace.notes)


def scale_growth(trace: Trace, factor: float) -> Trace:
    """Multiply what a session adds to its prompts, and its answers; times stay.

    What stands in a session's first prompt keeps its length: its system prompt, tools and task.
    Prompts given as block hashes, which cannot be cut, grow with their blocks.

    Parameters
    ----------
    factor : float
        Above 0.
    """
    sessions = [_grown(session, factor) for session in trace]
    return Trace(sessions, trace.header, trace.notes)


def _grown(session: Session, factor: float) -> Session:
    old = {call.id: call for call in session.calls}
    made: dict[str, Call] = {}
    first = {name for call in session.calls[:1] for name, _ in call.segments or ()}

    def length(name: str, tokens: int) -> int:
        made_by = old.get(name.removeprefix("out:")) if name.startswith("out:") else None
        if made_by is not None and tokens == made_by.output_tokens:
            return made[made_by.id].output_tokens
        return tokens if name in first else max(1, round(tokens * factor))

    for call in session.calls:
        changes: dict[str, Any] = {
            "output_tokens": max(1, round(call.output_tokens * factor)) if call.output_tokens else 0
        }
        if call.segments is not None:
            segments = tuple((name, length(name, tokens)) for name, tokens in call.segments)
            changes |= {"segments": segments, "input_tokens": sum(n for _, n in segments)}
        elif call.blocks is not None:
            changes["block_tokens"] = max(1, round(call.block_tokens * factor))
            changes["input_tokens"] = min(
                round(call.input_tokens * factor), len(call.blocks) * changes["block_tokens"]
            )
        elif call.extends is not None:
            base, grown = old[call.extends], made[call.extends]
            kept = _kept(call.keep, base, grown)
            changes["keep"] = kept
            changes["input_tokens"] = kept + round((call.input_tokens - call.keep) * factor)
        made[call.id] = msgspec.structs.replace(call, measured=None, **changes)
    return msgspec.structs.replace(session, calls=tuple(made.values()))


def _kept(keep: int, base: Call, grown: Call) -> int:
    """The same part of a call's prompt and answer after both have grown."""
    if keep <= base.input_tokens:
        return round(keep * grown.input_tokens / base.input_tokens) if base.input_tokens else 0
    beyond = (keep - base.input_tokens) * grown.output_tokens / base.output_tokens
    return grown.input_tokens + round(beyond)


def _scaled(session: Session, factor: float) -> Session:
    old = {call.id: call for call in session.calls}
    made: dict[str, Call] = {}
    for call in session.calls:
        tokens, keep = call.input_tokens, call.keep
        if call.extends is not None:
            base, new_base = old[call.extends], made[call.extends]
            if keep != base.input_tokens + base.output_tokens:
                raise TraceError(
                    f"{session.id}/{call.id}: field 'keep': expected all of call {base.id} "
                    f"({base.input_tokens + base.output_tokens} tokens) to scale turns, got {keep}"
                )
            keep = new_base.input_tokens + new_base.output_tokens
            tokens = keep + round((tokens - call.keep) * factor)
        made[call.id] = msgspec.structs.replace(
            call,
            input_tokens=tokens,
            keep=keep,
            output_tokens=max(1, round(call.output_tokens * factor)) if call.output_tokens else 0,
            delay_ns=None if call.delay_ns is None else round(call.delay_ns * factor),
            tools=(),
            measured=None,
        )
    return msgspec.structs.replace(session, calls=tuple(made.values()))
