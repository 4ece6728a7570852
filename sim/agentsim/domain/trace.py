"""What an agent did: sessions of calls, as a trace tells it.

A `Call` is one LLM request, sent `delay_ns` after the last of the calls it waits for (`after`).
What its prompt is made of is said in exactly one of four ways (`Call.segments`, `Call.extends`,
`Call.blocks`, or none of them: nothing is shared). All readers in `agentsim.workload` make these
values, the engine runs them.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec


class Tool(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """A tool run that a call asked for."""

    name: str
    duration_ns: int | None = None
    result_tokens: int | None = None


class Measured(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """What the recording system did; shown beside the simulated, never an input."""

    ttft_ns: int | None = None
    e2e_ns: int | None = None
    queue_ns: int | None = None
    cached_tokens: int | None = None


class Call(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """One LLM request of a session.

    Attributes
    ----------
    id : str
        Unique in the session.
    after : tuple of str
        Calls of the session whose answers it waits for; empty for a root.
    input_tokens, output_tokens : int
        Prompt (cached part included) and answer. 0 output tokens: prefill only. 0 input tokens:
        the call completes at once.
    delay_ns : int or None
        Wait from the completion of the last of `after` (for a root: of the session's start) to the
        submission. None: the trace does not say.
    at_ns : int or None
        Recorded submission, since the session's start.
    segments : tuple of (str, int) or None
        The prompt as named stretches of tokens; equal names are equal tokens from their start.
        ``out:ID`` is the output of call ID, names with ``~`` belong to the session alone.
    extends, keep : str or None, int
        The first `keep` tokens equal those of that call's prompt followed by its output.
    blocks, block_tokens : tuple of int or None, int
        Chained hashes of `block_tokens` tokens each, shared by all sessions; the last may be
        partial.
    """

    id: str
    input_tokens: int
    output_tokens: int
    after: tuple[str, ...] = ()
    agent: str = "main"
    turn: int = 0
    delay_ns: int | None = None
    at_ns: int | None = None
    segments: tuple[tuple[str, int], ...] | None = None
    extends: str | None = None
    keep: int = 0
    blocks: tuple[int | str, ...] | None = None
    block_tokens: int = 0
    trigger: str | None = None
    model: str | None = None
    adapter: str | None = None
    priority: int | None = None
    max_tokens: int | None = None
    finish: str | None = None
    tools: tuple[Tool, ...] = ()
    parent: str | None = None
    measured: Measured | None = None
    input_estimated: bool = False
    output_estimated: bool = False
    extra: dict[str, Any] | None = None


class Session(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """One agent's life: calls, each after the calls it names. A call comes after those it names."""

    id: str
    calls: tuple[Call, ...]
    at_ns: int = 0
    priority: int = 0
    tenant: str | None = None
    deadline_ns: int | None = None
    system_tokens: int = 0
    tool_tokens: int = 0
    extra: dict[str, Any] | None = None


class Header(msgspec.Struct, frozen=True):
    """What a trace says of itself."""

    source: str = ""
    tokenizer: str | None = None
    keep_covers: str = "input+output"
    extra: dict[str, Any] | None = None


class StoredSessions(Sequence[Session]):
    """The sessions of a trace, ordered by (start, id), that are not all in memory.

    Each look at a session makes it anew.
    """

    @property
    @abstractmethod
    def num_calls(self) -> int:
        """Calls in all sessions."""

    @abstractmethod
    def find(self, session_id: str) -> Session:
        """The session of this id.

        Raises
        ------
        KeyError
        """


class Trace:
    """A trace read: its header, its sessions ordered by (start, id), and what the reader assumed.

    Attributes
    ----------
    header : Header
    sessions : tuple of Session, or StoredSessions
        In memory, or kept elsewhere because they are many.
    notes : dict of str to int
        Each assumption or repair the reader made, with how many calls it touched.
    num_calls : int
        Calls in all sessions.
    """

    def __init__(
        self,
        sessions: Iterable[Session],
        header: Header | None = None,
        notes: dict[str, int] | None = None,
    ) -> None:
        self.header = header or Header()
        self.notes = dict(notes or {})
        self.sessions: tuple[Session, ...] | StoredSessions
        if isinstance(sessions, StoredSessions):
            self.sessions = sessions
            self.num_calls = sessions.num_calls
        else:
            self.sessions = tuple(sorted(sessions, key=lambda s: (s.at_ns, s.id)))
            self.num_calls = sum(len(session.calls) for session in self.sessions)
        self._places: dict[str, int] | None = None

    def __iter__(self) -> Iterator[Session]:
        return iter(self.sessions)

    def __len__(self) -> int:
        return len(self.sessions)

    def find(self, session_id: str) -> Session:
        """The session of this id.

        Raises
        ------
        KeyError
        """
        if isinstance(self.sessions, StoredSessions):
            return self.sessions.find(session_id)
        if self._places is None:
            self._places = {session.id: place for place, session in enumerate(self.sessions)}
        return self.sessions[self._places[session_id]]
