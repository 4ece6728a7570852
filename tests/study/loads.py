"""Small loads for studies."""

from __future__ import annotations

import msgspec

from agentsim.domain.trace import Call, Session, Trace


def agents(number: int, *, calls: int = 3, tokens: int = 400, output: int = 30) -> Trace:
    """Sessions whose calls grow, each with a second of tools in between."""
    return Trace(
        [
            Session(
                f"s{agent}",
                tuple(
                    Call(
                        f"c{turn}",
                        tokens * (turn + 1),
                        output,
                        after=(f"c{turn - 1}",) if turn else (),
                        delay_ns=10**9 if turn else 0,
                    )
                    for turn in range(calls)
                ),
            )
            for agent in range(number)
        ]
    )


def histories(number: int, *, calls: int = 3) -> Trace:
    """The same, each prompt after the first grown from the last prompt and its answer."""
    return Trace(
        [
            msgspec.structs.replace(
                session,
                calls=tuple(
                    msgspec.structs.replace(
                        call, extends=base.id, keep=base.input_tokens + base.output_tokens
                    )
                    if base is not None
                    else call
                    for base, call in zip((None, *session.calls), session.calls, strict=False)
                ),
            )
            for session in agents(number, calls=calls)
        ]
    )
