"""The trace formats that are read, and the one door to all of them: `read_trace`.

Outsiders add a format by an entry point of the group ``agentsim.formats`` that names a `Format`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from glob import has_magic
from typing import Any

from agentsim.domain.trace import Trace
from agentsim.errors import TraceError, UnknownName
from agentsim.registry import Registry
from agentsim.workload.importers.sources import LogFile, find_logs
from agentsim.workload.lines import Lines, decode_object, open_lines, show
from agentsim.workload.mooncake import is_mooncake, read_mooncake
from agentsim.workload.v1 import is_v1, read_v1

AUTO = "auto"


@dataclass(frozen=True, slots=True)
class Format:
    """One trace format.

    Attributes
    ----------
    about : str
        What it is, in a few words.
    detect : function
        Whether the first JSON object of a file is one of this format.
    read : function
        Reads the whole trace.
    detect_line : function
        Whether the first line of a file is one of this format, for a format that is not JSON.
    """

    about: str
    detect: Callable[[dict[str, Any]], bool]
    read: Callable[[Lines], Trace]
    detect_line: Callable[[bytes], bool] = lambda line: False


FORMATS: Registry[Format] = Registry(
    "trace format",
    {
        "agentsim": Format("agentsim-trace v1, JSON lines", is_v1, read_v1),
        "mooncake": Format(
            "Mooncake requests with block hashes, JSON lines", is_mooncake, read_mooncake
        ),
    },
    entry_point_group="agentsim.formats",
    aliases={"v1": "agentsim", "agentsim-trace": "agentsim"},
    expected=Format,
)


def read_trace(path: str | os.PathLike[str], *, format: str = AUTO) -> Trace:
    """Read a trace.

    Parameters
    ----------
    path : path
        A file, plain or gzip; ``-`` is standard input. Logs of a format in `IMPORTERS` may also be
        a folder or a pattern.
    format : str
        A name in `FORMATS` or `IMPORTERS`, or ``auto``: found by the content.

    Raises
    ------
    TraceError
        If the file cannot be read, or a line of it is not as its format says.
    UnknownName
        If there is no such format.
    """
    name = os.fspath(path)
    reader = FORMATS[format].read if format in FORMATS else None
    if reader is None and (format != AUTO or is_log(name)):
        return _import(name, format)
    with open_lines(path) as lines:
        if lines.first is None:
            raise lines.error("empty: expected a trace")
        return (reader or _detect(lines).read)(lines)


def _import(name: str, format: str) -> Trace:
    # the importers are loaded where a log is read: a trace does without them
    from agentsim.workload.importers.formats import IMPORTERS
    from agentsim.workload.importers.reading import import_logs

    if format != AUTO and format not in IMPORTERS:
        raise UnknownName("trace format", format, [*FORMATS, *IMPORTERS])
    return import_logs([name], format=format)[0]


def is_log(name: str) -> bool:
    """Whether a path stands for logs that are imported, not for a trace."""
    if name == "-" or not os.path.isfile(name):
        return name != "-" and (os.path.isdir(name) or has_magic(name))
    try:
        (file,) = find_logs([name], lambda kind, example: None)
    except TraceError:  # damaged: whoever reads it as a trace says where
        return False
    if _is_trace(file):
        return False
    from agentsim.workload.importers.reading import detect

    return detect(file)[1] is not None


def _is_trace(file: LogFile) -> bool:
    line, record = file.head.split(b"\n", 1)[0], file.first
    return any(
        kind.detect_line(line) or (record is not None and kind.detect(record))
        for kind in FORMATS.values()
    )


def _detect(lines: Lines) -> Format:
    assert lines.first is not None
    for kind in FORMATS.values():
        if kind.detect_line(lines.first):
            return kind
    number, record = lines.first_number, decode_object(lines, lines.first_number, lines.first)
    for name in FORMATS:
        if FORMATS[name].detect(record):
            return FORMATS[name]
    raise lines.error(
        f"not a trace format known here (fields {show(', '.join(record))}): expected one of "
        f"{', '.join(FORMATS)}; a v1 trace begins with a header",
        number,
    )
