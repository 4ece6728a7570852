"""Fit a trace to a model's context limit: prompts that are too long for it, in four ways.

A prompt is too long when it leaves no room for one token: vLLM takes at most ``max_model_len - 1``
prompt tokens. An answer that then runs into the limit is cut by the engine, not here.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from agentsim.domain.trace import Call, Session, Trace
from agentsim.errors import DoesNotFit, UnknownName
from agentsim.workload.compact import Compaction
from agentsim.workload.heads import share_heads
from agentsim.workload.lineage import Lineage
from agentsim.workload.spool import collect
from agentsim.workload.truncate import Truncation

__all__ = ["MODES", "fit_to_limit", "share_heads"]

MODES = ("refuse", "skip", "truncate", "compact")

#: Length of the prompt after a compaction, as a share of the limit. Sessions of weka-claude-code
#: that drop by more than 30 % fall to 0.27 of the prompt before (median of 177).
COMPACTED_SHARE = 0.25

SKIPPED = "calls skipped: prompt too long"
SKIPPED_AFTER = "calls skipped: after a skipped call"
SKIPPED_TOKENS = "prompt tokens of skipped calls"
TRUNCATED = "prompts truncated"
TRUNCATED_TOKENS = "prompt tokens truncated"
COMPACTED = "prompts compacted"
SHORTENED = "prompts shortened by an earlier compaction"
COMPACTED_TOKENS = "prompt tokens saved by compaction"


def fit_to_limit(
    trace: Trace, max_model_len: int, mode: str = "refuse", *, compact_tokens: int | None = None
) -> Trace:
    """Make every prompt fit into the model's context.

    Parameters
    ----------
    trace : Trace
        Not changed.
    max_model_len : int
        The model's limit of prompt and output together, >= 2.
    mode : str
        ``refuse``: an error. ``skip``: the call and all that wait for it are left out, so the
        session ends there. ``truncate``: the oldest tokens after the head are left out; the prompt
        keeps room for its output (but at least half the limit), and shares nothing behind the
        head. ``compact``: the client summarises: the prompt becomes one of `compact_tokens`, and
        later prompts grow from there by what they appended.
    compact_tokens : int or None
        Tokens of a prompt after a compaction, head included; by default `COMPACTED_SHARE` of
        `max_model_len`.

    Returns
    -------
    Trace
        The trace itself if every prompt fits. Otherwise a new one, with notes of what was done.

    Raises
    ------
    DoesNotFit
        If the mode is ``refuse`` and a prompt is too long, or `compact_tokens` does not fit.
    UnknownName
        If there is no such mode.
    """
    if mode not in MODES:
        raise UnknownName("--too-long mode", mode, MODES)
    longest = max_model_len - 1
    too_long = ((s, c) for s in trace for c in s.calls if c.input_tokens > longest)
    first = next(too_long, None)
    if first is None:
        return trace
    counts: dict[str, int] = {}
    if mode == "refuse":
        raise _refusal(*first, longest, 1 + sum(1 for _ in too_long), trace.num_calls)
    if mode == "skip":
        return _each_session(trace, lambda session: _skip(session, longest, counts), counts)
    if mode == "truncate":
        return _each_session(
            trace, lambda session: _truncate(session, max_model_len, counts), counts
        )
    default = max(1, round(COMPACTED_SHARE * max_model_len))
    tokens = default if compact_tokens is None else compact_tokens
    if not 1 <= tokens <= longest:
        raise DoesNotFit(
            f"compacted prompts: expected 1 to {longest} tokens (max_model_len {max_model_len}), "
            f"got {tokens}"
        )
    return _each_session(trace, lambda session: _compact(session, longest, tokens, counts), counts)


def _refusal(
    session: Session, call: Call, longest: int, num_long: int, num_calls: int
) -> DoesNotFit:
    return DoesNotFit(
        f"call {session.id}/{call.id} has a prompt of {call.input_tokens} tokens and the model "
        f"takes at most {longest} (max_model_len {longest + 1}); {num_long} of {num_calls} calls "
        "are too long: choose --too-long skip, truncate or compact, or raise max_model_len"
    )


def _each_session(
    trace: Trace, change: Callable[[Session], Session], counts: dict[str, int]
) -> Trace:
    sessions = collect(session for session in map(change, trace) if session.calls)
    notes = {name: count for name, count in counts.items() if count}
    return Trace(sessions, trace.header, {**trace.notes, **notes})


def _add(counts: dict[str, int], name: str, count: int) -> None:
    counts[name] = counts.get(name, 0) + count


def _skip(session: Session, longest: int, counts: dict[str, int]) -> Session:
    lineage = Lineage(session)
    kept: dict[str, Call] = {}
    for call in session.calls:
        waits = any(name not in kept for name in (*call.after, *_outputs_in(call)))
        if waits or call.input_tokens > longest:
            lineage.change(call.id, 0)
            _add(counts, SKIPPED_AFTER if waits else SKIPPED, 1)
            _add(counts, SKIPPED_TOKENS, call.input_tokens)
        else:
            kept[call.id] = lineage.rebased(call)
    return msgspec.structs.replace(session, calls=tuple(kept.values()))


def _outputs_in(call: Call) -> list[str]:
    names = [name for name, _ in call.segments or ()]
    return [name.removeprefix("out:") for name in names if name.startswith("out:")]


def _truncate(session: Session, max_model_len: int, counts: dict[str, int]) -> Session:
    truncation = Truncation(session, max_model_len)
    calls = tuple(truncation.fit(call) for call in session.calls)
    _add(counts, TRUNCATED, truncation.num_truncated)
    _add(counts, TRUNCATED_TOKENS, truncation.num_tokens)
    return msgspec.structs.replace(session, calls=calls)


def _compact(session: Session, longest: int, tokens: int, counts: dict[str, int]) -> Session:
    compaction = Compaction(session, longest, tokens)
    calls = tuple(compaction.fit(call) for call in session.calls)
    _add(counts, COMPACTED, compaction.num_compacted)
    _add(counts, SHORTENED, compaction.num_shortened)
    _add(counts, COMPACTED_TOKENS, compaction.num_tokens)
    return msgspec.structs.replace(session, calls=calls)
