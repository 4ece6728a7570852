"""Strict reading of measured tables: every fault names file, line and field.

`read_table` gives the rows of a CSV file (gzipped or not), `read_objects` the lines of a JSON Lines
file. An empty field means that the source does not state it.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agentsim.errors import UserError

#: What a source writes for a value that it does not have.
_NOTHING = ("", "—", "-")
_YES = ("true", "on", "yes", "1")
#: How far a time in ms may be from the same in seconds, which is rounded.
_UNITS_AGREE = 0.05
_NO = ("false", "off", "no", "0")


@dataclass(frozen=True, slots=True)
class Record:
    """One row of a table: fields by name, and where it stands.

    Attributes
    ----------
    where : str
        File and line, for messages.
    fields : mapping
        Text of a CSV file, values of a JSON file.
    """

    where: str
    fields: Mapping[str, Any]

    def fault(self, name: str, expected: str) -> UserError:
        """What is wrong with a field, as an error to be raised."""
        return UserError(
            f"{self.where}: field {name!r}: expected {expected}, got {self.fields.get(name)!r}"
        )

    def has(self, name: str) -> bool:
        """Whether the field is there and not empty."""
        value = self.fields.get(name)
        return value is not None and str(value).strip() not in _NOTHING

    def text(self, name: str) -> str:
        """A field that must not be empty."""
        if not self.has(name):
            raise self.fault(name, "text")
        return str(self.fields[name]).strip()

    def text_or(self, name: str, default: str) -> str:
        """A field, or what stands for an empty one."""
        return self.text(name) if self.has(name) else default

    def number(self, name: str) -> float:
        """A finite number >= 0."""
        value = self.fields.get(name)
        try:
            number = math.nan if isinstance(value, bool) else float(str(value))
        except ValueError:
            number = math.nan
        if not math.isfinite(number) or number < 0:
            raise self.fault(name, "a number >= 0")
        return number

    def number_or_none(self, name: str) -> float | None:
        """The same, None where the source does not state it."""
        return self.number(name) if self.has(name) else None

    def count(self, name: str, least: int = 0) -> int:
        """An integer >= `least`; ``1000.0`` is one."""
        try:
            number = self.number(name)
        except UserError:
            number = math.nan
        if not number.is_integer() or number < least:
            raise self.fault(name, f"an integer >= {least}")
        return int(number)

    def count_or(self, name: str, default: int, least: int = 0) -> int:
        """The same, `default` where the source does not state it."""
        return self.count(name, least) if self.has(name) else default

    def is_on(self, name: str, default: bool) -> bool:
        """A switch: on, off, true, false, and what begins with ``vLLM default``."""
        said = str(self.fields.get(name) or "").strip().lower()
        if not said or said.startswith("vllm default"):
            return default
        if said not in _YES + _NO:
            raise self.fault(name, "on or off")
        return said in _YES


def read_text(path: Path) -> str:
    """A text file, gzipped if its name ends in ``.gz``.

    Raises
    ------
    UserError
        If it cannot be read.
    """
    try:
        raw = path.read_bytes()
        return (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode("utf-8-sig")
    except (OSError, EOFError, ValueError) as error:
        raise UserError(f"{path}: cannot be read: {error}") from error


def columns_of_file(path: Path) -> tuple[str, ...]:
    """The names in the first line of a CSV file."""
    return tuple(next(csv.reader(io.StringIO(read_text(path))), ()))


def read_table(path: Path, needed: Iterable[str] = ()) -> list[Record]:
    """The rows of a CSV file.

    Parameters
    ----------
    needed : iterable of str
        Columns that must be there.

    Raises
    ------
    UserError
        If it cannot be read, lacks a column, a row has another number of fields, or a time is in
        both units and they disagree.
    """
    lines = csv.reader(io.StringIO(read_text(path)))
    names = next(lines, [])
    if missing := [name for name in needed if name not in names]:
        raise UserError(f"{path}:1: missing columns: {', '.join(missing)}")
    twice = [name for name in names if name.endswith("_ms") and f"{name[:-3]}_s" in names]
    rows = []
    try:
        for fields in lines:
            if len(fields) != len(names):
                raise UserError(
                    f"{path}:{lines.line_num}: expected {len(names)} fields, got {len(fields)}"
                )
            where = f"{path}:{lines.line_num}"
            row = Record(where, dict(zip(names, fields, strict=True)))
            _check_units(row, twice)
            rows.append(row)
    except csv.Error as error:
        raise UserError(f"{path}:{lines.line_num}: cannot be read: {error}") from error
    return rows


def _check_units(row: Record, names: Iterable[str]) -> None:
    """Refuse a time in ms that is not what its column in seconds says."""
    for name in names:
        in_seconds = f"{name[:-3]}_s"
        if row.has(name) and row.has(in_seconds):
            expected = 1000 * row.number(in_seconds)
            if abs(row.number(name) - expected) > _UNITS_AGREE * expected + 1:
                raise row.fault(name, f"{in_seconds} in milliseconds ({expected:g})")


def read_objects(path: Path) -> list[Record]:
    """The objects of a JSON Lines file."""
    lines = enumerate(read_text(path).splitlines(), 1)
    return [_object(f"{path}:{number}", line) for number, line in lines if line.strip()]


def read_object(path: Path) -> Record:
    """The object of a JSON file."""
    return _object(str(path), read_text(path))


def _object(where: str, text: str) -> Record:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise UserError(f"{where}: cannot be read as JSON: {error}") from error
    if not isinstance(value, dict):
        raise UserError(f"{where}: expected a JSON object, got {type(value).__name__}")
    return Record(where, value)
