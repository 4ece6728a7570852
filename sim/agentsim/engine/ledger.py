"""What a run does, written down as it goes: sessions when they end, steps a chunk at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from agentsim.domain.records import (
    REQUEST_COLUMNS,
    SESSION_COLUMNS,
    STEP_COLUMNS,
    Columns,
    dtypes,
)
from agentsim.domain.table import Table, TableWriter, columns_of
from agentsim.domain.tally import Tally
from agentsim.engine.session import Flight, SessionRun
from agentsim.errors import InvariantBroken

MakeWriter = Callable[[str, Mapping[str, str]], TableWriter]

#: Calls in a chunk of requests, at least: whole sessions, and what is left at the end.
CHUNK_CALLS = 1 << 15

_REQUEST, _SESSION = dtypes(REQUEST_COLUMNS), dtypes(SESSION_COLUMNS)


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
        new = writer or (lambda _, columns: TableWriter(columns))
        self.num_calls = 0
        self.gaps = Tally()
        self._requests = new("requests", _REQUEST)
        self._sessions = new("sessions", _SESSION)
        self._steps = new("steps", dtypes(STEP_COLUMNS))
        self._calls: list[tuple[Any, ...]] = []
        self._lives: list[tuple[Any, ...]] = []
        self._made = self._delivered = 0

    def add_session(self, run: SessionRun) -> None:
        """A session that has ended, and its calls."""
        for flight in run.flights:
            self._calls.append(_request_row(run, flight))
            if flight.sequence is not None:
                self._made += flight.sequence.outputs
        self.num_calls += len(run.flights)
        waited_ns = run.finished_ns - run.started_ns - run.served_ns
        times = (run.started_ns, run.finished_ns, len(run.flights), run.served_ns, waited_ns)
        self._lives.append((run.name, run.slot, *times))
        if len(self._calls) >= CHUNK_CALLS:
            self._hand_over()

    def add_steps(self, columns: Columns) -> None:
        """A chunk of steps."""
        self._delivered += int(columns["new_tokens"].sum())
        self._steps.append(columns)

    def close(self) -> dict[str, Table]:
        """All tables, by name."""
        if self._lives:
            self._hand_over()
        writers = {"requests": self._requests, "steps": self._steps, "sessions": self._sessions}
        return {name: writer.close() for name, writer in writers.items()}

    def check_complete(self, num_calls: int) -> None:
        """Every call ended in exactly one state, and no token was lost."""
        if self.num_calls != num_calls:
            raise InvariantBroken(f"{self.num_calls} of {num_calls} calls were answered")
        if self._delivered != self._made:
            raise InvariantBroken(
                f"steps delivered {self._delivered} tokens, requests have {self._made}"
            )

    def _hand_over(self) -> None:
        """A chunk of requests, and the sessions that they belong to."""
        self._requests.append(columns_of(self._calls, _REQUEST))
        self._sessions.append(columns_of(self._lives, _SESSION))
        self._calls, self._lives = [], []


def _request_row(run: SessionRun, flight: Flight) -> tuple[Any, ...]:
    """A row of `REQUEST_COLUMNS`."""
    call, sequence, sent_ns = flight.call, flight.sequence, flight.submitted_ns
    head = (run.name, call.agent, call.id, run.slot, 0)
    if sequence is None:
        return (*head, "skipped", flight.delay_ns, sent_ns, sent_ns, -1, sent_ns, *(0,) * 9)
    num_made, num_asked = sequence.outputs, call.output_tokens
    if num_made != sequence.num_output:
        raise InvariantBroken(f"a request made {num_made} of {sequence.num_output} tokens")
    return (
        *head,
        "cut" if num_asked > num_made else "finished",
        flight.delay_ns,
        sent_ns,
        sequence.scheduled_ns,
        sequence.first_token_ns if num_asked else -1,
        sequence.last_token_ns,
        sequence.num_prompt,
        sequence.cached_tokens,
        min(num_asked, num_made),
        sequence.preemptions,
        sequence.recomputed,
        sequence.recovering_ns,
        sequence.drafted,
        sequence.accepted,
        sequence.verifications,
    )
