"""What a trace shows of its agents, call by call, as plain lists of numbers."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from itertools import groupby, pairwise

from agentsim.domain.trace import Call, Session, Trace
from agentsim.domain.units import ns_to_seconds
from agentsim.workload.heads import head_tokens
from agentsim.workload.reuse import SessionPrompts

#: A prompt below this share of the one before it begins anew (as in weka-claude-code: compaction).
RESTART = 0.7
#: So many prompts after the first are looked at apart.
EARLY_CALLS = 10
#: A prompt that keeps less than this share of the one before it is broken.
BROKEN = 0.9


def _numbers() -> array[float]:
    return array("d")


@dataclass(slots=True)
class AgentSeen:
    """The calls of main agents, or of sub-agents; tokens but for `calls`.

    Attributes
    ----------
    broken, restarts : array of float
        What is left, as a share of the prompt before.
    contexts : list of (int, int, bool)
        Tokens of prompt and answer where each context begins and ends, and whether another one
        follows.
    """

    calls: array[float] = field(default_factory=_numbers)
    first: array[float] = field(default_factory=_numbers)
    appended: array[float] = field(default_factory=_numbers)
    appended_user: array[float] = field(default_factory=_numbers)
    appended_early: array[float] = field(default_factory=_numbers)
    output: array[float] = field(default_factory=_numbers)
    dropped: array[float] = field(default_factory=_numbers)
    broken: array[float] = field(default_factory=_numbers)
    restarts: array[float] = field(default_factory=_numbers)
    heads: array[float] = field(default_factory=_numbers)
    contexts: list[tuple[int, int, bool]] = field(default_factory=list)
    num_next: int = 0


@dataclass(slots=True)
class Seen:
    """Everything that a profile is fitted to; waits in seconds."""

    main: AgentSeen = field(default_factory=AgentSeen)
    sub: AgentSeen = field(default_factory=AgentSeen)
    longest: int = 0
    num_sessions: int = 0
    num_calls: int = 0
    turn_lengths: array[float] = field(default_factory=_numbers)
    human_s: array[float] = field(default_factory=_numbers)
    tool_s: array[float] = field(default_factory=_numbers)
    client_s: array[float] = field(default_factory=_numbers)
    unknown_waits: int = 0
    unknown_triggers: int = 0
    estimated: int = 0
    no_identity: int = 0
    tools_per_call: array[float] = field(default_factory=_numbers)
    tools: dict[str, array[float]] = field(default_factory=dict)
    spawns: array[float] = field(default_factory=_numbers)
    times: array[float] = field(default_factory=_numbers)


def observe(trace: Trace) -> Seen:
    """Look at every session once.

    Parameters
    ----------
    trace : Trace
        With its heads shared (`heads.share_heads`).
    """
    seen = Seen()
    for session in trace:
        if session.calls:
            _Watcher(seen, session).watch()
    return seen


class _Watcher:
    """One session, added to what was seen."""

    def __init__(self, seen: Seen, session: Session) -> None:
        self._seen = seen
        self._session = session
        self._prompts = SessionPrompts({}, session.id, session)
        self._kept: dict[str, int] = {}
        self._heads = head_tokens(session)

    def watch(self) -> None:
        """Add it."""
        seen, session = self._seen, self._session
        for call in session.calls:
            self._kept[call.id] = self._prompts.add(call)
            self._prompts.add_answer(call.id)
            seen.longest = max(seen.longest, call.input_tokens + call.output_tokens)
            seen.estimated += call.input_estimated or call.output_estimated
        seen.num_sessions += 1
        seen.num_calls += len(session.calls)
        subs = _sub_agents(session)
        self._spawned(subs)
        main = [call for call in session.calls if call.agent not in subs]
        self._chain(main, seen.main)
        self._turns(main)
        for agent in subs:
            self._chain([call for call in session.calls if call.agent == agent], seen.sub)

    def _chain(self, calls: list[Call], into: AgentSeen) -> None:
        """Calls of one agent, each after the one before it."""
        sent = [call for call in calls if call.input_tokens]
        if not sent:
            return
        into.calls.append(len(calls))
        head = min(self._heads[sent[0].id], sent[0].input_tokens)
        into.heads.append(head)
        into.first.append(sent[0].input_tokens - head)
        into.output.append(sent[0].output_tokens)
        begin = _whole(sent[0])
        for place, (before, call) in enumerate(pairwise(sent)):
            into.output.append(call.output_tokens)
            into.num_next += 1
            if self._begins_anew(before, call):
                into.restarts.append(call.input_tokens / before.input_tokens)
                into.contexts.append((begin, _whole(before), True))
                begin = _whole(call)
            else:
                self._step(before, call, into, is_early=place < EARLY_CALLS)
            self._wait(before, call)
        into.contexts.append((begin, _whole(sent[-1]), False))

    def _begins_anew(self, before: Call, call: Call) -> bool:
        if call.input_tokens < RESTART * before.input_tokens:
            return True
        head = min(self._heads[call.id], call.input_tokens)
        keeps_little = self._kept[call.id] - head < (before.input_tokens - head) / 2
        return keeps_little and call.input_tokens < before.input_tokens

    def _step(self, before: Call, call: Call, into: AgentSeen, *, is_early: bool) -> None:
        added = call.input_tokens - before.input_tokens - before.output_tokens
        if added <= 0:
            into.dropped.append(-added)
        elif is_early:
            into.appended_early.append(added)
        elif call.trigger == "user":
            into.appended_user.append(added)
        else:
            into.appended.append(added)
        share = self._kept[call.id] / min(before.input_tokens, call.input_tokens)
        if share < BROKEN and call.extends is None and call.segments is None and not call.blocks:
            self._seen.no_identity += 1
        elif share < BROKEN:
            into.broken.append(share)

    def _wait(self, before: Call, call: Call) -> None:
        """The wait between two calls, and the tools that explain it."""
        seen = self._seen
        seen.unknown_triggers += call.trigger is None
        delay = None if call.delay_ns is None else ns_to_seconds(call.delay_ns)
        if call.trigger == "user":
            if delay is None:
                seen.unknown_waits += 1
            else:
                seen.human_s.append(delay)
            return
        if before.tools:
            seen.tools_per_call.append(len(before.tools))
        times = [tool.duration_ns for tool in before.tools if tool.duration_ns is not None]
        for tool in before.tools:
            if tool.duration_ns is not None:
                known = seen.tools.setdefault(tool.name, _numbers())
                known.append(ns_to_seconds(tool.duration_ns))
        if delay is None:
            seen.unknown_waits += 1
            return
        if len(call.after) == 1:
            seen.tool_s.append(delay)
            if times and len(times) == len(before.tools):
                seen.client_s.append(max(0.0, delay - ns_to_seconds(max(times))))

    def _turns(self, main: list[Call]) -> None:
        """Calls from each message of the user to the next."""
        starts = [place for place, call in enumerate(main) if call.trigger == "user" or not place]
        if len(starts) > 1 or self._seen.turn_lengths:
            ends = [*starts[1:], len(main)]
            lengths = [end - start for start, end in zip(starts, ends, strict=True)]
            self._seen.turn_lengths.extend(lengths)

    def _spawned(self, subs: list[str]) -> None:
        if not subs:
            return
        firsts = [call for call in self._session.calls if call.agent in subs]
        parents = sorted(call.after for call in firsts if call.after and _is_first(call, firsts))
        at_once = [len(list(group)) for _, group in groupby(parents)]
        self._seen.spawns.extend(at_once)
        self._seen.times.append(len(at_once))


def _whole(call: Call) -> int:
    return call.input_tokens + call.output_tokens


def _is_first(call: Call, calls: list[Call]) -> bool:
    return next(each for each in calls if each.agent == call.agent) is call


def _sub_agents(session: Session) -> list[str]:
    """Agents that another one starts and goes on beside or after; not those it hands over to."""
    last: dict[str, int] = {}
    first: dict[str, int] = {}
    owner: dict[str, str] = {}
    for place, call in enumerate(session.calls):
        last[call.agent] = place
        first.setdefault(call.agent, place)
        owner[call.id] = call.agent
    found = []
    for agent, place in first.items():
        parents = {owner[name] for name in session.calls[place].after} - {agent}
        if any(last[parent] > place for parent in sorted(parents)):
            found.append(agent)
    return found
