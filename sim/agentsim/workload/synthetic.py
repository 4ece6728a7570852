"""Sessions made from stated distributions, by addressed draws: the same seed, the same trace.

A distribution is a table of quantiles, as papers print them. `spread` draws from it without chance
in the shape: the values are the table's own at evenly spaced quantiles, only their order is drawn.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

from agentsim.domain.chance import uniforms
from agentsim.domain.trace import Call, Tool

#: (quantile, value) from quantile 0 to 1, rising, values > 0.
Table = Sequence[tuple[float, float]]


class Turn(NamedTuple):
    """A call's answer and what comes back before the next call.

    Attributes
    ----------
    output_tokens, result_tokens : int
        The answer, and the tool's result that the next prompt appends.
    tool : str
        Name of the tool.
    duration_ns : int
        How long it runs: the wait before the next call.
    """

    output_tokens: int
    result_tokens: int
    tool: str
    duration_ns: int


def value_at(table: Table, quantile: float) -> float:
    """The value of a table at a quantile, interpolated along logarithms.

    Examples
    --------
    >>> round(value_at([(0.0, 1.0), (1.0, 100.0)], 0.5), 6)
    10.0
    """
    for (low, start), (high, end) in itertools.pairwise(table):
        if quantile <= high:
            share = (quantile - low) / (high - low)
            return math.exp(math.log(start) + share * (math.log(end) - math.log(start)))
    return table[-1][1]


def spread(table: Table, count: int, seed: int, stream: str) -> list[float]:
    """`count` values whose quantiles are the table's, in a drawn order."""
    draws = uniforms(seed, stream, "order", count)
    order = sorted(range(count), key=lambda index: (draws[index], index))
    return [value_at(table, (rank + 0.5) / count) for rank in order]


def shares(weights: Sequence[float], total: int) -> list[int]:
    """Whole numbers in the proportions of `weights` that add up to `total` (largest remainders).

    Examples
    --------
    >>> shares([1, 1, 1], 10)
    [4, 3, 3]
    """
    scale = total / sum(weights)
    exact = [weight * scale for weight in weights]
    whole = [math.floor(value) for value in exact]
    by_remainder = sorted(range(len(exact)), key=lambda index: (whole[index] - exact[index], index))
    for index in by_remainder[: total - sum(whole)]:
        whole[index] += 1
    return whole


def growing_prompt(
    agent: str,
    first_turn: int,
    segments: Sequence[tuple[str, int]],
    turns: Sequence[Turn],
    *,
    after: str | None,
    trigger: str,
) -> list[Call]:
    """Calls of an agent whose prompt grows by its own answers and its tools' results.

    Parameters
    ----------
    agent : str
    first_turn : int
        Number of the first of these calls in the agent.
    segments : sequence of (str, int)
        The first prompt.
    turns : sequence of Turn
        One for each call; the last one's tool is not run.
    after : str or None
        The call that the first of these waits for, without delay.
    trigger : str
        What causes the first of these.
    """
    tokens = sum(length for _, length in segments)
    calls: list[Call] = []
    for index, turn in enumerate(turns):
        last = index == len(turns) - 1
        before = calls[-1] if calls else None
        waits_for = before.id if before else after
        calls.append(
            Call(
                id=f"{agent}/{first_turn + index}",
                agent=agent,
                turn=first_turn + index,
                input_tokens=tokens,
                output_tokens=turn.output_tokens,
                after=() if waits_for is None else (waits_for,),
                delay_ns=turns[index - 1].duration_ns if before else 0,
                trigger="tool" if before else trigger,
                segments=None if before else tuple(segments),
                extends=before.id if before else None,
                keep=before.input_tokens + before.output_tokens if before else 0,
                tools=() if last else (Tool(turn.tool, turn.duration_ns, turn.result_tokens),),
            )
        )
        tokens += turn.output_tokens + turn.result_tokens
    return calls
