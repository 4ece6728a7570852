"""From what a user names to files that can be read safely: `find_logs`, `LogFile`.

Nothing outside the named folders is read: symbolic links in a folder are passed over. Lines and
documents have a longest length, and gzip data a largest ratio, so that memory stays bounded
whatever a file holds.
"""

from __future__ import annotations

import csv
import glob
import gzip
import io
import os
import re
import shutil
import sys
import tempfile
import weakref
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import IO, Any, cast

import msgspec

from agentsim.errors import TraceError
from agentsim.workload.lines import show

MIB = 1 << 20
#: Longest line, and longest document that is no list of lines.
MAX_LINE, MAX_DOCUMENT = 64 * MIB, 512 * MIB
#: Gzip data that unpacks to more than this many times its size, and more than `MAX_DOCUMENT`, is
#: taken for an attack; text packs to a fifth to a hundredth.
MAX_RATIO = 1000
#: How much of a file its format is known by.
HEAD = 1 << 18

_GZIP_MAGIC = b"\x1f\x8b"
_UTF8_MARK = b"\xef\xbb\xbf"
_decode = msgspec.json.Decoder().decode


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a log, with its number from 1; `is_last` where no newline ends it."""

    number: int
    text: bytes
    is_last: bool


@dataclass(frozen=True)
class LogFile:
    """One file of logs.

    Attributes
    ----------
    name : str
        As messages call it.
    path : Path or None
        None: standard input.
    head : bytes
        The first bytes, unpacked.
    is_named : bool
        The user named this very file; else it was found in a folder.
    """

    name: str
    path: Path | None
    head: bytes
    is_named: bool
    _kept: _Kept | None = field(default=None, repr=False)
    _progress: Callable[[str, int], None] | None = field(default=None, repr=False)

    def watched(self, progress: Callable[[str, int], None] | None) -> LogFile:
        """The same file, which tells `progress` its name and the bytes read since the last call."""
        return replace(self, _progress=progress)

    @cached_property
    def first(self) -> dict[str, Any] | None:
        """The JSON object on the first line that is not blank, if it is one."""
        line = next((part for part in self.head.split(b"\n") if part.strip()), b"")
        value = _value(line)
        return value if isinstance(value, dict) else None

    @cached_property
    def keys(self) -> frozenset[str]:
        """Keys of the first JSON object, on the first line or over many, or first in an array."""
        return frozenset(_keys(self.text))

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """The names on the first line, taken as CSV."""
        line = self.head.split(b"\n", 1)[0].decode("utf-8", "replace").strip()
        try:
            return tuple(name.strip() for name in next(csv.reader([line]), ()))
        except csv.Error:  # a field of more than 128 KiB
            return ()

    @cached_property
    def text(self) -> str:
        """The head as text."""
        return self.head.decode("utf-8", "replace")

    @property
    def stem(self) -> str:
        """The file's name without folder and endings: a name for what it holds."""
        return Path(self.name).name.partition(".")[0] if self.path is not None else "stdin"

    def error(self, text: str, number: int | None = None) -> TraceError:
        """An error of this file, or of a line of it, ready to be raised."""
        return TraceError(f"{self.name}{'' if number is None else f':{number}'}: {text}")

    def open(self) -> IO[bytes]:
        """The file from its start, unpacked."""
        if self.path is None:
            assert self._kept is not None
            return self._kept.open()
        try:
            return _unpacked(open(self.path, "rb"), self)
        except OSError as error:
            raise self.error(f"cannot be opened: {error.strerror or error}") from None

    def lines(self) -> Iterator[Line]:
        """Its lines that are not blank.

        Raises
        ------
        TraceError
            If it cannot be read, or a line is longer than `MAX_LINE`.
        """
        number = 0
        with _Told(self, lambda: number), self.open() as stream:
            while text := stream.readline(MAX_LINE + 1):
                number += 1
                if len(text) > MAX_LINE:
                    raise self.error(f"a line longer than {MAX_LINE // MIB} MiB", number)
                self._tell(len(text))
                if number == 1:
                    text = text.removeprefix(_UTF8_MARK)
                if not text.isspace():
                    yield Line(number, text, not text.endswith(b"\n"))

    def document(self) -> Any:
        """The whole file as one JSON value.

        Raises
        ------
        TraceError
            If it cannot be read, is longer than `MAX_DOCUMENT`, or is not JSON.
        """
        with _Told(self, lambda: None), self.open() as stream:
            data = stream.read(MAX_DOCUMENT + 1)
        self._tell(len(data))
        if len(data) > MAX_DOCUMENT:
            raise self.error(f"a JSON document longer than {MAX_DOCUMENT // MIB} MiB")
        return self.decode(data.removeprefix(_UTF8_MARK))

    def _tell(self, num_bytes: int) -> None:
        if self._progress is not None:
            self._progress(self.name, num_bytes)

    def decode(self, data: bytes, number: int | None = None) -> Any:
        """A JSON value of this file.

        Raises
        ------
        TraceError
            If it is not UTF-8 or not JSON.
        """
        try:
            return _decode(data)
        except UnicodeDecodeError:
            raise self.error("not UTF-8 text", number) from None
        except RecursionError:
            raise self.error("malformed JSON: nested too deep", number) from None
        except msgspec.DecodeError as error:
            raise self.error(f"malformed JSON: {error}", number) from None


def find_logs(
    paths: Sequence[str],
    warn: Callable[[str, str], None],
    bad: Callable[[TraceError], None] | None = None,
) -> Iterator[LogFile]:
    """The files that paths, folders and patterns stand for, each once, in order.

    Parameters
    ----------
    paths : sequence of str
        Files, folders (all files below), patterns such as ``logs/*.jsonl``; ``~`` is the home
        folder, ``-`` standard input.
    warn : callable
        Called with a kind and an example for what is passed over.
    bad : callable or None
        Called with the error of a file that cannot be opened or unpacked; None: it is raised.

    Raises
    ------
    TraceError
        If a path does not exist, or a pattern matches nothing.
    """
    seen: set[Path] = set()
    for given in paths:
        if given == "-":
            yield _standard_input()
            continue
        for path, is_named in _expand(given, warn):
            real = path.resolve()
            if real not in seen:
                seen.add(real)
                try:
                    file = _opened(path, is_named)
                except TraceError as error:
                    if bad is None:
                        raise
                    bad(error)
                else:
                    yield file


def _expand(given: str, warn: Callable[[str, str], None]) -> Iterator[tuple[Path, bool]]:
    expanded = os.path.expanduser(given)
    if os.path.lexists(expanded):
        found = [expanded]
    else:
        found = sorted(glob.glob(expanded, recursive=True))
        if not found:
            raise TraceError(f"{given}: no such file")
    for name in found:
        path = Path(name)
        if path.is_dir():
            yield from ((each, False) for each in _files_below(path, warn))
        elif path.is_file():
            yield path, True
        else:
            raise TraceError(f"{name}: is no regular file")


def _files_below(folder: Path, warn: Callable[[str, str], None]) -> Iterator[Path]:
    """Regular files, hidden ones and links left out, in the order of their names."""
    for parent, folders, files in os.walk(folder, onerror=_raise):
        for name in [name for name in folders if os.path.islink(os.path.join(parent, name))]:
            warn("symbolic links passed over", os.path.join(parent, name))
            folders.remove(name)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            path = Path(parent, name)
            if path.is_symlink():
                warn("symbolic links passed over", str(path))
            elif path.is_file() and not name.startswith("."):
                yield path


def _raise(error: OSError) -> None:
    raise TraceError(f"{error.filename}: cannot be read: {error.strerror}") from None


class _Kept:
    """Standard input in a file without a name: a format is known by more than a pipe shows."""

    def __init__(self, packed: IO[bytes]) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 (closed with this)
        weakref.finalize(self, self._file.close)
        shutil.copyfileobj(packed, self._file, MIB)
        self._file.flush()

    def open(self) -> IO[bytes]:
        """It, from its start."""
        number = os.dup(self._file.fileno())
        os.lseek(number, 0, os.SEEK_SET)
        return open(number, "rb")


def _standard_input() -> LogFile:
    file = LogFile("<stdin>", None, b"", True)
    with _Told(file, lambda: None):
        kept = _Kept(_unpacked(cast(IO[bytes], sys.stdin.buffer), None))
    with kept.open() as stream:
        head = stream.read(HEAD)
    return replace(file, head=head.removeprefix(_UTF8_MARK), _kept=kept)


def _opened(path: Path, is_named: bool) -> LogFile:
    file = LogFile(_printable(str(path)), path, b"", is_named)
    with _Told(file, lambda: None), file.open() as stream:
        head = stream.read(HEAD)
    return replace(file, head=head.removeprefix(_UTF8_MARK))


def _printable(name: str) -> str:
    """A file's name on one line and in UTF-8, whatever bytes it has."""
    return name if name.isprintable() else name.encode("unicode_escape").decode()


class _Bounded(io.RawIOBase):
    """Unpacked gzip data, no more than `MAX_RATIO` times what was packed."""

    def __init__(self, packed: IO[bytes], file: LogFile | None) -> None:
        self._packed, self._file, self._size = packed, file, 0
        self._stream = gzip.GzipFile(fileobj=packed, mode="rb")

    def readable(self) -> bool:
        return True

    def readinto(self, into: Any) -> int:
        data = self._stream.read(len(into))
        into[: len(data)] = data
        self._size += len(data)
        is_large = self._size > MAX_DOCUMENT and self._packed.seekable()
        if is_large and self._size > MAX_RATIO * max(1, self._packed.tell()):
            name = self._file.name if self._file else "<stdin>"
            raise TraceError(f"{name}: gzip data unpacks to more than {MAX_RATIO} times its size")
        return len(data)

    def close(self) -> None:
        self._stream.close()
        self._packed.close()
        super().close()


def _unpacked(stream: IO[bytes], file: LogFile | None) -> IO[bytes]:
    buffered = stream if hasattr(stream, "peek") else io.BufferedReader(cast(Any, stream))
    if cast(io.BufferedReader, buffered).peek(2)[:2] == _GZIP_MAGIC:
        return cast(IO[bytes], io.BufferedReader(_Bounded(buffered, file), MIB))
    return buffered


class _Told:
    """What can go wrong below the level of JSON, as one line with the file's name."""

    def __init__(self, file: LogFile, line: Callable[[], int | None]) -> None:
        self._file, self._line = file, line

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, EOFError):
            raise self._file.error("gzip data ends early: the file is cut off", self._line())
        if isinstance(error, gzip.BadGzipFile | zlib.error):
            raise self._file.error(f"gzip data is damaged: {error}", self._line())
        if isinstance(error, OSError):
            raise self._file.error(f"cannot be read: {error.strerror or error}", self._line())


_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\]:]')


def _keys(text: str) -> Iterator[str]:
    """Keys of the first object of a JSON text, which may end anywhere."""
    depth, last = 0, ""
    if text.lstrip()[:1] not in ("{", "["):
        return
    is_listed = text.lstrip()[:1] == "["
    for found in _TOKEN.finditer(text):
        token = found.group()
        if token in "{[":
            depth += 1
        elif token in "}]":
            depth -= 1
            if depth <= is_listed:
                return
        elif token == ":":
            if depth == 1 + is_listed:
                yield last
        else:
            last = token[1:-1]


def _value(line: bytes) -> Any:
    try:
        return _decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def expect(
    file: LogFile, number: int | None, name: str, value: object, expected: str
) -> TraceError:
    """An error at a field: what was expected there, and what stands there."""
    return file.error(f"field {name!r}: expected {expected}, got {show(value)}", number)
