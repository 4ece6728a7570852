"""A trace made larger or smaller turn by turn."""

from __future__ import annotations

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
