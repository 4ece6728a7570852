"""Columns of what happened: steps and the gaps between tokens, many equal steps at a time.

A stride is one row with a count; rows are expanded to columns when there are enough of them for a
chunk, and handed over. Chunks hold `CHUNK_STEPS` steps each (the last one fewer), however the steps
were taken.
"""

from __future__ import annotations

from array import array
from struct import Struct

import numpy as np
import numpy.typing as npt

from agentsim.domain.batch import BatchShape
from agentsim.domain.records import STEP_COLUMNS
from agentsim.engine.ledger import Ledger

IntArray = npt.NDArray[np.int64]
Chunk = dict[str, IntArray]

#: steps in a chunk
CHUNK_STEPS = 1 << 16

_NAMES = tuple(STEP_COLUMNS)
_INDEX = {name: i for i, name in enumerate(_NAMES)}
_SHAPE_AT = _INDEX[BatchShape._fields[0]]
assert _NAMES[_SHAPE_AT : _SHAPE_AT + len(BatchShape._fields)] == BatchShape._fields
_packed = Struct(f"{len(_NAMES)}q").pack


class StepRecorder:
    """The steps of one replica, in order.

    Parameters
    ----------
    replica : int
        Its number.
    ledger : Ledger
        Takes each chunk of columns, named as in `STEP_COLUMNS`, and the gaps.
    """

    def __init__(self, replica: int, ledger: Ledger) -> None:
        self._ledger = ledger
        self._replica = replica
        self._num_steps = 0  # handed over
        self._rest: Chunk = {name: np.zeros(0, np.int64) for name in _NAMES}
        self._clear()

    def _clear(self) -> None:
        self._num_pending = 0
        self._rows = bytearray()
        self._counts = array("q")
        # of the strides: row, first step, growth of the two contexts, free blocks without content
        self._strides = array("q")
        self._ends = array("q")  # of their steps
        self._needs = array("q")
        self._arrivals: list[tuple[int, int]] = []  # steps that count one waiting request more
        self._single_gaps = array("q")

    def add(self, start_ns: int, end_ns: int, shape: BatchShape, facts: tuple[int, ...]) -> None:
        """One step.

        Parameters
        ----------
        start_ns, end_ns : int
        shape : BatchShape
        facts : tuple of int
            The columns behind those of the shape, in order: recomputed_tokens to preempted.
        """
        self._rows += _packed(self._replica, 0, start_ns, end_ns, *shape, *facts)
        self._counts.append(1)
        self._num_pending += 1
        if self._num_pending >= CHUNK_STEPS:
            self._expand()

    def add_gap(self, gap_ns: int, count: int) -> None:
        """`count` gaps of equal length between successive tokens of a request."""
        self._single_gaps.extend((gap_ns, count))

    def add_stride(
        self,
        start_ns: int,
        ends_ns: IntArray,
        shape: BatchShape,
        facts: tuple[int, ...],
        *,
        window_growth: int,
        needs: list[int],
        blank: int,
        arrivals: list[int],
    ) -> None:
        """Steps of the decode group: each starts where the one before it ends.

        Every one of them brings each of its sequences a token.

        Parameters
        ----------
        start_ns : int
            Start of the first.
        ends_ns : ndarray of int64, shape (num_steps,)
            Their ends.
        shape, facts : BatchShape, tuple of int
            As for `add`, of the first; with the blocks used before it, and none evicted.
        window_growth : int
            What each step adds to window_decode_context; to decode_context it adds num_seqs.
        needs : list of int, of num_steps or more
            Blocks each step takes.
        blank : int
            Free blocks without content before the first.
        arrivals : list of int
            For each request that came to wait meanwhile, the first step that counts it.
        """
        num_steps, begin = len(ends_ns), self._num_pending
        self._strides.extend((len(self._counts), begin, shape.num_seqs, window_growth, blank))
        self._ends.frombytes(ends_ns.tobytes())
        self._needs.extend(needs if len(needs) == num_steps else needs[:num_steps])
        self._rows += _packed(self._replica, 0, start_ns, 0, *shape, *facts)
        self._counts.append(num_steps)
        self._num_pending += num_steps
        for first in arrivals:
            if first < num_steps:
                self._arrivals.append((begin + first, self._num_pending))
        if self._num_pending >= CHUNK_STEPS:
            self._expand()

    def add_columns(self, columns: Chunk) -> None:
        """Steps as columns; `step` may be left out."""
        num_steps = len(columns["end_ns"])
        self._expand()
        self._hand_over({**columns, "step": np.zeros(num_steps, np.int64)})

    def add_gaps(self, gaps_ns: IntArray, counts: IntArray) -> None:
        """Gaps between successive tokens, each with how often it was seen."""
        self._ledger.gaps.add(gaps_ns, counts)

    def close(self) -> None:
        """Hand over what is left."""
        self._expand()
        if len(self._rest["step"]):
            self._ledger.add_steps(self._rest)
            self._rest = {name: column[:0] for name, column in self._rest.items()}

    def _expand(self) -> None:
        """Turn the rows into columns, and hand over what fills whole chunks."""
        rows = np.frombuffer(self._rows, np.int64).reshape(-1, len(_NAMES))
        counts = np.frombuffer(self._counts, np.int64)
        made = {name: _repeated(rows[:, i], counts) for i, name in enumerate(_NAMES)}
        singles = np.frombuffer(self._single_gaps, np.int64).reshape(-1, 2)
        gaps, weights = [singles[:, 0]], [singles[:, 1]]
        if self._strides:
            where, members = self._expand_strides(made, counts)
            gaps.append(made["end_ns"][where] - made["start_ns"][where])
            weights.append(members)
        if sum(map(len, gaps)):
            self.add_gaps(np.concatenate(gaps), np.concatenate(weights))
        self._clear()
        self._hand_over(made)

    def _expand_strides(self, made: Chunk, counts: IntArray) -> tuple[IntArray, IntArray]:
        """Fill in what varies within strides; their steps, and the sequences of each."""
        rows, first, members, growth, blank = (
            np.frombuffer(self._strides, np.int64).reshape(-1, 5).T
        )
        lengths = counts[rows]
        offset = np.cumsum(lengths) - lengths  # of each stride among the steps of strides
        within = np.arange(lengths.sum()) - np.repeat(offset, lengths)
        where = np.repeat(first, lengths) + within
        per_step = np.repeat(members, lengths)
        made["end_ns"][where] = ends = np.frombuffer(self._ends, np.int64)
        later = within > 0
        made["start_ns"][where[later]] = ends[np.flatnonzero(later) - 1]
        made["decode_context"][where] += per_step * within
        made["window_decode_context"][where] += np.repeat(growth, lengths) * within
        needs = np.frombuffer(self._needs, np.int64)
        taken = np.cumsum(needs)
        taken -= np.repeat(taken[offset] - needs[offset], lengths)
        made["used_blocks"][where] += taken
        blanks = np.repeat(blank, lengths)
        if (taken > blanks).any():
            lost, before = np.maximum(taken - blanks, 0), np.maximum(taken - needs - blanks, 0)
            made["evicted_blocks"][where] = lost - before
        for begin, end in self._arrivals:
            made["waiting"][begin:end] += 1
        return where, per_step

    def _hand_over(self, made: Chunk) -> None:
        """Hand over whole chunks of what is left and what was made."""
        made = {name: np.concatenate([rest, made[name]]) for name, rest in self._rest.items()}
        num_steps, done = len(made["end_ns"]), 0
        while num_steps - done >= CHUNK_STEPS:
            self._number(made, done, done + CHUNK_STEPS)
            self._ledger.add_steps(
                {name: column[done : done + CHUNK_STEPS] for name, column in made.items()}
            )
            done += CHUNK_STEPS
        self._number(made, done, num_steps)
        self._num_steps -= num_steps - done  # to be numbered again with what follows
        self._rest = {name: column[done:] for name, column in made.items()}

    def _number(self, made: Chunk, begin: int, end: int) -> None:
        made["step"][begin:end] = np.arange(self._num_steps, self._num_steps + end - begin)
        self._num_steps += end - begin


def _repeated(column: IntArray, counts: IntArray) -> IntArray:
    if not column.any():
        return np.zeros(counts.sum(), np.int64)
    repeated: IntArray = np.repeat(column, counts)
    return repeated
