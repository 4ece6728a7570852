"""From spans of calls, tools and agents to calls: `Span`, `hold_span`, `settle`.

Who asked for what follows from nesting and times: a tool belongs to the last call of its agent that
ended before it began, an agent below another agent (or below a tool) is a sub-agent.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import msgspec

from agentsim.workload.importers.assemble import SLACK_NS
from agentsim.workload.importers.logged import LoggedCall, LoggedTool
from agentsim.workload.importers.sink import Sink

#: A ``step`` is a tool if neither calls nor tools lie below it.
Kind = Literal["call", "tool", "step", "agent", "other"]


class Span(msgspec.Struct, gc=False, omit_defaults=True):
    """A span as logged; times in nanoseconds since 1970.

    Attributes
    ----------
    session : str or None
        Where the span names one.
    call : LoggedCall or None
        Of a ``call``: tokens and measured times; `settle` adds agent, tools and dependencies. None
        where the span holds no token counts.
    created_tokens : int
        Prompt tokens that were written to a cache.
    is_inclusive : bool or None
        Whether the count of the prompt includes cached tokens; None: not said.
    """

    id: str
    kind: Kind
    name: str
    parent: str | None = None
    session: str | None = None
    start_ns: int | None = None
    end_ns: int | None = None
    call: LoggedCall | None = None
    created_tokens: int = 0
    is_inclusive: bool | None = None


def hold_span(sink: Sink, kind: str, trace: str, span: Span) -> None:
    """Keep a span until `settle`: the others of its trace may come from anywhere."""
    sink.hold(kind, trace, span.start_ns, msgspec.msgpack.encode(span))


def settle(sink: Sink, kind: str) -> None:
    """Make the spans that were held into calls, trace by trace."""
    decode = msgspec.msgpack.Decoder(Span).decode
    names = _Names({}, Counter())
    for trace, rows in sink.held_groups(kind):
        spans: dict[str, Span] = {}
        for span in map(decode, rows):
            if spans.setdefault(span.id, span) is not span:
                sink.warn("spans logged twice; the first counts", span.id)
        _Trace(trace, spans, sink, names).settle()


@dataclass(frozen=True, slots=True)
class _Names:
    """Of each session the agent that is ``main``, and how often others of a name ran."""

    mains: dict[str, str]
    others: Counter[tuple[str, str]]


class _Trace:
    """The spans of one trace."""

    def __init__(self, name: str, spans: dict[str, Span], sink: Sink, names: _Names) -> None:
        self._spans, self._sink, self._names = spans, sink, names
        named = (span.session for span in spans.values() if span.session is not None)
        self._session = next(named, name)
        self._has_bare = False  # calls that are in no agent: those of the main one
        self._agents: dict[str, list[Span]] = {}
        self._agent_of: dict[str, str] = {}  # by the span that an agent's calls lie below

    def settle(self) -> None:
        """Put its calls into the sink."""
        calls = self._leaves()
        self._has_bare = any(not self._around(span) for span in calls)
        owners = {self._owner(span) for span in calls}
        if len(owners) == 1:  # one agent, however often it is wrapped
            self._agent_of = dict.fromkeys(owners, "main")
        for span in calls:
            self._agents.setdefault(self._agent(span), []).append(span)
        tools = self._tools({up.id for call in calls for up in self._above(call)})
        excludes = any(map(_excludes, calls))
        for agent, spans in self._agents.items():
            before: Span | None = None
            for span in spans:
                call = _made(span, agent, tools.get(span.id), excludes=excludes)
                if call.trigger is None:
                    call = msgspec.structs.replace(
                        call, trigger=_trigger(agent, before, before and tools.get(before.id))
                    )
                if before is None and agent != "main":
                    call = self._spawned(call, span)
                self._sink.call(self._session_of(span), call)
                before = span

    def _leaves(self) -> list[Span]:
        """Spans of model calls, each call once, in order."""
        calls = [span for span in self._spans.values() if span.kind == "call"]
        outer = {up.id for span in calls if span.call for up in self._above(span)}
        counted = {span.id for span in calls if span.call}
        found: list[Span] = []
        for span in calls:
            if span.id in outer and span.call is not None:
                self._sink.warn("model spans around others; the inner ones count", span.id)
            elif span.call is not None:
                found.append(span)
            elif span.id not in outer and not any(up.id in counted for up in self._above(span)):
                self._sink.warn("model spans without token counts; left out", span.id)
        return _merged(found)

    def _above(self, span: Span) -> Iterator[Span]:
        """The spans around a span, the nearest first."""
        seen = {span.id}
        up = self._spans.get(span.parent or "")
        while up is not None and up.id not in seen:
            seen.add(up.id)
            yield up
            up = self._spans.get(up.parent or "")

    def _session_of(self, span: Span) -> str:
        named = (up.session for up in (span, *self._above(span)) if up.session is not None)
        return next(named, self._session)

    def _around(self, span: Span) -> list[Span]:
        return [up for up in self._above(span) if up.kind in ("agent", "tool")]

    def _owner(self, span: Span) -> str:
        """The id of the agent or tool that a span is part of; empty for the main agent."""
        around = self._around(span)
        if not around:
            return ""
        if len(around) == 1 and around[0].kind == "agent" and not self._has_bare:
            main = self._names.mains.setdefault(self._session_of(span), around[0].name)
            return "" if around[0].name == main else around[0].id
        return around[0].id

    def _agent(self, span: Span) -> str:
        owner = self._owner(span)
        if owner and owner not in self._agent_of:
            key = (self._session_of(span), self._spans[owner].name)
            self._names.others[key] += 1
            self._agent_of[owner] = f"{key[1]}-{self._names.others[key]}"
        return self._agent_of.get(owner, "main")

    def _nearest(self, span: Span) -> str:
        """The nearest agent around a span that has calls."""
        named = (self._agent_of[up.id] for up in self._above(span) if up.id in self._agent_of)
        return next(named, "main")

    def _tools(self, above: set[str]) -> dict[str, list[LoggedTool]]:
        """The tools of each call, by its id; of one that calls lie below only the name."""
        found: dict[str, list[LoggedTool]] = {}
        counted = {span.id for spans in self._agents.values() for span in spans}
        structural = above | {
            up.id for span in self._spans.values() if span.kind == "tool"
            for up in self._above(span)
        }  # fmt: skip
        for span in self._spans.values():
            is_step = span.kind == "step" and span.id not in structural
            is_step = is_step and not any(
                up.kind == "step" and up.id not in above for up in self._above(span)
            )
            if span.kind != "tool" and not is_step:
                continue
            owner = next((up for up in self._above(span) if up.id in counted), None)
            owner = owner or _before(self._agents.get(self._nearest(span), []), span.start_ns)
            if owner is not None:
                tool = LoggedTool(span.name, span.start_ns, span.end_ns)
                if span.id in above:
                    tool = LoggedTool(span.name)
                found.setdefault(owner.id, []).append(tool)
            elif not is_step:
                self._sink.warn("tools before any call; left out", span.id)
        return found

    def _spawned(self, call: LoggedCall, span: Span) -> LoggedCall:
        """The first call of a sub-agent, with the call that it follows."""
        inner = self._spans[self._owner(span)]
        parent = _before(self._agents.get(self._nearest(inner), []), inner.start_ns)
        if parent is not None:
            return msgspec.structs.replace(call, spawned_by=parent.id)
        others = [each for spans in self._agents.values() for each in spans]
        ended = [
            (each.end_ns, each.id)
            for each in others
            if each.end_ns is not None and inner.start_ns is not None
            and each.end_ns <= inner.start_ns + SLACK_NS
        ]  # fmt: skip
        return msgspec.structs.replace(call, after=(max(ended)[1],) if ended else ())


def _excludes(span: Span) -> bool:
    """Whether a call's prompt must be without cached tokens, since it is smaller than they are."""
    call = span.call
    assert call is not None
    cached = (call.cached_tokens or 0) + span.created_tokens
    return span.is_inclusive is None and call.input_tokens < cached


def _made(span: Span, agent: str, tools: list[LoggedTool] | None, *, excludes: bool) -> LoggedCall:
    """The call of a span; `excludes`: prompt counts of its trace leave out cached tokens."""
    call = span.call
    assert call is not None
    inputs = call.input_tokens
    if span.is_inclusive is False or (span.is_inclusive is None and excludes):
        inputs += (call.cached_tokens or 0) + span.created_tokens
    return msgspec.structs.replace(
        call,
        agent=agent,
        input_tokens=inputs,
        tools=call.tools if tools is None else tuple(tools),
    )


def _trigger(agent: str, before: Span | None, tools: object) -> str | None:
    if before is None:
        return "user" if agent == "main" else "spawn"
    return "tool" if tools else None


def _before(calls: list[Span], at_ns: int | None) -> Span | None:
    """The last of an agent's calls that had ended by a moment."""
    found = None
    for span in calls:
        end_ns = span.end_ns if span.end_ns is not None else span.start_ns
        if at_ns is None or end_ns is None or end_ns <= at_ns + SLACK_NS:
            found = span
    return found


def _merged(calls: list[Span]) -> list[Span]:
    """Without repetitions: records of one call that have no length and say the same counts."""
    found: list[Span] = []
    for span in calls:
        if found and span.start_ns == span.end_ns and _counts(span) == _counts(found[-1]):
            continue
        found.append(span)
    return found


def _counts(span: Span) -> tuple[int | None, ...]:
    call = span.call
    assert call is not None
    return call.input_tokens, call.output_tokens, call.cached_tokens, span.created_tokens
