"""Claude Code's messages as calls, once each: `Emitter`.

A resumed or forked session begins with a copy of the records that it goes on from. They are counted
where they were read first, and what follows the copy is a context of its own in that session.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from agentsim.workload.importers.logged import LoggedCall, LoggedTool, SessionFacts
from agentsim.workload.importers.sink import Sink

#: Output counts of Claude models up to this one may be placeholders that the client wrote before
#: the answer was complete (99 % of the calls of version 2.0.0, all of 2.1.16).
LAST_PLACEHOLDER = 26
#: Tokens of an answer: fixed, for each character of text, thinking and tool input, for each tool
#: use. Fitted to 597 calls with a true count: R2 0.989, median error 7 %.
ANSWER, ANSWER_CHARACTER, ANSWER_TOOL = 15.0, 0.288, 41.0
#: Characters a token of what users write, where a prompt's own head is told from it.
CHARACTERS, CHARACTERS_CLAUDE = 3.9, 2.8


@dataclass(slots=True)
class ToolUse:
    """A tool run of a message; the times of its two records."""

    name: str
    start_ns: int | None
    end_ns: int | None = None


@dataclass(slots=True)
class Chain:
    """One context of a file: the session's own, or a sub-agent's.

    Attributes
    ----------
    session : str
        As the file says.
    is_whole : bool
        The conversation is in the file from its start.
    input_ns : int or None
        When the last input of the next prompt was written.
    characters : int
        Of the first prompt's messages.
    """

    session: str
    agent: str
    is_main: bool
    is_whole: bool = False
    spawner: Message | None = None
    open: Message | None = None
    input_ns: int | None = None
    trigger: str | None = None
    is_reset: bool = False
    has_calls: bool = False
    characters: int = 0
    # of the output: its session, the last call that is a copy, whether others follow
    placed: str | None = None
    copied_from: str | None = None
    has_own: bool = False
    head_tokens: int = 0


@dataclass(slots=True)
class Message:
    """An answer while its records are read."""

    chain: Chain
    id: str
    request: str
    where: str
    model: str
    start_ns: int | None = None
    end_ns: int | None = None
    trigger: str | None = None
    is_reset: bool = False
    base: str | None = None
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int | None = None
    finish: str | None = None
    characters: int = 0
    hides_thinking: bool = False
    is_done: bool = False
    tools: dict[str, ToolUse] = field(default_factory=dict)
    spawned: list[str] = field(default_factory=list)


class Emitter:
    """Gives the messages of a file to the sink in the order in which they began."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._begun: list[Message] = []

    def open(self, message: Message, base: str | None) -> None:
        """Begin a message, which ends the one before it in this context.

        Parameters
        ----------
        base : str or None
            The call that the conversation stood at, where the file says so.
        """
        chain = message.chain
        before = chain.open
        times = [chain.input_ns, before.end_ns if before is not None else None]
        known = [at for at in times if at is not None]
        message.start_ns = max(known) if chain.input_ns is not None else None
        message.trigger = chain.trigger if chain.has_calls or chain.is_main else "spawn"
        message.is_reset = chain.is_reset
        if before is not None and base is not None and base != before.id:
            message.base = base
        if before is not None:
            before.is_done = True
        chain.open, chain.trigger, chain.is_reset, chain.has_calls = message, None, False, True
        self._put_done()
        self._begun.append(message)

    def finish(self) -> None:
        """The file is at its end."""
        for message in self._begun:
            message.is_done = True
        self._put_done()

    def _put_done(self) -> None:
        number = 0
        for message in self._begun:
            if not message.is_done:
                break
            self._put(message)
            number += 1
        del self._begun[:number]

    def _put(self, message: Message) -> None:
        if not message.input_tokens:
            self._sink.warn("answers without a count of their prompts; left out", message.where)
            return
        chain = message.chain
        key = f"call {message.id}/{message.request}"
        copied = self._sink.claimed(key)
        if copied is not None:
            self._copied(message, copied)
            return
        session = chain.placed or self._sink.claim(f"session {chain.session}", chain.session)
        chain.placed = session
        if not chain.has_own and chain.copied_from is not None and chain.is_main:
            chain.agent = f"resumed-{chain.session[:8]}"
        self._sink.claim(key, f"{session}\x1f{message.id}")
        self._head(session, message)
        for agent in message.spawned:
            self._sink.spawned(session, agent, message.id)
        self._sink.call(session, self._call(message))
        chain.has_own = True

    def _copied(self, message: Message, owner: str) -> None:
        """A call that was read before, mostly in the file of another session."""
        self._sink.warn("calls logged in several places; the first counts", message.where)
        chain = message.chain
        if chain.has_own:
            return
        chain.placed, _, chain.copied_from = owner.partition("\x1f")
        chain.is_whole = False
        if chain.is_main:
            self._sink.claim(f"session {chain.session}", chain.placed)

    def _head(self, session: str, message: Message) -> None:
        """What a compaction leaves of a prompt: what the client put before the first message."""
        chain = message.chain
        if not chain.is_main:
            return
        is_first = chain.is_whole and not chain.has_own
        if is_first and chain.characters and not message.is_reset:
            ratio = CHARACTERS_CLAUDE if "claude" in message.model else CHARACTERS
            chain.head_tokens = max(0, message.input_tokens - round(chain.characters / ratio))
        elif message.is_reset and chain.head_tokens:
            self._sink.facts(session, SessionFacts(system_tokens=chain.head_tokens))

    def _call(self, message: Message) -> LoggedCall:
        chain = message.chain
        output, is_estimated = self._output(message)
        goes_on = None if chain.has_own else chain.copied_from
        trigger = message.trigger
        if goes_on is not None and trigger != "user":
            trigger = "resume"
        return LoggedCall(
            id=message.id,
            agent=chain.agent,
            model=message.model or None,
            input_tokens=message.input_tokens,
            output_tokens=output,
            output_estimated=is_estimated,
            cached_tokens=message.cached_tokens,
            start_ns=message.start_ns,
            end_ns=message.end_ns,
            after=None if goes_on is None else (goes_on,),
            base=goes_on if goes_on is not None else message.base,
            spawned_by=None if chain.spawner is None else chain.spawner.id,
            is_reset=message.is_reset,
            trigger=trigger,
            finish=message.finish,
            tools=tuple(LoggedTool(t.name, t.start_ns, t.end_ns) for t in message.tools.values()),
        )

    def _output(self, message: Message) -> tuple[int, bool]:
        """Output tokens, estimated where the count is a placeholder."""
        found = message.output_tokens
        estimate = round(
            ANSWER + ANSWER_CHARACTER * message.characters + ANSWER_TOOL * len(message.tools)
        )
        is_true = "claude" not in message.model or found > LAST_PLACEHOLDER or found >= estimate
        if is_true:
            return found, False
        if message.hides_thinking:
            self._sink.warn(
                "estimated outputs whose thinking is not in the log: too low", message.where
            )
        return estimate, True
