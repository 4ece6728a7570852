"""Columns of what happened: steps and the gaps between tokens, many equal steps at a time.

Steps that differ only in what grows evenly are kept as one row with a count; `columns` expands
them.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from agentsim.domain.batch import BatchShape
from agentsim.domain.records import STEP_COLUMNS

IntArray = npt.NDArray[np.int64]

_NAMES = tuple(STEP_COLUMNS)
_INDEX = {name: i for i, name in enumerate(_NAMES)}
_SHAPE_AT = _INDEX[BatchShape._fields[0]]
assert _NAMES[_SHAPE_AT : _SHAPE_AT + len(BatchShape._fields)] == BatchShape._fields


class StepRow(list[int]):
    """One row of `STEP_COLUMNS`, in their order."""

    def set(self, **values: int) -> StepRow:
        """Fill in columns by name."""
        for name, value in values.items():
            self[_INDEX[name]] = value
        return self

    def add(self, **values: int) -> None:
        """Add to columns by name."""
        for name, value in values.items():
            self[_INDEX[name]] += value


def step_row(
    shape: BatchShape, replica: int, start_ns: int, end_ns: int, facts: tuple[int, ...]
) -> StepRow:
    """A row for a step.

    Parameters
    ----------
    facts : tuple of int
        The columns behind those of the shape, in order: recomputed_tokens to preempted.
    """
    return StepRow((replica, 0, start_ns, end_ns, *shape, *facts))


class StepRecorder:
    """The steps of one replica, in order."""

    def __init__(self) -> None:
        self.num_steps = 0
        self._rows: list[StepRow] = []
        self._counts: list[int] = []
        self._growths: list[tuple[int, int, int]] = []  # row, of decode_context, of the windowed
        self._varying: dict[str, list[tuple[int, IntArray]]] = {}  # from which step
        self._gaps: list[tuple[int, int]] = []
        self._gap_chunks: list[tuple[IntArray, int]] = []

    def add(self, row: StepRow) -> None:
        """One step."""
        row[1] = self.num_steps
        self.num_steps += 1
        self._rows.append(row)
        self._counts.append(1)

    def add_gaps(self, gaps: list[tuple[int, int]]) -> None:
        """Gaps between successive tokens: (nanoseconds, how many)."""
        self._gaps += gaps

    def add_equal_gaps(self, gaps_ns: IntArray, num_sequences: int) -> None:
        """Gaps each seen by `num_sequences`."""
        self._gap_chunks.append((gaps_ns, num_sequences))

    def add_stride(
        self, first: StepRow, growth: tuple[int, int], varying: dict[str, IntArray]
    ) -> None:
        """Steps that differ in the context, which grows evenly, and in the columns `varying`.

        Parameters
        ----------
        first : StepRow
            The first of them.
        growth : (int, int)
            What each step adds to decode_context and to window_decode_context.
        varying : dict of str to ndarray of int64
            Other columns, of equal length: the number of steps.
        """
        num_steps = len(varying["end_ns"])
        first[1] = self.num_steps
        self._growths.append((len(self._rows), *growth))
        for name, column in varying.items():
            self._varying.setdefault(name, []).append((self.num_steps, column))
        self._rows.append(first)
        self._counts.append(num_steps)
        self.num_steps += num_steps

    def columns(self) -> dict[str, IntArray]:
        """All steps, as `STEP_COLUMNS` names them."""
        if not self._rows:
            return {name: np.zeros(0, dtype=np.int64) for name in _NAMES}
        rows = np.array(self._rows, dtype=np.int64)
        counts = np.array(self._counts)
        made = {name: np.repeat(rows[:, i], counts) for i, name in enumerate(_NAMES)}
        made["step"] = np.arange(self.num_steps)
        within = made["step"] - np.repeat(rows[:, 1], counts)
        grows = np.array(self._growths, dtype=np.int64).reshape(-1, 3)
        for i, name in ((1, "decode_context"), (2, "window_decode_context")):
            slope = np.zeros(len(rows), dtype=np.int64)
            slope[grows[:, 0]] = grows[:, i]
            made[name] += np.repeat(slope, counts) * within
        for name, parts in self._varying.items():
            column = made[name]
            for begin, values in parts:
                column[begin : begin + len(values)] = values
        return made

    def gaps(self) -> tuple[IntArray, IntArray]:
        """Gaps in nanoseconds, each once and in order, and how often each was seen."""
        singles = np.array(self._gaps, dtype=np.int64).reshape(-1, 2)
        values = [singles[:, 0], *(gaps for gaps, _ in self._gap_chunks)]
        lengths = [len(gaps) for gaps, _ in self._gap_chunks]
        numbers = np.array([num for _, num in self._gap_chunks], dtype=np.int64)
        counts = np.concatenate([singles[:, 1], np.repeat(numbers, lengths)])
        unique, where = np.unique(np.concatenate(values), return_inverse=True)
        totals = np.zeros(len(unique), dtype=np.int64)
        np.add.at(totals, where, counts)
        return unique, totals
