"""The lines of a trace file: plain or gzip, from a path or from standard input, with numbers.

All that can go wrong below the level of JSON is told here, as one line with the file's name.
"""

from __future__ import annotations

import gzip
import io
import os
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any, cast

import msgspec

from agentsim.errors import TraceError

_GZIP_MAGIC = b"\x1f\x8b"  # RFC 1952, 2.3.1
_UTF8_MARK = b"\xef\xbb\xbf"

_decode = msgspec.json.Decoder().decode


class Lines:
    """The lines of one trace that are not blank, each with its number from 1.

    Parameters
    ----------
    name : str
        What messages call the trace.
    stream : binary file
        Where the lines are read from, once.
    """

    def __init__(self, name: str, stream: IO[bytes]) -> None:
        self.name = name
        self._numbered = self._read(stream)
        self._first = next(self._numbered, None)

    @property
    def first(self) -> bytes | None:
        """The first line that is not blank, not taken from the iteration; None if there is none."""
        return self._first[1] if self._first else None

    @property
    def first_number(self) -> int:
        """The number of that line."""
        return self._first[0] if self._first else 0

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        if self._first is not None:
            yield self._first
        yield from self._numbered

    def error(self, text: str, number: int | None = None) -> TraceError:
        """An error at a line of this trace (or in the trace as a whole), ready to be raised."""
        return TraceError(
            f"{self.name}: {text}" if number is None else f"{self.name}:{number}: {text}"
        )

    def _read(self, stream: IO[bytes]) -> Iterator[tuple[int, bytes]]:
        number = 0
        try:
            for number, line in enumerate(stream, 1):
                text = line.removeprefix(_UTF8_MARK) if number == 1 else line
                if text and not text.isspace():
                    yield number, text
        except EOFError:
            raise self.error(
                f"gzip data ends early, after line {number}: the file is cut off, copy it again"
            ) from None
        except (gzip.BadGzipFile, zlib.error) as error:
            raise self.error(f"gzip data is damaged after line {number}: {error}") from None
        except OSError as error:
            raise self.error(f"cannot be read: {error.strerror or error}") from None


def decode_object(lines: Lines, number: int, line: bytes) -> dict[str, Any]:
    """The JSON object on a line.

    Raises
    ------
    TraceError
        If the line is not UTF-8, not JSON, or not an object.
    """
    try:
        value = _decode(line)
    except UnicodeDecodeError:
        raise lines.error("not UTF-8 text: save the trace as UTF-8", number) from None
    except RecursionError:
        raise lines.error("malformed JSON: nested too deep", number) from None
    except msgspec.DecodeError as error:
        raise lines.error(_why_malformed(line, str(error)), number) from None
    if not isinstance(value, dict):
        raise lines.error(f"expected a JSON object, got {show(value)}", number)
    return value


def _why_malformed(line: bytes, reason: str) -> str:
    try:
        line.decode()
    except UnicodeDecodeError:
        return "not UTF-8 text: save the trace as UTF-8"
    reason = reason.removeprefix("JSON is malformed: ").removesuffix(" - at `$[...]`")
    return f"malformed JSON: {reason[:1].lower()}{reason[1:]}"


def show(value: object, longest: int = 60) -> str:
    """A value from JSON as a message shows it: in repr, on one line, not too long."""
    if value is None or isinstance(value, bool):
        text = {None: "null", True: "true", False: "false"}[value]
    else:
        text = repr(value)
    return text if len(text) <= longest else f"{text[: longest - 3]}..."


@contextmanager
def open_lines(path: str | os.PathLike[str]) -> Iterator[Lines]:
    """Open a trace for reading; ``-`` is standard input. Gzip is known by its first two bytes.

    Raises
    ------
    TraceError
        If the path does not exist, is a directory, or may not be read.
    """
    name = os.fspath(path)
    if name == "-":
        yield Lines("<stdin>", _unpacked(sys.stdin.buffer))
        return
    try:
        stream = open(name, "rb")  # noqa: SIM115 (closed below)
    except FileNotFoundError:
        raise TraceError(f"{name}: no such file: check the path") from None
    except IsADirectoryError:
        raise TraceError(f"{name}: is a directory: name a trace file in it") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise TraceError(f"{name}: cannot be opened: {reason}") from None
    with stream:
        yield Lines(name, _unpacked(stream))


def _unpacked(stream: Any) -> IO[bytes]:
    if not hasattr(stream, "peek"):
        stream = io.BufferedReader(stream)
    if stream.peek(2)[:2] == _GZIP_MAGIC:
        return cast(IO[bytes], gzip.GzipFile(fileobj=stream, mode="rb"))
    return cast(IO[bytes], stream)
