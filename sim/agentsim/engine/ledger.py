"""What a run does, written down as it goes: calls as they are answered, steps in chunks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from struct import Struct

import numpy as np

from agentsim.domain.records import (
    REQUEST_COLUMNS,
    SESSION_COLUMNS,
    STEP_COLUMNS,
    Columns,
    dtypes,
)
from agentsim.domain.table import Table, TableWriter
from agentsim.domain.tally import Tally
from agentsim.engine.sequence import Sequence
from agentsim.engine.session import Flight, SessionRun
from agentsim.errors import InvariantBroken

MakeWriter = Callable[[str, Mapping[str, str]], TableWriter]

#: Calls in a chunk of requests, at least: whole sessions, and what is left at the end.
CHUNK_CALLS = 1 << 15

_REQUEST, _SESSION = dtypes(REQUEST_COLUMNS), dtypes(SESSION_COLUMNS)
#: Columns of a call that are numbers; the call's place in its session stands before them.
_NUMBERS = tuple(name for name, dtype in _REQUEST.items() if dtype != "str")
_packed = Struct(f"{1 + len(_NUMBERS)}q").pack
_NOTHING = (0,) * (len(_NUMBERS) - 7)  # from prompt_tokens on


class _Page:
    """The calls of a session that were answered: numbers packed, words three a call."""

    __slots__ = ("is_in_order", "last_place", "numbers", "run", "words")

    def __init__(self, run: SessionRun) -> None:
        self.run = run
        self.numbers = bytearray()
        self.words: list[str] = []  # agent, call, status
        self.last_place = -1
        self.is_in_order = True


class Ledger:
    """What a run does, written down as it goes.

    Parameters
    ----------
    writer : callable or None
        From the name of a table, ``requests``, ``steps`` or ``sessions``, and its columns to what
        takes its chunks; None: memory, or temporary files.

    Attributes
    ----------
    num_calls : int
        Calls written down so far.
    gaps : Tally
        Between tokens, nanoseconds.
    """

    def __init__(self, writer: MakeWriter | None = None) -> None:
        self.num_calls = 0
        self.gaps = Tally()
        self._requests = _new_writer(writer, "requests", _REQUEST)
        self._sessions = _new_writer(writer, "sessions", _SESSION)
        self._steps = _new_writer(writer, "steps", dtypes(STEP_COLUMNS))
        self._open: dict[int, _Page] = {}
        self._made = self._delivered = 0
        self._clear()

    def _clear(self) -> None:
        self._num_pending = 0
        self._numbers = bytearray()
        self._words: list[str] = []
        self._names: list[str] = []
        self._lives: list[tuple[int, ...]] = []

    def add_call(self, flight: Flight, sequence: Sequence | None) -> None:
        """A call that is answered; no sequence: there was nothing to do."""
        run, place, call = flight.run, flight.key[1], flight.call
        page = self._open.get(run.number)
        if page is None:
            page = self._open[run.number] = _Page(run)
        page.is_in_order = page.is_in_order and place > page.last_place
        page.last_place = place
        self.num_calls += 1
        sent_ns, delay_ns = flight.submitted_ns, flight.delay_ns
        if sequence is None:
            head = (place, run.slot, flight.server, delay_ns, sent_ns, sent_ns, -1, sent_ns)
            page.numbers += _packed(*head, *_NOTHING)
            page.words += (call.agent, call.id, "skipped")
            return
        made, asked = sequence.outputs, call.output_tokens
        status = "cut" if asked > made else "finished"
        if sequence.was_dropped:
            status = "timeout"
        elif made != sequence.num_output:
            raise InvariantBroken(f"a request made {made} of {sequence.num_output} tokens")
        self._made += made
        page.numbers += _packed(
            place,
            run.slot,
            flight.server,
            delay_ns,
            sent_ns,
            sequence.scheduled_ns,
            sequence.first_token_ns if asked else -1,
            sequence.last_token_ns,
            sequence.num_prompt,
            sequence.cached_tokens,
            asked if asked < made else made,
            sequence.preemptions,
            sequence.recomputed,
            sequence.recovering_ns,
            sequence.drafted,
            sequence.accepted,
            sequence.verifications,
        )
        page.words += (call.agent, call.id, status)

    def end_session(self, run: SessionRun) -> None:
        """No call of this session follows."""
        page = self._open.pop(run.number)
        num_calls = len(page.words) // 3
        if not page.is_in_order:
            _sort(page)
        self._numbers += page.numbers
        self._words += page.words
        self._names.append(run.name)
        waited_ns = run.finished_ns - run.started_ns - run.served_ns
        times = (run.started_ns, run.finished_ns, num_calls, run.served_ns, waited_ns)
        self._lives.append((run.slot, *times))
        self._num_pending += num_calls
        if self._num_pending >= CHUNK_CALLS:
            self._hand_over()

    def add_steps(self, columns: Columns) -> None:
        """A chunk of steps."""
        self._delivered += int(columns["new_tokens"].sum())
        self._steps.append(columns)

    def close(self) -> dict[str, Table]:
        """All tables, by name; sessions that have not ended with the calls they have had."""
        for page in list(self._open.values()):
            self.end_session(page.run)
        if self._lives:
            self._hand_over()
        writers = {"requests": self._requests, "steps": self._steps, "sessions": self._sessions}
        return {name: writer.close() for name, writer in writers.items()}

    def check_complete(self, num_calls: int) -> None:
        """Every call ended in exactly one state, and no token was lost."""
        if self.num_calls != num_calls or self._open:
            raise InvariantBroken(f"{self.num_calls} of {num_calls} calls were answered")
        if self._delivered != self._made:
            raise InvariantBroken(
                f"steps delivered {self._delivered} tokens, requests have {self._made}"
            )

    def _hand_over(self) -> None:
        """A chunk of requests, and the sessions that they belong to."""
        lives = np.array(self._lives, np.int64).T
        names = np.array(self._names, object)
        numbers = np.frombuffer(self._numbers, np.int64).reshape(-1, 1 + len(_NUMBERS))[:, 1:].T
        words = np.array(self._words, object).reshape(-1, 3).T
        counts = lives[3]
        requests = dict(zip(_NUMBERS, map(np.ascontiguousarray, numbers), strict=True))
        requests["session"] = np.repeat(names, counts)
        requests["agent"], requests["call"], requests["status"] = words
        sessions = dict(zip(list(_SESSION)[1:], map(np.ascontiguousarray, lives), strict=True))
        self._requests.append({name: requests[name] for name in _REQUEST})
        self._sessions.append({"session": names, **sessions})
        self._clear()


def _new_writer(writer: MakeWriter | None, name: str, columns: Mapping[str, str]) -> TableWriter:
    return TableWriter(columns) if writer is None else writer(name, columns)


def _sort(page: _Page) -> None:
    """Put the calls of a page into the order of the trace."""
    numbers = np.frombuffer(page.numbers, np.int64).reshape(-1, 1 + len(_NUMBERS))
    order = np.argsort(numbers[:, 0])
    words = np.array(page.words, object).reshape(-1, 3)
    page.numbers = bytearray(numbers[order].tobytes())
    page.words = words[order].ravel().tolist()
