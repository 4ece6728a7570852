"""Small loads for studies."""

from __future__ import annotations

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
