"""Per-step timings: JSON lines of an engine loop, CSV of batch sums, vLLM's iteration log."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from agentsim.domain.batch import BatchShape
from agentsim.errors import ConfigError

Step = tuple[BatchShape, float]


class _Line(msgspec.Struct):
    """A step: its duration in seconds, and [id, computed tokens, scheduled tokens] of each."""

    dur: float
    reqs: list[tuple[str, int, int]]
    decode_reqs: int


def steps_of_jsonl(path: str, lines: Iterable[str], window: int | None) -> list[Step]:
    """Steps from lines ``{"dur", "reqs", "decode_reqs"}``.

    A decode is a request with one scheduled token; where a prefill also has a single one, the first
    `decode_reqs` of them are the decodes, as running requests are scheduled first.

    Raises
    ------
    ConfigError
        Naming the line: not JSON, a field missing or negative.
    """
    steps = []
    for number, line in enumerate(lines, 1):
        try:
            found = msgspec.json.decode(line, type=_Line)
        except msgspec.DecodeError as error:
            raise ConfigError(f"{path}:{number}: expected a step: {error}") from error
        _check_time(f"{path}:{number}: field 'dur'", found.dur)
        if any(start < 0 or count < 1 for _, start, count in found.reqs) or not found.reqs:
            raise ConfigError(
                f"{path}:{number}: field 'reqs': expected [id, computed >= 0, scheduled >= 1] of "
                "at least one request"
            )
        single = [i for i, (_, _, count) in enumerate(found.reqs) if count == 1]
        decodes = frozenset(single[: found.decode_reqs])
        work = [(start, count, i in decodes) for i, (_, start, count) in enumerate(found.reqs)]
        steps.append((shape_of_work(work, window), found.dur))
    return steps


def shape_of_work(work: Iterable[tuple[int, int, bool]], window: int | None) -> BatchShape:
    """The sums of a batch of (computed tokens, tokens in this step, is it a decode)."""
    sums = dict.fromkeys(BatchShape._fields, 0)
    for start, count, is_decode in work:
        end = start + count
        reach = end if window is None else min(end, count - 1 + window)
        sums["num_tokens"] += count
        sums["num_seqs"] += 1
        sums["num_sampled"] += 1
        if is_decode:
            sums["decode_context"] += end
            sums["window_decode_context"] += reach
            continue
        sums["prefill_tokens"] += count
        sums["prefill_pairs"] += _pairs(start, count)
        sums["prefill_context"] += end
        sums["window_pairs"] += _near_pairs(start, count, window)
        sums["window_prefill_context"] += reach
    return BatchShape(**sums)


def _pairs(start: int, count: int) -> int:
    return count * start + count * (count + 1) // 2


def _near_pairs(start: int, count: int, window: int | None) -> int:
    """The same with each query's keys cut at the window."""
    if window is None:
        return _pairs(start, count)
    growing = max(0, min(count, window - start))
    return _pairs(start, growing) + (count - growing) * window


def steps_of_csv(path: str, lines: Iterable[str]) -> list[Step]:
    """Steps from a table with the column ``seconds`` and the fields of `BatchShape`.

    ``num_tokens`` and ``num_seqs`` must be there, the others are 0 (``num_sampled``: `num_seqs`;
    the ``window_`` ones: as without a window).

    Raises
    ------
    ConfigError
        Naming the column or the line.
    """
    rows = csv.DictReader(lines)
    columns = rows.fieldnames or []
    missing = [name for name in ("num_tokens", "num_seqs", "seconds") if name not in columns]
    if missing:
        raise ConfigError(f"{path}: missing column {missing[0]!r}; it has {', '.join(columns)}")
    steps = []
    for number, row in enumerate(rows, 2):
        try:
            sums = {name: int(row[name]) for name in BatchShape._fields if row.get(name)}
            seconds = float(row["seconds"])
        except (TypeError, ValueError) as error:
            raise ConfigError(f"{path}:{number}: expected numbers: {error}") from error
        if min(sums.values()) < 0 or not sums.get("num_tokens"):
            raise ConfigError(f"{path}:{number}: expected counts >= 0 and num_tokens >= 1")
        _check_time(f"{path}:{number}: column 'seconds'", seconds)
        sums.setdefault("num_sampled", sums["num_seqs"])
        for name in ("prefill_context", "decode_context"):
            sums.setdefault(f"window_{name}", sums.get(name, 0))
        sums.setdefault("window_pairs", sums.get("prefill_pairs", 0))
        steps.append((BatchShape(**sums), seconds))
    return steps


ITERATION = re.compile(
    r"Iteration\(\d+\): (\d+) context requests, (\d+) context tokens, (\d+) generation requests, "
    r"(\d+) generation tokens, iteration elapsed time: ([0-9.]+) ms, \w+ KV cache usage: ([0-9.]+)%"
)
_CAPACITY = re.compile(r"KV cache size: ([0-9,]+) tokens")


def steps_of_log(path: str, lines: Iterable[str], block_size: int) -> list[Step]:
    """Steps from the log of a vLLM with ``--enable-logging-iteration-details``.

    The log has the contexts only as a share of the KV cache: the tokens cached before a step are
    that share less the step's own tokens and half a block for each request. They are attributed to
    the decodes of a step, or to its prefills where nothing decodes.

    Raises
    ------
    ConfigError
        Without the line of the KV cache's size.
    """
    steps, capacity = [], None
    for line in lines:
        if size := _CAPACITY.search(line):
            capacity = int(size.group(1).replace(",", ""))
        if not (found := ITERATION.search(line)):
            continue
        if capacity is None:
            raise ConfigError(f"{path}: no line 'KV cache size: ... tokens' before the iterations")
        prefills, prompt, decodes, made = (int(found.group(i)) for i in range(1, 5))
        seconds = float(found.group(5)) / 1e3
        if prompt + made == 0 or seconds <= 0:
            continue
        held = round(float(found.group(6)) / 100 * capacity)
        held -= (prefills + decodes) * (block_size - 1) // 2
        before = max(0, held - prompt - made)
        steps.append((shape_of_work(_shared_out(prefills, prompt, decodes, made, before), None),
                      seconds))  # fmt: skip
    return steps


def _shared_out(
    prefills: int, prompt: int, decodes: int, made: int, before: int
) -> Iterator[tuple[int, int, bool]]:
    """Requests of equal size in place of those that the log does not tell apart."""
    for count, tokens, is_decode in ((decodes, made, True), (prefills, prompt, False)):
        held = before if is_decode or not decodes else 0
        for i in range(count):
            start = held // count + (i < held % count)
            yield start, tokens // count + (i < tokens % count), is_decode


def _check_time(place: str, seconds: Any) -> None:
    if not seconds > 0 or seconds == float("inf"):
        raise ConfigError(f"{place}: expected seconds above 0, got {seconds!r}")
