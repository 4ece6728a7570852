"""Reading single values out of logs that other programs wrote: strict where it matters."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

from agentsim.workload.importers.sources import LogFile, expect
from agentsim.workload.rows import MAX_SECONDS, MAX_TOKENS

NS_PER_S = 1_000_000_000


def tokens(file: LogFile, number: int | None, name: str, value: Any) -> int | None:
    """A count of tokens; None where the log has none (absent or null).

    Raises
    ------
    TraceError
        If it is no integer from 0 to `MAX_TOKENS`; integers as text or as floats pass.
    """
    if value is None:
        return None
    text = value.strip() if isinstance(value, str) else ""
    is_whole = isinstance(value, float) and value.is_integer()
    found = int(text or value) if is_whole or (text.isdecimal() and len(text) < 20) else value
    if isinstance(found, bool) or not isinstance(found, int) or not 0 <= found <= MAX_TOKENS:
        raise expect(file, number, name, value, "an integer >= 0")
    return found


def seconds(file: LogFile, number: int | None, name: str, value: Any) -> float | None:
    """A length of time or a time since 1970 in seconds, >= 0; None where the log has none.

    Raises
    ------
    TraceError
        If it is no such number; numbers as text pass.
    """
    if value is None or value == "":
        return None
    try:
        found = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        found = math.nan
    if not 0 <= found <= MAX_SECONDS:
        raise expect(file, number, name, value, "a number of seconds >= 0")
    return found


def nanoseconds(file: LogFile, number: int | None, name: str, value: Any) -> int | None:
    """The same, in nanoseconds."""
    found = seconds(file, number, name, value)
    return None if found is None else round(found * NS_PER_S)


def in_ns(file: LogFile, number: int | None, name: str, value: Any, unit_ns: int) -> int | None:
    """A length of time or a time in units of so many nanoseconds; None where the log has none.

    Raises
    ------
    TraceError
        If it is no number >= 0 that stands for at most `MAX_SECONDS`; numbers as text pass.
    """
    if value is None or value == "":
        return None
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    try:
        found = value * unit_ns if is_whole else float(value) * unit_ns
    except (TypeError, ValueError):
        found = math.nan
    if isinstance(value, bool) or not 0 <= found <= MAX_SECONDS * NS_PER_S:
        raise expect(file, number, name, value, "a time >= 0")
    return round(found)


def timestamp(file: LogFile, number: int | None, name: str, value: Any) -> int | None:
    """A time as ISO 8601 text, in nanoseconds since 1970; None where the log has none.

    Digits beyond the nanosecond are cut; a time without zone is taken as UTC, which shifts a whole
    log alike.

    Raises
    ------
    TraceError
        If it is no such time.
    """
    if value is None or value == "":
        return None
    expected = "a time such as 2026-01-01T00:00:00.000Z"
    if not isinstance(value, str):
        raise expect(file, number, name, value, expected)
    text, nanos = value.strip(), 0
    head, dot, rest = text.partition(".")
    if dot:
        digits = rest[: len(rest) - len(rest.lstrip("0123456789"))]
        nanos = int(digits[:9].ljust(9, "0")) if digits else 0
        text = head + rest[len(digits) :]
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise expect(file, number, name, value, expected) from None
    if found.tzinfo is None:
        found = found.replace(tzinfo=UTC)
    since = found - datetime(1970, 1, 1, tzinfo=UTC)
    result = (since.days * 86_400 + since.seconds) * NS_PER_S + nanos
    if not 0 <= result <= MAX_SECONDS * NS_PER_S:
        raise expect(file, number, name, value, expected)
    return result


def table(file: LogFile, number: int | None, name: str, value: Any) -> dict[str, Any]:
    """A JSON object; an empty one where the log has none.

    Raises
    ------
    TraceError
        If it is something else.
    """
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise expect(file, number, name, value, "an object")
    return value


def items(file: LogFile, number: int | None, name: str, value: Any) -> list[Any]:
    """A JSON array; an empty one where the log has none.

    Raises
    ------
    TraceError
        If it is something else.
    """
    if value is None:
        return []
    if not isinstance(value, list):
        raise expect(file, number, name, value, "an array")
    return value
