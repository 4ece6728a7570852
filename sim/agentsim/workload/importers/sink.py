"""Where importers put what they read: `Sink`. Calls of a session may come from anywhere, any time.

They lie in a private SQLite database that spills to disk, so a log larger than memory can be
grouped by session; only one session at a time is in memory again.
"""

from __future__ import annotations

import csv
import hashlib
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec

from agentsim.errors import TraceError
from agentsim.workload.importers.logged import LoggedCall, Piece, SessionFacts
from agentsim.workload.importers.report import ImportReport
from agentsim.workload.importers.sources import Line, LogFile
from agentsim.workload.importers.tokens import MESSAGE_TOKENS, TokenCounter
from agentsim.workload.lines import show

#: The session of calls whose log names it "": a trace needs a name.
UNNAMED = "unnamed"

_TABLES = """
create table calls (session text, id text, seq integer primary key, at integer, data blob,
                    source text,
                    unique (session, id));
create table facts (session text primary key, data blob);
create table claims (key text primary key, owner text) without rowid;
create table spawns (session text, agent text, spawner text, primary key (session, agent))
    without rowid;
create table held (kind text, name text, seq integer primary key, at integer, data blob);
create index held_by_name on held (kind, name);
"""


class Sink:
    """Takes the calls of all logs and gives them back session by session.

    Parameters
    ----------
    counter : TokenCounter
        For text without token counts.
    skip_bad : bool
        Leave out and count what cannot be read, instead of stopping there.
    """

    def __init__(self, counter: TokenCounter, *, skip_bad: bool = False) -> None:
        self.counter = counter
        self.has_counted = False
        self.report = ImportReport()
        self._skip_bad = skip_bad
        self.source = ""  # the format that is being read
        self._calls = msgspec.msgpack.Encoder()
        self._rows = 0
        self._sum = hashlib.blake2b(digest_size=16)
        self._base = sqlite3.connect("", isolation_level=None)  # on disk once it is large
        self._base.executescript(
            f"pragma journal_mode=off; pragma synchronous=off; {_TABLES} begin;"
        )

    def call(self, session: str, call: LoggedCall) -> None:
        """Take a call; one that was logged before (same session and id) is counted and dropped."""
        data = self._calls.encode(call)
        at = call.start_ns if call.start_ns is not None else call.end_ns
        row = (session or UNNAMED, call.id, self._rows, at, data, self.source)
        try:
            self._base.execute("insert into calls values (?, ?, ?, ?, ?, ?)", row)
        except sqlite3.IntegrityError:
            self.report.warn("calls logged twice; the first counts", f"{session}/{call.id}")
            return
        except sqlite3.Error as error:
            raise TraceError(f"a long log cannot be kept on disk: {error}") from None
        self._rows += 1
        self._sum.update(data)

    def check_sources(self) -> None:
        """Warn about sessions that logs of several formats hold: they are counted twice."""
        twice = self._base.execute(
            "select session, group_concat(distinct source) from calls group by session "
            "having count(distinct source) > 1"
        )
        for session, formats in twice:
            kind = "sessions in logs of several formats, whose calls are all taken"
            self.report.warn(kind, f"{session} ({formats.replace(',', ', ')})")

    def facts(self, session: str, facts: SessionFacts) -> None:
        """Say something of a session; what is said last counts."""
        data = self._calls.encode(facts)
        row = (session or UNNAMED, data)
        self._base.execute("insert or replace into facts values (?, ?)", row)

    def hold(self, kind: str, group: str, at_ns: int | None, data: bytes) -> None:
        """Keep a record until all files are read, for a format's `Importer.finish`."""
        try:
            self._base.execute(
                "insert into held (kind, name, at, data) values (?, ?, ?, ?)",
                (kind, group, at_ns, data),
            )
        except sqlite3.Error as error:
            raise TraceError(f"a long log cannot be kept on disk: {error}") from None

    def held(self, kind: str) -> Iterator[tuple[str, bytes]]:
        """What was held, with its group, in the order of its times."""
        yield from self._base.execute(
            "select name, data from held where kind = ? order by at is null, at, seq", (kind,)
        )

    def held_groups(self, kind: str) -> Iterator[tuple[str, list[bytes]]]:
        """What was held, group by group in the order of their first times."""
        names = self._base.execute(
            "select name from held where kind = ? group by name "
            "order by min(at) is null, min(at), min(seq)",
            (kind,),
        )
        for (name,) in names.fetchall():
            rows = self._base.execute(
                "select data from held where kind = ? and name = ? order by at is null, at, seq",
                (kind, name),
            )
            yield name, [data for (data,) in rows]

    def claim(self, key: str, owner: str) -> str:
        """Who was the first to claim a key, in whatever file: for records that logs copy."""
        self._base.execute("insert or ignore into claims values (?, ?)", (key, owner))
        return self.claimed(key) or owner

    def claimed(self, key: str) -> str | None:
        """Who was the first to claim a key; None: nobody did."""
        found = self._base.execute("select owner from claims where key = ?", (key,)).fetchone()
        return None if found is None else str(found[0])

    def fresh(self, session: str, owner: str) -> str:
        """A session name that is this owner's alone: as it is, or with a number behind it.

        For formats that name a session after a file or a task, of which there may be several.
        """
        name, number = session, 1
        while self.claim(f"session {name}", owner) != owner:
            number += 1
            name = f"{session}~{number}"
        return name

    def spawned(self, session: str, agent: str, spawner: str) -> None:
        """Say which call's tool started an agent, whose own log may not say so.

        A `LoggedCall.spawned_by` of one of the agent's calls takes precedence.
        """
        row = (session, agent, spawner)
        self._base.execute("insert or ignore into spawns values (?, ?, ?)", row)

    def join(self, session: str, other: str) -> None:
        """Say that two sessions are one; the calls of `other` become those of `session`.

        Ids must be unique in both together.
        """
        self._base.execute("update calls set session = ? where session = ?", (session, other))

    def piece(self, role: str, text: str) -> Piece:
        """A message of a prompt; its text is not kept."""
        return Piece(digest(role, text), self.count(text) + MESSAGE_TOKENS)

    def count(self, text: str) -> int:
        """Tokens of a text."""
        self.has_counted = True
        return self.counter.count(text)

    def objects(self, file: LogFile) -> Iterator[tuple[int, dict[str, Any]]]:
        """The lines of a file as JSON objects, each with its line number.

        A last line without its newline that cannot be read was still being written: it is noted and
        passed over. Others go the way of `bad`.
        """
        for line in file.lines():
            try:
                value = file.decode(line.text, line.number)
                if not isinstance(value, dict):
                    raise file.error(f"expected a JSON object, got {show(value)}", line.number)
            except TraceError as error:
                self._bad_line(error, line)
                continue
            yield line.number, value

    def documents(self, file: LogFile) -> Iterator[tuple[int | None, dict[str, Any]]]:
        """The JSON objects of a file that holds one of them, or one a line, with line numbers."""
        if b"\n" not in file.head.rstrip() or file.first is not None:
            yield from self.objects(file)
            return
        try:
            value = file.document()
            if not isinstance(value, dict):
                raise file.error(f"expected a JSON object, got {show(value)}")
        except TraceError as error:
            self.bad(error)
            return
        yield None, value

    def rows(
        self, file: LogFile, needed: Sequence[str] = (), *, begins: str = ""
    ) -> Iterator[tuple[int, dict[str, str]]]:
        """The rows of a CSV file with a header, one a line, each with its line number.

        Parameters
        ----------
        needed : sequence of str
            Columns that must be there.
        begins : str
            What the line with the names begins with; lines before it are passed over.

        Raises
        ------
        TraceError
            If one is not; rows that cannot be read go the way of `objects`.
        """
        names: list[str] = []
        for line in file.lines():
            if not names and not line.text.startswith(begins.encode()):
                continue
            try:
                row = next(csv.reader([line.text.decode("utf-8")], strict=True), [])
            except (csv.Error, UnicodeDecodeError) as error:
                self._bad_line(file.error(f"cannot be read as CSV: {error}", line.number), line)
                continue
            if not names:
                names = [name.strip() for name in row]
                if missing := [name for name in needed if name not in names]:
                    raise file.error(f"missing columns: {', '.join(missing)}", line.number)
            elif len(row) == len(names):
                yield line.number, dict(zip(names, row, strict=True))
            else:
                expected = f"expected {len(names)} fields, got {len(row)}"
                self._bad_line(file.error(expected, line.number), line)

    @contextmanager
    def guard(self) -> Iterator[None]:
        """Around the reading of one record: an error in it goes the way of `bad`."""
        try:
            yield
        except TraceError as error:
            self.bad(error)

    def _bad_line(self, error: TraceError, line: Line) -> None:
        if line.is_last:
            self.report.warn("last lines not written to their end; passed over", str(error))
        else:
            self.bad(error)

    def warn(self, kind: str, example: str) -> None:
        """Note something odd, with an example."""
        self.report.warn(kind, example)

    def bad(self, error: TraceError) -> None:
        """What to do about a line or record that cannot be read.

        Raises
        ------
        TraceError
            Unless such are to be left out.
        """
        if not self._skip_bad:
            raise error
        self.report.left_out += 1
        self.report.warn("left out: cannot be read", str(error))

    @property
    def key(self) -> bytes:
        """A key that follows from all calls taken."""
        return self._sum.digest()

    @property
    def first_ns(self) -> int | None:
        """The earliest time of any call."""
        (at,) = self._base.execute("select min(at) from calls").fetchone()
        return None if at is None else int(at)

    def sessions(self) -> Iterator[tuple[str, SessionFacts, list[LoggedCall]]]:
        """Sessions in the order of their first times, with their calls as they came."""
        decode = msgspec.msgpack.Decoder(LoggedCall).decode
        names = self._base.execute(
            "select session from calls group by session order by min(at) is null, min(at), min(seq)"
        )
        for (session,) in names.fetchall():
            rows = self._base.execute(
                "select data from calls where session = ? order by seq", (session,)
            )
            said = self._base.execute(
                "select data from facts where session = ?", (session,)
            ).fetchone()
            facts = msgspec.msgpack.decode(said[0], type=SessionFacts) if said else SessionFacts()
            yield session, facts, self._linked(session, [decode(data) for (data,) in rows])

    def _linked(self, session: str, calls: list[LoggedCall]) -> list[LoggedCall]:
        """The calls of a session with what `spawned` said of their agents."""
        query = "select agent, spawner from spawns where session = ?"
        spawners = dict(self._base.execute(query, (session,)).fetchall())
        if not spawners:
            return calls
        agents = {call.agent for call in calls}
        for agent in sorted(spawners.keys() - agents):
            self.report.warn(
                "sub-agents that are not in the logs; their time counts as the tool's",
                f"{session}/{agent}",
            )
        return [
            call
            if call.spawned_by is not None or call.agent not in spawners
            else msgspec.structs.replace(call, spawned_by=spawners[call.agent])
            for call in calls
        ]


def digest(role: str, text: str) -> int:
    """63 bits that stand for a message of this role."""
    data = hashlib.blake2b(f"{role}\x1f{text}".encode("utf-8", "surrogatepass"), digest_size=8)
    return int.from_bytes(data.digest(), "little") >> 1
