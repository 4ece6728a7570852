"""Logs in, a trace out: `import_logs`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from agentsim.domain.trace import Header, Trace
from agentsim.errors import TraceError
from agentsim.workload.importers.assemble import Options, assemble
from agentsim.workload.importers.formats import IMPORTERS, Importer
from agentsim.workload.importers.report import ImportReport
from agentsim.workload.importers.sink import Sink
from agentsim.workload.importers.sources import LogFile, find_logs
from agentsim.workload.importers.tokens import find_counter
from agentsim.workload.spool import collect
from agentsim.workload.v1 import is_v1

AUTO = "auto"


def import_logs(
    paths: Sequence[str],
    *,
    format: str = AUTO,
    options: Options | None = None,
    tokenizer: str | None = None,
    skip_bad: bool = False,
    progress: Callable[[str, int], None] | None = None,
) -> tuple[Trace, ImportReport]:
    """Read logs into one trace.

    Parameters
    ----------
    paths : sequence of str
        Files, folders and patterns, see `sources.find_logs`.
    format : str
        A name in `IMPORTERS`, or ``auto``: found by the content, file by file.
    options : Options or None
        An empty key is made from the content.
    tokenizer : str or None
        For formats that hold text, see `tokens.find_counter`.
    skip_bad : bool
        Leave out, count and report what cannot be read.
    progress : callable or None
        Called with a file's name and the bytes that were read of it since the last call.

    Raises
    ------
    TraceError
        If a file cannot be read, is of no known format, or no call is found.
    UnknownName, ConfigError
        No such format or tokenizer.
    """
    options = options or Options()
    chosen = None if format == AUTO else IMPORTERS[format]
    sink = Sink(find_counter(tokenizer), skip_bad=skip_bad)
    used: dict[str, Importer] = {}
    for file in find_logs(paths, sink.warn, sink.bad):
        name, importer = (format, chosen) if chosen is not None else detect(file)
        if importer is None:
            if file.is_named:
                sink.bad(_unknown(file))
                continue
            sink.warn("files of no known format passed over", file.name)
            continue
        used[name] = importer
        sink.report.formats[name] = sink.report.formats.get(name, 0) + 1
        sink.source = name
        with sink.guard():
            importer.read(file.watched(progress), sink)
    for importer in used.values():
        if importer.finish is not None:
            importer.finish(sink)
    covers = {importer.covers for importer in used.values()}
    one = covers.pop() if len(covers) == 1 else "input+output"
    sink.check_sources()
    options = replace(options, key=options.key or sink.key)
    first_ns = sink.first_ns
    sessions = collect(
        assemble(name, facts, calls, options, sink.report, first_ns=first_ns)
        for name, facts, calls in sink.sessions()
    )
    if not sessions:
        lacking = "calls" if used else "log of a format known here"
        raise TraceError(f"{', '.join(paths)}: no {lacking} found")
    if options.redact:
        for warned in sink.report.warnings.values():
            warned.example = "(redacted)"
    sink.report.tokenizer = sink.counter.name if sink.has_counted else None
    header = Header(
        source=", ".join(sorted(used)),
        tokenizer=sink.report.tokenizer,
        keep_covers=one,
    )
    return Trace(sessions, header, dict(sink.report.notes())), sink.report


def _unknown(file: LogFile) -> TraceError:
    if not file.head.strip():
        return file.error("empty: expected a log")
    if file.first is not None and is_v1(file.first):
        return file.error("is a trace already: 'agentsim replay' reads it")
    known = ", ".join(sorted(IMPORTERS))
    return file.error(f"no log format known here, or cut off: expected one of {known}")


def detect(file: LogFile) -> tuple[str, Importer | None]:
    """The format of a file by its content; None if it is of none known here."""
    for name in IMPORTERS:
        importer = IMPORTERS[name]
        if importer.detect(file):
            return name, importer
    return "", None
