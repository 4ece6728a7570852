"""From the logged calls of a session to a `Session`: order, dependencies, waits, prefixes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import msgspec

from agentsim.domain.trace import Call, Measured, Session, Tool
from agentsim.domain.units import NS_PER_MS, NS_PER_S
from agentsim.errors import ConfigError
from agentsim.workload.importers.logged import LoggedCall, Piece, SessionFacts
from agentsim.workload.importers.prefix import Prompts
from agentsim.workload.importers.report import ImportReport

#: Service time of a call whose log has one time only: of 28 825 recorded Claude Code calls, about
#: 2.3 s and 14 ms for each output token.
SERVICE_NS, SERVICE_TOKEN_NS = 2_300_000_000, 14_000_000
#: Clocks of one machine that are this far apart say the same.
SLACK_NS = 5 * NS_PER_MS


@dataclass(frozen=True)
class Options:
    """What a user wants of an import.

    Attributes
    ----------
    most_human_ns : int or None
        Longest wait for a human that is kept; 0 drops them, None keeps them as they are.
    tokens_scale : float
        Multiplies every token count, for a model with another tokenizer.
    models : tuple of (str, str)
        Patterns of model names and what they become; the first that fits counts.
    redact : bool
        Hash the names of sessions, agents, tools and tenants too.
    key : bytes
        Of the hashes that names become.
    """

    most_human_ns: int | None = None
    tokens_scale: float = 1.0
    models: tuple[tuple[str, str], ...] = ()
    redact: bool = False
    key: bytes = b""

    def hidden(self, kind: str, name: str) -> str:
        """A name that gives nothing away without the key."""
        data = hashlib.blake2b(f"{kind}\x1f{name}".encode(), key=self.key, digest_size=8)
        return data.hexdigest()

    def shown(self, kind: str, name: str) -> str:
        """A name as it is, or hidden if the user wants that."""
        return f"{kind}-{self.hidden(kind, name)}" if self.redact else name


@dataclass
class _Placed:
    """A logged call with its name in the output and what it waits for."""

    logged: LoggedCall
    id: str
    turn: int
    after: tuple[_Placed, ...] = ()


def assemble(
    name: str,
    facts: SessionFacts,
    logged: Iterable[LoggedCall],
    options: Options,
    report: ImportReport,
    *,
    first_ns: int | None = None,
) -> Session:
    """One session.

    Parameters
    ----------
    name : str
        As in the log.
    logged : iterable of LoggedCall
        In the order of the log.
    report : ImportReport
        Counts what was measured, estimated or is missing.
    first_ns : int or None
        The start of the whole trace.
    """
    calls = [_sound(name, call, report) for call in logged]
    if options.tokens_scale != 1:
        calls = [_scaled(call, options.tokens_scale) for call in calls]
    if all(_moment(call) is not None for call in calls):
        calls.sort(key=lambda call: _moment(call) or 0)
    placed = _placed(calls)
    _connect(name, placed, report)
    begins = [at for at in map(_moment, calls) if at is not None]
    start_ns = min(begins) if begins else None
    prompts = Prompts(facts, lambda digest: options.hidden("text", str(digest)))
    made = [_call(each, prompts, start_ns, options, report) for each in placed]
    _count(report, placed, start_ns)
    return Session(
        options.shown("session", name),
        tuple(made),
        at_ns=(start_ns - first_ns) if start_ns is not None and first_ns is not None else 0,
        tenant=options.shown("tenant", facts.tenant) if facts.tenant else None,
        system_tokens=facts.system_tokens if facts.shares_heads else 0,
        tool_tokens=facts.tool_tokens if facts.shares_heads else 0,
    )


def _moment(call: LoggedCall) -> int | None:
    return call.start_ns if call.start_ns is not None else call.end_ns


def _sound(name: str, call: LoggedCall, report: ImportReport) -> LoggedCall:
    """The call without times that run backwards."""
    start, end, first = call.start_ns, call.end_ns, call.first_token_ns
    if start is not None and end is not None and end < start:
        report.warn("calls that end before they start; the end is dropped", f"{name}/{call.id}")
        call, end = msgspec.structs.replace(call, end_ns=None), None
    if first is not None and (
        (start is not None and first < start) or (end is not None and first > end)
    ):
        report.warn("first tokens outside their call; dropped", f"{name}/{call.id}")
        call = msgspec.structs.replace(call, first_token_ns=None)
    if call.delay_ns is not None and call.delay_ns < 0:
        report.warn("negative waits; taken as unknown", f"{name}/{call.id}")
        call = msgspec.structs.replace(call, delay_ns=None)
    return call


def _scaled(call: LoggedCall, factor: float) -> LoggedCall:
    if call.blocks is not None:
        raise ConfigError("--tokens-scale: block hashes stand for a fixed number of tokens")

    def scaled(tokens: int) -> int:
        return max(1, round(tokens * factor)) if tokens else 0

    pieces = call.pieces
    if pieces is not None:
        pieces = tuple(Piece(piece.digest, scaled(piece.tokens)) for piece in pieces)
    return msgspec.structs.replace(
        call,
        input_tokens=scaled(call.input_tokens),
        output_tokens=scaled(call.output_tokens),
        pieces=pieces,
        keep=None if call.keep is None else scaled(call.keep),
        seen_to=scaled(call.seen_to),
        cached_tokens=None if call.cached_tokens is None else scaled(call.cached_tokens),
    )


def _placed(calls: Sequence[LoggedCall]) -> list[_Placed]:
    turns: dict[str, int] = {}
    found = []
    for call in calls:
        turn = turns.get(call.agent, 0)
        turns[call.agent] = turn + 1
        found.append(_Placed(call, f"{call.agent}/{turn}", turn))
    return found


def _connect(name: str, placed: Sequence[_Placed], report: ImportReport) -> None:
    """Fill in what each call waits for."""
    by_id: dict[str, _Placed] = {}
    last: dict[str, _Placed] = {}
    final = {each.logged.agent: each for each in placed}
    spawned: dict[str, tuple[str, str]] = {}  # open agents: the agent and the call that started it
    for each in placed:
        call = each.logged
        before = last.get(call.agent)
        if call.after is not None:
            lost = [other for other in call.after if other not in by_id]
            if lost:
                report.warn("calls that wait for one not logged before", f"{name}/{call.id}")
            each.after = tuple(by_id[other] for other in call.after if other in by_id)
        elif before is None and call.spawned_by in by_id:
            each.after = (by_id[str(call.spawned_by)],)
        elif before is not None:
            each.after = before.after if _overlap(before, each) else (before,)
        if before is None and call.spawned_by in by_id:
            spawned[call.agent] = (by_id[str(call.spawned_by)].logged.agent, str(call.spawned_by))
        if call.after is None:
            for agent, (parent, spawner) in list(spawned.items()):
                end = final[agent]
                is_over = end.logged.id in by_id and _is_done(end, each)
                if parent == call.agent and spawner != call.id and is_over:
                    each.after = (*each.after, end)
                    del spawned[agent]
        by_id[call.id] = last[call.agent] = each


def _overlap(before: _Placed, each: _Placed) -> bool:
    """Whether a call began while the one before it was still under way."""
    end, start = before.logged.end_ns, each.logged.start_ns
    return end is not None and start is not None and start + SLACK_NS < end


def _is_done(sub_agent: _Placed, each: _Placed) -> bool:
    """Whether a sub-agent had given its last answer when a call began; unknown times: it had."""
    end, start = sub_agent.logged.end_ns, _moment(each.logged)
    return end is None or start is None or end <= start + SLACK_NS


def _service_ns(call: LoggedCall) -> int:
    return SERVICE_NS + SERVICE_TOKEN_NS * call.output_tokens


def _wait(each: _Placed) -> tuple[int | None, str]:
    """The wait before a call, and whether it was measured, estimated or is missing."""
    call = each.logged
    if call.delay_ns is not None:
        return call.delay_ns, "measured"
    if not each.after:
        return None, "missing" if _moment(call) is None else "measured"
    others = [other.logged for other in each.after]
    if call.start_ns is not None and all(other.end_ns is not None for other in others):
        return max(0, call.start_ns - max(other.end_ns or 0 for other in others)), "measured"
    start = call.start_ns
    if start is None and call.end_ns is not None:
        start = call.end_ns - _service_ns(call)
    ends = [
        other.end_ns
        if other.end_ns is not None
        else None
        if other.start_ns is None
        else other.start_ns + _service_ns(other)
        for other in others
    ]
    if start is not None and None not in ends:
        return max(0, start - max(end for end in ends if end is not None)), "estimated"
    lasts = [tool.lasts_ns for tool in others[0].tools]
    if lasts and None not in lasts:
        return max(ns for ns in lasts if ns is not None), "estimated"
    return None, "missing"


def _call(
    each: _Placed,
    prompts: Prompts,
    start_ns: int | None,
    options: Options,
    report: ImportReport,
) -> Call:
    call = each.logged
    agent = _agent(call.agent, options)
    identity = prompts.add(call, f"{agent}/{each.turn}")
    delay_ns, standing = _wait(each)
    most_ns = options.most_human_ns if call.trigger == "user" and each.after else None
    if delay_ns is not None and most_ns is not None and delay_ns > most_ns:
        report.warn("waits for a human cut short", f"{delay_ns / NS_PER_S:.0f} s at {each.id}")
        delay_ns = most_ns
    report.count("prefix", identity.standing)
    report.count("wait", standing)
    report.count("input_tokens", "estimated" if call.input_estimated else "measured")
    report.count("output_tokens", "estimated" if call.output_estimated else "measured")
    report.count("start", "measured" if call.start_ns is not None else "missing")
    report.count("end", "measured" if call.end_ns is not None else "missing")
    report.count("cached_tokens", "measured" if call.cached_tokens is not None else "missing")
    report.calls += 1
    report.input_tokens += call.input_tokens
    report.output_tokens += call.output_tokens
    return Call(
        id=f"{agent}/{each.turn}",
        input_tokens=call.input_tokens,
        output_tokens=call.output_tokens,
        after=tuple(
            dict.fromkeys(f"{_agent(o.logged.agent, options)}/{o.turn}" for o in each.after)
        ),
        agent=agent,
        turn=each.turn,
        delay_ns=delay_ns,
        at_ns=None if call.start_ns is None or start_ns is None else call.start_ns - start_ns,
        segments=identity.segments,
        extends=identity.base,
        keep=identity.keep,
        blocks=identity.blocks,
        block_tokens=call.block_tokens if identity.blocks is not None else 0,
        trigger=call.trigger,
        model=_model(call.model, options),
        finish=call.finish,
        tools=tuple(
            Tool(options.shown("tool", tool.name), tool.lasts_ns, tool.result_tokens)
            for tool in call.tools
        ),
        measured=_measured(call),
        input_estimated=call.input_estimated,
        output_estimated=call.output_estimated,
    )


def _agent(name: str, options: Options) -> str:
    return name if name == "main" else options.shown("agent", name)


def _model(name: str | None, options: Options) -> str | None:
    if name is None:
        return None
    return next((new for pattern, new in options.models if fnmatchcase(name, pattern)), name)


def _measured(call: LoggedCall) -> Measured | None:
    found = Measured(
        ttft_ns=_between(call.start_ns, call.first_token_ns),
        e2e_ns=_between(call.start_ns, call.end_ns),
        queue_ns=call.queue_ns,
        cached_tokens=call.cached_tokens,
    )
    return found if found != Measured() else None


def _between(start_ns: int | None, end_ns: int | None) -> int | None:
    return None if start_ns is None or end_ns is None else end_ns - start_ns


def _count(report: ImportReport, placed: Sequence[_Placed], start_ns: int | None) -> None:
    """Add a session to the report's totals."""
    report.sessions += 1
    report.sub_agents += len({each.logged.agent for each in placed}) - 1
    ends = [each.logged.end_ns for each in placed if each.logged.end_ns is not None]
    if start_ns is None or not ends:
        return
    report.timed_sessions += 1
    report.wall_ns += max(0, max(ends) - start_ns)
    for each in placed:
        report.explained_ns += _between(each.logged.start_ns, each.logged.end_ns) or 0
        wait_ns, standing = _wait(each)
        if standing == "measured" and wait_ns is not None and each.logged.agent == "main":
            report.explained_ns += wait_ns
