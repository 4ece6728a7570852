"""Sessions while their lines are read: in memory, and the longest untouched ones on disk."""

from __future__ import annotations

import msgspec

from agentsim.domain.trace import Call, Session
from agentsim.workload.rows import CallRow
from agentsim.workload.spool import MAX_IN_MEMORY, NO_PART, Part, PartFile, SessionSpool


class Draft:
    """A session as far as it has been read.

    Attributes
    ----------
    start : Part
        The session without its calls.
    calls : dict of str to Call
        By id, in their order; without most of those on disk if `is_cut`.
    latest : dict of str to Call
        The last call of each agent.
    is_cut : bool
        Whether some calls are on disk only.
    """

    __slots__ = (
        "_has_plain_ids",
        "calls",
        "is_cut",
        "last_part",
        "latest",
        "num_on_disk",
        "start",
        "touched",
    )

    def __init__(self, start: Part) -> None:
        self.start = start
        self.calls: dict[str, Call] = {}
        self.latest: dict[str, Call] = {}
        self.is_cut = False
        #: how many of `calls`, from the first, are on disk as well
        self.num_on_disk = 0
        self.last_part = NO_PART
        self.touched = 0
        self._has_plain_ids = True

    def next_turn(self, agent: str) -> int:
        """The number of the agent's next call, if its line does not say."""
        return self.latest[agent].turn + 1 if agent in self.latest else 0

    def add(self, call: Call) -> None:
        """Take in the next call."""
        if self._has_plain_ids:
            self._has_plain_ids = self._is_plain(call.agent, call.turn, call.id)
        self.calls[call.id] = self.latest[call.agent] = call

    def shows_all_about(self, row: CallRow, turn: int) -> bool:
        """Whether all that the call's line names is in `calls`, and its own id is a new one."""
        names = [row.extends or "", *(row.after or ())]
        names += [name[len("out:") :] for name, _ in row.prompt or () if name.startswith("out:")]
        return (
            self._has_plain_ids
            and self._is_plain(row.agent, turn, row.id)
            and all(name in self.calls for name in names if name)
        )

    def _is_plain(self, agent: str, turn: int, call_id: str | None) -> bool:
        """Whether the id is AGENT/TURN and the agent had no such turn, nor a later one, before."""
        return turn >= self.next_turn(agent) and call_id == f"{agent}/{turn}"

    def finished(self) -> Session:
        """The session."""
        return msgspec.structs.replace(self.start.session, calls=tuple(self.calls.values()))


class Drafts:
    """All sessions of a trace, by name.

    When much is in memory, the sessions that were not touched for longest leave it. First they are
    cut to the last call of each agent, which is what most lines ask for; a session goes whole if
    that is not enough. What is on disk is fetched when a line asks for it.
    """

    def __init__(self, max_in_memory: int = MAX_IN_MEMORY) -> None:
        self._max_in_memory = max_in_memory
        #: calls and sessions in memory
        self._size = 0
        self._held: dict[str, Draft] = {}
        self._away: dict[str, int] = {}
        self._file: PartFile | None = None
        self._num_touched = 0

    def __len__(self) -> int:
        return len(self._held) + len(self._away)

    def get(self, name: str) -> Draft | None:
        """The session of this name; None if there is none."""
        draft = self._held.get(name)
        if draft is None and name in self._away:
            draft = self._held[name] = self._fetched(self._away.pop(name))
            self._touch(draft)
            self._grow(1 + len(draft.calls))
        elif draft is not None:
            self._touch(draft)
        return draft

    def start(self, part: Part) -> Draft:
        """Begin a session that is not there yet."""
        draft = self._held[part.session.id] = Draft(part)
        self._touch(draft)
        self._grow(1)
        return draft

    def add(self, draft: Draft, call: Call) -> None:
        """Add the next call of a session."""
        draft.add(call)
        self._grow(1)

    def complete(self, draft: Draft) -> None:
        """Fetch the calls of a session that are on disk only."""
        if not draft.is_cut:
            return
        new = list(draft.calls.values())[draft.num_on_disk :]
        fetched = self._fetched(draft.last_part)
        self._size += len(fetched.calls) - draft.num_on_disk
        draft.num_on_disk = len(fetched.calls)
        draft.calls = fetched.calls | {call.id: call for call in new}
        draft.is_cut = False

    def finish(self) -> list[Session] | SessionSpool:
        """All sessions that have calls, in memory if they never were too many."""
        if self._file is None:
            return [draft.finished() for draft in self._held.values() if draft.calls]
        for draft in self._held.values():
            self._write(self._file, draft)
        last_parts = self._away | {name: draft.last_part for name, draft in self._held.items()}
        self._held, self._away = {}, {}
        has_calls = self._file.num_calls
        return SessionSpool(
            self._file, {name: part for name, part in last_parts.items() if has_calls(part)}
        )

    def _touch(self, draft: Draft) -> None:
        self._num_touched += 1
        draft.touched = self._num_touched

    def _grow(self, size: int) -> None:
        self._size += size
        if self._size > self._max_in_memory:
            self._shrink()

    def _shrink(self) -> None:
        if self._file is None:
            self._file = PartFile()
        longest_untouched = sorted(self._held.values(), key=lambda draft: draft.touched)
        for draft in longest_untouched:
            if self._size <= self._max_in_memory // 2:
                return
            self._write(self._file, draft)
            self._cut(draft)
        for draft in longest_untouched[:-1]:
            if self._size <= self._max_in_memory // 2:
                return
            name = draft.start.session.id
            self._away[name] = draft.last_part
            del self._held[name]
            self._size -= 1 + len(draft.calls)

    def _write(self, file: PartFile, draft: Draft) -> None:
        new = tuple(draft.calls.values())[draft.num_on_disk :]
        if new or draft.last_part == NO_PART:
            part = Part(Session(draft.start.session.id, new))
            if draft.last_part == NO_PART:
                session = msgspec.structs.replace(draft.start.session, calls=new)
                part = msgspec.structs.replace(draft.start, session=session)
            draft.last_part = file.append(part, draft.last_part)
        draft.num_on_disk = len(draft.calls)

    def _cut(self, draft: Draft) -> None:
        """Leave only the last calls of a session whose calls are all on disk."""
        kept = {call.id: call for call in draft.latest.values()}
        draft.is_cut = draft.is_cut or len(kept) < len(draft.calls)
        self._size -= len(draft.calls) - len(kept)
        draft.calls = kept
        draft.num_on_disk = len(kept)

    def _fetched(self, last_part: int) -> Draft:
        assert self._file is not None
        parts = self._file.read(last_part)
        start = parts[0]
        bare = msgspec.structs.replace(start.session, calls=())
        draft = Draft(msgspec.structs.replace(start, session=bare))
        for part in parts:
            for call in part.session.calls:
                draft.add(call)
        draft.last_part = last_part
        draft.num_on_disk = len(draft.calls)
        return draft
