"""Columns in few bytes: how a table keeps them in memory.

Integers are kept less their smallest, or as differences less the smallest of these, whichever is
narrower: a column of equal values takes no room, nor does one that grows evenly; times take four
bytes where steps last less than four seconds. Of strings each is kept once a chunk.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

_NARROW = (np.uint8, np.uint16, np.uint32)


@dataclass(frozen=True, slots=True)
class Strings:
    """A column of strings.

    Attributes
    ----------
    names : ndarray of object
        Each string once.
    codes : ndarray of int64
        For each row, the place of its string among `names`.
    """

    names: Array
    codes: IntArray

    @classmethod
    def of(cls, values: Array) -> Strings:
        """Find the distinct strings, in the order in which they come first."""
        places: dict[str, int] = {}
        codes = [places.setdefault(value, len(places)) for value in values.tolist()]
        return cls(np.array(list(places), dtype=object), np.array(codes, dtype=np.int64))

    def array(self) -> Array:
        """The string of each row."""
        found: Array = self.names[self.codes]
        return found

    def among(self, wanted: Collection[str]) -> BoolArray:
        """Which rows hold one of the strings `wanted`."""
        known = np.array([name in wanted for name in self.names.tolist()], dtype=np.bool_)
        return known[self.codes]


@dataclass(frozen=True, slots=True)
class PackedIntegers:
    """Integers, or with `first` the differences between them.

    Attributes
    ----------
    length : int
        Rows.
    lowest : int
        Smallest of what is kept.
    over : ndarray of an unsigned type, or None
        By how much each is more; None: all are equal.
    first : int or None
        The first value, where differences are kept.
    """

    length: int
    lowest: int
    over: Array | None
    first: int | None = None

    @classmethod
    def of(cls, values: IntArray) -> PackedIntegers:
        """Take the narrower of both forms."""
        if not len(values):
            return cls(0, 0, None)
        lowest, over = _narrow(values)
        if len(values) > 1 and over is not None and over.itemsize > 1:
            least, steps = _narrow(np.diff(values))
            if steps is None or steps.itemsize < over.itemsize:
                return cls(len(values), least, steps, int(values[0]))
        return cls(len(values), lowest, over)

    @property
    def nbytes(self) -> int:
        """Room it takes."""
        return 0 if self.over is None else self.over.nbytes

    def array(self) -> IntArray:
        """The integers as they were."""
        length = self.length - (self.first is not None)
        kept = np.full(length, self.lowest, dtype=np.int64)
        if self.over is not None:
            kept += self.over.astype(np.int64)
        if self.first is None:
            return kept
        values = np.empty(self.length, dtype=np.int64)
        values[0] = self.first
        np.cumsum(kept, out=values[1:])
        values[1:] += self.first
        return values


@dataclass(frozen=True, slots=True)
class PackedStrings:
    """Strings: the distinct ones end to end, where each of them ends, and the code of each row."""

    text: str
    ends: PackedIntegers
    codes: PackedIntegers

    @classmethod
    def of(cls, values: Array) -> PackedStrings:
        """Keep each string once."""
        strings = Strings.of(values)
        names = strings.names.tolist()
        ends = np.cumsum([len(name) for name in names], dtype=np.int64)
        text = "".join(names)
        return cls(text, PackedIntegers.of(ends), PackedIntegers.of(strings.codes))

    @property
    def nbytes(self) -> int:
        """Room it takes, in a text of plain letters."""
        return len(self.text) + self.ends.nbytes + self.codes.nbytes

    def strings(self) -> Strings:
        """The column, of which rows can be chosen before any string is looked up."""
        ends = self.ends.array().tolist()
        starts = [0, *ends[:-1]]
        names = [self.text[start:end] for start, end in zip(starts, ends, strict=False)]
        return Strings(np.array(names, dtype=object), self.codes.array())


Packed = PackedIntegers | PackedStrings | Array


def pack(column: Array) -> Packed:
    """The column in few bytes; of other types than int64 and strings, itself."""
    if column.dtype == np.int64:
        return PackedIntegers.of(column)
    return PackedStrings.of(column) if column.dtype.kind in "OU" else column


def unpack(column: Packed) -> Array | Strings:
    """What was packed."""
    if isinstance(column, PackedIntegers):
        return column.array()
    return column.strings() if isinstance(column, PackedStrings) else column


def _narrow(values: IntArray) -> tuple[int, Array | None]:
    """The smallest, and by how much each value is more, in the fewest bytes; None: not at all."""
    lowest, highest = int(values.min()), int(values.max())
    if lowest == highest:
        return lowest, None
    for dtype in _NARROW:
        if highest - lowest <= np.iinfo(dtype).max:
            return lowest, (values - lowest).astype(dtype)
    return 0, values.copy()
