"""Columns of what happened: steps and the gaps between tokens, many equal steps at a time."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from agentsim.domain.batch import BatchShape
from agentsim.domain.records import STEP_COLUMNS

IntArray = npt.NDArray[np.int64]

_NAMES = tuple(STEP_COLUMNS)
_INDEX = {name: i for i, name in enumerate(_NAMES)}
_SHAPE_NAMES = BatchShape._fields


class StepRow(list[int]):
    """One row of `STEP_COLUMNS`, in their order."""

    def set(self, **values: int) -> StepRow:
        """Fill in columns by name."""
        for name, value in values.items():
            self[_INDEX[name]] = value
        return self


def step_row(shape: BatchShape, **values: int) -> StepRow:
    """A row for a step of this shape."""
    row = StepRow([0] * len(_NAMES))
    row.set(**dict(zip(_SHAPE_NAMES, shape, strict=True)))
    return row.set(**values)


class StepRecorder:
    """The steps of one replica, in order."""

    def __init__(self) -> None:
        self.num_steps = 0
        self._rows: list[StepRow] = []
        self._chunks: list[IntArray] = []
        self._gaps: list[tuple[int, int]] = []
        self._gap_chunks: list[tuple[IntArray, int]] = []

    def add(self, row: StepRow) -> None:
        """One step."""
        row.set(step=self.num_steps)
        self.num_steps += 1
        self._rows.append(row)

    def add_gaps(self, gaps: list[tuple[int, int]]) -> None:
        """Gaps between successive tokens: (nanoseconds, how many)."""
        self._gaps += gaps

    def add_equal_gaps(self, gaps_ns: IntArray, num_sequences: int) -> None:
        """Gaps each seen by `num_sequences`."""
        self._gap_chunks.append((gaps_ns, num_sequences))

    def add_stride(self, first: StepRow, changes: dict[str, IntArray]) -> None:
        """Steps that differ only in `changes`: columns of equal length."""
        self._flush()
        num_steps = len(next(iter(changes.values())))
        chunk = np.empty((num_steps, len(_NAMES)), dtype=np.int64)
        chunk[:] = first
        for name, column in changes.items():
            chunk[:, _INDEX[name]] = column
        chunk[:, _INDEX["step"]] = np.arange(self.num_steps, self.num_steps + num_steps)
        self.num_steps += num_steps
        self._chunks.append(chunk)

    def columns(self) -> dict[str, IntArray]:
        """All steps, as `STEP_COLUMNS` names them."""
        self._flush()
        if not self._chunks:
            return {name: np.zeros(0, dtype=np.int64) for name in _NAMES}
        table = np.concatenate(self._chunks)
        self._chunks = [table]
        return {name: np.ascontiguousarray(table[:, i]) for i, name in enumerate(_NAMES)}

    def gaps(self) -> tuple[IntArray, IntArray]:
        """Gaps in nanoseconds, each once and in order, and how often each was seen."""
        singles = np.array(self._gaps, dtype=np.int64).reshape(-1, 2)
        values = [singles[:, 0], *(gaps for gaps, _ in self._gap_chunks)]
        counts = [singles[:, 1]]
        counts += [np.full(len(gaps), num, dtype=np.int64) for gaps, num in self._gap_chunks]
        unique, where = np.unique(np.concatenate(values), return_inverse=True)
        totals = np.zeros(len(unique), dtype=np.int64)
        np.add.at(totals, where, np.concatenate(counts))
        return unique, totals

    def _flush(self) -> None:
        if self._rows:
            self._chunks.append(np.array(self._rows, dtype=np.int64))
            self._rows = []
