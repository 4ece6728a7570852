"""Write a trace as agentsim-trace v1: whole or not at all, the same bytes for the same trace."""

from __future__ import annotations

import gzip
import os
from collections.abc import Iterable, Iterator
from typing import IO, Any, cast

import msgspec

from agentsim.domain.trace import Call, Header, Session, Trace
from agentsim.domain.units import ns_to_seconds
from agentsim.errors import TraceError


def write_trace(trace: Trace, path: str | os.PathLike[str]) -> None:
    """Write a trace to a file; gzip if its name ends in ``.gz``.

    The file appears when it is complete: it is written beside its place and then moved there.

    Raises
    ------
    TraceError
        If the file cannot be written, or calls have hashed blocks of different sizes.
    """
    write_sessions(trace.header, trace, path, block_size=_block_size(trace))


def write_sessions(
    header: Header,
    sessions: Iterable[Session],
    path: str | os.PathLike[str],
    *,
    block_size: int | None = None,
) -> None:
    """Write sessions as they come, each looked at once; else as `write_trace`.

    Parameters
    ----------
    sessions : iterable of Session
        In the order of a trace: by start, then by id.
    block_size : int or None
        Tokens of their hashed blocks, if they have any.
    """
    records = _records(header, sessions, block_size)
    write_lines((msgspec.json.encode(record) for record in records), path)


def write_lines(lines: Iterable[bytes], path: str | os.PathLike[str]) -> None:
    """Write lines to a file, whole or not at all, as `write_trace` does.

    Raises
    ------
    TraceError
        If the file cannot be written.
    """
    target = os.fspath(path)
    partial = f"{target}.partial"
    try:
        with open(partial, "wb") as file:
            if target.endswith(".gz"):
                # no name and no time inside, so that the bytes depend on the lines alone
                with gzip.GzipFile("", "wb", fileobj=file, mtime=0) as packed:
                    _write(lines, cast(IO[bytes], packed))
            else:
                _write(lines, file)
        os.replace(partial, target)
    except OSError as error:
        raise TraceError(f"{target}: cannot be written: {error.strerror or error}") from None
    finally:
        if os.path.exists(partial):
            os.unlink(partial)


def _write(lines: Iterable[bytes], file: IO[bytes]) -> None:
    for line in lines:
        file.write(line)
        file.write(b"\n")


def records_of(trace: Trace) -> Iterator[dict[str, Any]]:
    """The lines of a trace, as plain data."""
    return _records(trace.header, trace, _block_size(trace))


def _records(
    header: Header, sessions: Iterable[Session], block_size: int | None
) -> Iterator[dict[str, Any]]:
    yield _header_record(header, block_size)
    for session in sessions:
        yield _session_record(session)
        for call in session.calls:
            yield _call_record(session.id, call)


def _block_size(trace: Trace) -> int | None:
    sizes = {
        call.block_tokens for session in trace for call in session.calls if call.blocks is not None
    }
    if len(sizes) > 1:
        raise TraceError(
            f"calls have hashed blocks of {' and '.join(map(str, sorted(sizes)))} tokens: "
            "a file holds one block size, write them to two"
        )
    return sizes.pop() if sizes else None


def _present(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _seconds(nanoseconds: int | None) -> float | None:
    return None if nanoseconds is None else ns_to_seconds(nanoseconds)


def _header_record(header: Header, block_size: int | None) -> dict[str, Any]:
    return {
        "type": "header",
        "format": "agentsim-trace",
        "version": 1,
        "time_unit": "s",
        "source": header.source,
        **_present({"tokenizer": header.tokenizer}),
        "keep_covers": header.keep_covers,
        **(header.extra or {}),
        **_present({"block_size": block_size}),
    }


def _session_record(session: Session) -> dict[str, Any]:
    optional = {
        "tenant": session.tenant,
        "deadline": _seconds(session.deadline_ns),
        "priority": session.priority or None,
        "system_tokens": session.system_tokens or None,
        "tool_tokens": session.tool_tokens or None,
    }
    return {
        "type": "session",
        "session": session.id,
        "at": ns_to_seconds(session.at_ns),
        **_present(optional),
        **(session.extra or {}),
    }


def _call_record(session_id: str, call: Call) -> dict[str, Any]:
    extra = dict(call.extra or {})
    record: dict[str, Any] = {
        "type": "call",
        "session": session_id,
        "agent": call.agent,
        "id": call.id,
        "turn": call.turn,
        "after": call.after,
        "input_tokens": call.input_tokens,
        "output_tokens": call.output_tokens,
    }
    optional = {
        "at": _seconds(call.at_ns),
        "delay": _seconds(call.delay_ns),
        "trigger": call.trigger,
        "parent": call.parent,
        "prompt": call.segments,
        "extends": call.extends,
        "keep": None if call.extends is None else call.keep,
        "blocks": call.blocks,
        "model": call.model,
        "adapter": call.adapter,
        "priority": call.priority,
        "max_tokens": call.max_tokens,
        "finish": call.finish,
        "tools": _tool_records(call, extra.pop("tools", None)),
        "measured": _measured_record(call, extra.pop("measured", None)),
        "input_estimated": call.input_estimated or None,
        "output_estimated": call.output_estimated or None,
    }
    return {**record, **_present(optional), **extra}


def _tool_records(call: Call, rests: list[dict[str, Any]] | None) -> list[dict[str, Any]] | None:
    if not call.tools:
        return None
    records = []
    for index, tool in enumerate(call.tools):
        known = {"duration": _seconds(tool.duration_ns), "result_tokens": tool.result_tokens}
        records.append({"name": tool.name, **_present(known), **(rests[index] if rests else {})})
    return records


def _measured_record(call: Call, rest: dict[str, Any] | None) -> dict[str, Any] | None:
    measured = call.measured
    if measured is None:
        return rest
    known = {
        "ttft": _seconds(measured.ttft_ns),
        "e2e": _seconds(measured.e2e_ns),
        "queue": _seconds(measured.queue_ns),
        "cached_tokens": measured.cached_tokens,
    }
    return {**_present(known), **(rest or {})}
