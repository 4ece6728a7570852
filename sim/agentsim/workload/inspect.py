"""What is in a trace: counts, shapes, waits, and the reuse that a cache without limit would see."""

from __future__ import annotations

from array import array
from collections.abc import Iterable

import msgspec
import numpy as np

from agentsim.domain.trace import Call, Session, Trace
from agentsim.domain.units import ns_to_seconds
from agentsim.workload.cache_use import CacheUse, cache_use
from agentsim.workload.heads import share_heads
from agentsim.workload.histogram import Histogram, histogram
from agentsim.workload.reuse import reuse_of
from agentsim.workload.reuse_causes import Causes, causes_of

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
    histograms : dict of str to Histogram
        Of the distributions above, by their names.
    causes : Causes
        Why the reused tokens were sent before.
    cache : CacheUse
        Hit rate by the size of a cache, working set.
    unknown : dict of str to int
        What the trace cannot tell, and of how many calls (or sessions, or tools).
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
    histograms: dict[str, Histogram]
    causes: Causes
    cache: CacheUse
    unknown: dict[str, int]


def inspect(trace: Trace) -> Inspection:
    """Count, measure and find the reuse of a trace."""
    counts = _Counts()
    for session in trace:
        counts.add(session)
    shared = share_heads(trace)
    reuse = reuse_of(shared)
    values = counts.values
    tokens = counts.prompt_tokens
    return Inspection(
        sessions=len(trace),
        calls=trace.num_calls,
        sub_agents=counts.sub_agents,
        joins=counts.joins,
        empty_calls=counts.empty,
        prefill_only_calls=counts.prefill_only,
        prompt_tokens=tokens,
        output_tokens=counts.output_tokens,
        longest_prompt_tokens=int(max(values["prompt"], default=0)),
        prefill_share=_share(tokens, tokens + counts.output_tokens),
        reused_tokens=reuse.tokens,
        reuse=_share(reuse.tokens, tokens),
        reused_block_tokens=reuse.block_tokens,
        block_reuse=_share(reuse.block_tokens, tokens),
        reused_prompt_tokens=reuse.prompt_tokens,
        prompt_reuse=_share(reuse.prompt_tokens, tokens),
        **{name: quantiles(numbers) for name, numbers in values.items()},
        shrunk_calls=counts.shrunk,
        unknown_delays=counts.unknown_delays,
        triggers=dict(sorted(counts.triggers.items())),
        identities=dict(sorted(counts.identities.items())),
        estimated_inputs=counts.estimated_inputs,
        estimated_outputs=counts.estimated_outputs,
        notes=trace.notes,
        histograms={name: histogram(np.asarray(each)) for name, each in values.items()},
        causes=causes_of(shared),
        cache=cache_use(shared),
        unknown={name: count for name, count in counts.unknown().items() if count},
    )


class _Counts:
    """Sums and values over sessions, one after the other."""

    def __init__(self) -> None:
        names = ("calls_per_session", "prompt", "output", "appended", "delay_s")
        self.values = {name: array("d") for name in names}
        self.prompt_tokens = self.output_tokens = 0
        self.sub_agents = self.joins = self.empty = self.prefill_only = self.shrunk = 0
        self.unknown_delays = self.estimated_inputs = self.estimated_outputs = 0
        self.triggers: dict[str, int] = {}
        self.identities: dict[str, int] = {}
        self._untimed_tools = self._headless = self._alone = self._started = 0

    def add(self, session: Session) -> None:
        """Add a session."""
        values = self.values
        values["calls_per_session"].append(len(session.calls))
        self.sub_agents += max(0, len({call.agent for call in session.calls}) - 1)
        for call in session.calls:
            self._add_call(call)
        grown = appended_tokens(session)
        values["appended"].extend(tokens for tokens in grown if tokens > 0)
        self.shrunk += sum(tokens <= 0 for tokens in grown)
        says_head = session.system_tokens + session.tool_tokens > 0
        self._started += session.at_ns > 0
        self._headless += not says_head and all(
            call.segments is None and call.blocks is None for call in session.calls
        )

    def _add_call(self, call: Call) -> None:
        values = self.values
        values["prompt"].append(call.input_tokens)
        values["output"].append(call.output_tokens)
        self.prompt_tokens += call.input_tokens
        self.output_tokens += call.output_tokens
        self.joins += len(call.after) > 1
        self.empty += not call.input_tokens
        self.prefill_only += call.input_tokens > 0 == call.output_tokens
        if call.after and call.delay_ns is None:
            self.unknown_delays += 1
        elif call.after and call.delay_ns is not None:
            values["delay_s"].append(ns_to_seconds(call.delay_ns))
        self.estimated_inputs += call.input_estimated
        self.estimated_outputs += call.output_estimated
        self._alone += bool(call.after) and identity(call) == "none"
        self._untimed_tools += sum(tool.duration_ns is None for tool in call.tools)
        for counts, name in (
            (self.triggers, call.trigger or "unknown"),
            (self.identities, identity(call)),
        ):
            counts[name] = counts.get(name, 0) + 1

    def unknown(self) -> dict[str, int]:
        """What the trace cannot tell."""
        num_sessions = len(self.values["calls_per_session"])
        return {
            "calls whose wait is not known": self.unknown_delays,
            "prompts whose length is an estimate": self.estimated_inputs,
            "answers whose length is an estimate": self.estimated_outputs,
            "prompts that do not say what they share": self._alone,
            "sessions that do not say what they share with others": self._headless,
            "calls that do not say what caused them": self.triggers.get("unknown", 0),
            "sessions that all start at once": 0
            if self._started or num_sessions < 2
            else num_sessions,
            "tools without a duration": self._untimed_tools,
        }


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
