"""Sessions on disk: a trace of a million calls in the memory of a hundred thousand at most.

`collect` is the door: it gives what it is given in memory, or as a `SessionSpool` if it is much.
`PartFile` holds sessions in parts, so that one may be put away while its lines still come.
"""

from __future__ import annotations

import os
import tempfile
import weakref
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import chain
from typing import Any, overload
from zlib import crc32

import msgspec

from agentsim.domain.trace import Session, StoredSessions
from agentsim.errors import TraceError

#: Calls and sessions together that are kept in memory at most; at half a kilobyte each, 50 MB.
MAX_IN_MEMORY = 100_000

#: Values nested deeper than this stay in memory: a reader that recurses has to come back to them
#: from wherever it stands in the stack.
MAX_NESTED = 50

NO_PART = -1


class Part(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """A session's first calls with all else that is known of it, or only calls that follow.

    Attributes
    ----------
    session : Session
    keep_granularity : int or None
        As the session's line says.
    has_line : bool
        Whether it has a line of its own.
    """

    session: Session
    keep_granularity: int | None = None
    has_line: bool = True


class PartFile:
    """Parts of sessions in a file without a name, each linked to the part before it.

    JSON, as in a trace, because it gives back all that can stand in `extra`: integers of any size
    as well. Reading leaves no trace in the file's position, so many may read it at once.
    """

    def __init__(self) -> None:
        with _told():
            self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 (closed with this)
        weakref.finalize(self, self._file.close)
        self._encode = msgspec.json.Encoder().encode
        self._decode = msgspec.json.Decoder(Part).decode
        self._ends = array("q", [0])
        self._before = array("q")
        self._num_calls = array("q")
        self._at_ns = array("q")
        self._nested: dict[int, Part] = {}

    def append(self, part: Part, before: int = NO_PART) -> int:
        """Add a part.

        Parameters
        ----------
        part : Part
        before : int
            The number of the session's last part so far.

        Returns
        -------
        int
            Its number.

        Raises
        ------
        TraceError
            If the file cannot be written.
        """
        number = len(self._before)
        end = self._ends[-1]
        if _is_nested(part.session):
            self._nested[number] = part
        else:
            end += self._write(self._encode(part))
        self._ends.append(end)
        self._before.append(before)
        is_first = before == NO_PART
        earlier = 0 if is_first else self._num_calls[before]
        self._num_calls.append(earlier + len(part.session.calls))
        self._at_ns.append(part.session.at_ns if is_first else self._at_ns[before])
        return number

    def num_calls(self, number: int) -> int:
        """Calls in a part and in those before it."""
        return self._num_calls[number]

    def at_ns(self, number: int) -> int:
        """When the session of a part starts."""
        return self._at_ns[number]

    def read(self, number: int) -> list[Part]:
        """A session's parts, from its first to this one."""
        parts = []
        while number != NO_PART:
            parts.append(self._part(number))
            number = self._before[number]
        return parts[::-1]

    def _write(self, data: bytes) -> int:
        written = 0
        with _told():
            while written < len(data):
                written += self._file.write(data[written:])
        return written

    def _part(self, number: int) -> Part:
        if number in self._nested:
            return self._nested[number]
        start, end = self._ends[number], self._ends[number + 1]
        return self._decode(os.pread(self._file.fileno(), end - start, start))


class SessionSpool(StoredSessions):
    """Sessions in a file, in the order of a trace.

    Parameters
    ----------
    file : PartFile
    last_parts : dict of str to int
        Each session's last part, by its id.
    """

    def __init__(self, file: PartFile, last_parts: dict[str, int]) -> None:
        self._file = file
        names = sorted(last_parts)
        names.sort(key=lambda name: file.at_ns(last_parts[name]))
        self._parts = array("q", [last_parts[name] for name in names])
        self._num_calls = sum(map(file.num_calls, self._parts))
        sums = array("q", map(_check_sum, names))
        self._places_by_sum = array("q", sorted(range(len(sums)), key=sums.__getitem__))
        self._sums = array("q", sorted(sums))

    @property
    def num_calls(self) -> int:
        """Calls in all sessions."""
        return self._num_calls

    def __len__(self) -> int:
        return len(self._parts)

    @overload
    def __getitem__(self, index: int) -> Session: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Session, ...]: ...
    def __getitem__(self, index: int | slice) -> Session | tuple[Session, ...]:
        if isinstance(index, slice):
            return tuple(map(self._session, self._parts[index]))
        return self._session(self._parts[index])

    def __iter__(self) -> Iterator[Session]:
        return map(self._session, self._parts)

    def find(self, session_id: str) -> Session:
        """The session of this id.

        Raises
        ------
        KeyError
        """
        wanted = _check_sum(session_id)
        first, end = bisect_left(self._sums, wanted), bisect_right(self._sums, wanted)
        for place in self._places_by_sum[first:end]:
            session = self[place]
            if session.id == session_id:
                return session
        raise KeyError(session_id)

    def _session(self, part: int) -> Session:
        first, *others = self._file.read(part)
        if not others:
            return first.session
        calls = chain(first.session.calls, *(other.session.calls for other in others))
        return msgspec.structs.replace(first.session, calls=tuple(calls))


def collect(
    sessions: Iterable[Session], max_in_memory: int = MAX_IN_MEMORY
) -> list[Session] | SessionSpool:
    """Sessions for a `Trace`: in memory, or on disk if they hold many calls.

    Parameters
    ----------
    sessions : iterable of Session
        With different ids, in any order.
    max_in_memory : int
        So many calls and sessions together may stay in memory.

    Raises
    ------
    TraceError
        If the file cannot be written.
    """
    remaining = iter(sessions)
    held: list[Session] = []
    size = 0
    for session in remaining:
        held.append(session)
        size += 1 + len(session.calls)
        if size > max_in_memory:
            break
    else:
        return held
    file = PartFile()
    last_parts = {each.id: file.append(Part(each)) for each in chain(held, remaining)}
    return SessionSpool(file, last_parts)


def _check_sum(session_id: str) -> int:
    return crc32(session_id.encode())


def _is_nested(session: Session) -> bool:
    extras = [session.extra, *[call.extra for call in session.calls]]
    return any(extra is not None and _is_deeper(extra, MAX_NESTED) for extra in extras)


def _is_deeper(value: Any, levels: int) -> bool:
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, list | tuple):
        return False
    return levels == 0 or any(_is_deeper(each, levels - 1) for each in value)


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror or error
        raise TraceError(
            f"a long trace cannot be kept on disk: {reason}: name a folder with room in TMPDIR"
        ) from None
