"""What is in a trace: counts, shapes, waits, and the reuse that a cache without limit would see."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
import numpy as np

from agentsim.domain.trace import Call, Session, Trace
from agentsim.domain.units import ns_to_seconds
from agentsim.workload.heads import share_heads
from agentsim.workload.reuse import reuse_of

#: Named percentiles of every distribution; numpy's method "linear".
PERCENTILES = {"p10": 10, "p50": 50, "p90": 90, "p99": 99}


class Quantiles(msgspec.Struct, frozen=True):
    """A distribution in four percentiles; all 0 if `count` is 0."""

    count: int
    mean: float
    p10: float
    p50: float
    p90: float
    p99: float


class Inspection(msgspec.Struct, frozen=True):
    """What is in a trace.

    Attributes
    ----------
    sessions, calls, sub_agents, joins : int
        Agents beside the first one of their session; calls that wait for more than one.
    empty_calls, prefill_only_calls : int
        Calls without a prompt, and without an output.
    prompt_tokens, output_tokens, longest_prompt_tokens : int
    prefill_share : float
        Prompt tokens of all tokens.
    reused_tokens, reused_block_tokens, reused_prompt_tokens : int
        As in `reuse.Reuse`; sessions share their heads, as in a replay (`heads.share_heads`).
    reuse, block_reuse, prompt_reuse : float
        The same as a share of `prompt_tokens`.
    calls_per_session, prompt, output, appended : Quantiles
        In tokens but for the first. Appended is what a prompt adds to the prompt and output of the
        call it goes on from, where it adds anything.
    shrunk_calls : int
        Calls that add nothing or less.
    delay_s : Quantiles
        Known waits before calls that follow another, in seconds.
    unknown_delays : int
        Calls that follow another after a wait the trace does not say.
    triggers, identities : dict of str to int
        Calls by what caused them, and by how their prompt's identity is given.
    estimated_inputs, estimated_outputs : int
        Calls whose counts the source did not know.
    notes : dict of str to int
        What the reader assumed.
    """

    sessions: int
    calls: int
    sub_agents: int
    joins: int
    empty_calls: int
    prefill_only_calls: int
    prompt_tokens: int
    output_tokens: int
    longest_prompt_tokens: int
    prefill_share: float
    reused_tokens: int
    reuse: float
    reused_block_tokens: int
    block_reuse: float
    reused_prompt_tokens: int
    prompt_reuse: float
    calls_per_session: Quantiles
    prompt: Quantiles
    output: Quantiles
    appended: Quantiles
    shrunk_calls: int
    delay_s: Quantiles
    unknown_delays: int
    triggers: dict[str, int]
    identities: dict[str, int]
    estimated_inputs: int
    estimated_outputs: int
    notes: dict[str, int]


def inspect(trace: Trace) -> Inspection:
    """Count, measure and find the reuse of a trace."""
    calls = [call for session in trace for call in session.calls]
    followers = [call for call in calls if call.after]
    prompt_tokens = sum(call.input_tokens for call in calls)
    output_tokens = sum(call.output_tokens for call in calls)
    grown = [tokens for session in trace for tokens in appended_tokens(session)]
    reuse = reuse_of(share_heads(trace))
    return Inspection(
        sessions=len(trace),
        calls=len(calls),
        sub_agents=sum(len({call.agent for call in s.calls}) - 1 for s in trace if s.calls),
        joins=sum(len(call.after) > 1 for call in calls),
        empty_calls=sum(not call.input_tokens for call in calls),
        prefill_only_calls=sum(call.input_tokens > 0 == call.output_tokens for call in calls),
        prompt_tokens=prompt_tokens,
        output_tokens=output_tokens,
        longest_prompt_tokens=max((call.input_tokens for call in calls), default=0),
        prefill_share=_share(prompt_tokens, prompt_tokens + output_tokens),
        reused_tokens=reuse.tokens,
        reuse=_share(reuse.tokens, prompt_tokens),
        reused_block_tokens=reuse.block_tokens,
        block_reuse=_share(reuse.block_tokens, prompt_tokens),
        reused_prompt_tokens=reuse.prompt_tokens,
        prompt_reuse=_share(reuse.prompt_tokens, prompt_tokens),
        calls_per_session=quantiles(len(session.calls) for session in trace),
        prompt=quantiles(call.input_tokens for call in calls),
        output=quantiles(call.output_tokens for call in calls),
        appended=quantiles(tokens for tokens in grown if tokens > 0),
        shrunk_calls=sum(tokens <= 0 for tokens in grown),
        delay_s=quantiles(
            ns_to_seconds(call.delay_ns) for call in followers if call.delay_ns is not None
        ),
        unknown_delays=sum(call.delay_ns is None for call in followers),
        triggers=_counts(call.trigger or "unknown" for call in calls),
        identities=_counts(map(identity, calls)),
        estimated_inputs=sum(call.input_estimated for call in calls),
        estimated_outputs=sum(call.output_estimated for call in calls),
        notes=trace.notes,
    )


def identity(call: Call) -> str:
    """How the call says what its prompt is made of."""
    if call.segments is not None:
        return "segments"
    if call.extends is not None:
        return "extends"
    return "none" if call.blocks is None else "blocks"


def appended_tokens(session: Session) -> list[int]:
    """Tokens that each call adds to the prompt and output of the call it goes on from.

    That is the call it extends, or else the one before it of its agent; first calls are left out.
    """
    appended = []
    calls: dict[str, Call] = {}
    latest: dict[str, Call] = {}
    for call in session.calls:
        base = latest.get(call.agent) if call.extends is None else calls[call.extends]
        if base is not None:
            appended.append(call.input_tokens - base.input_tokens - base.output_tokens)
        calls[call.id] = latest[call.agent] = call
    return appended


def quantiles(values: Iterable[float]) -> Quantiles:
    """The percentiles of `PERCENTILES`, the mean and the count."""
    numbers = np.fromiter(values, dtype=np.float64)
    if not len(numbers):
        return Quantiles(0, 0.0, 0.0, 0.0, 0.0, 0.0)
    points = np.percentile(numbers, list(PERCENTILES.values()))
    return Quantiles(len(numbers), float(numbers.mean()), *map(float, points))


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def _counts(names: Iterable[str]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for name in names:
        counts[name] = counts.get(name, 0) + 1
    return dict(sorted(counts.items()))
