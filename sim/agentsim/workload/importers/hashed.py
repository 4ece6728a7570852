"""Prompts given as chained block hashes: the size of a block, and what two prompts share."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from agentsim.errors import TraceError
from agentsim.workload.importers.sources import HEAD, LogFile, expect
from agentsim.workload.importers.values import items, tokens

#: Sizes that are tried where a file does not say its own; the first that fits counts.
SIZES = (512, 64, 16, 128, 256, 32, 1024, 2048, 8, 4)

Hash = int | str


def head_rows(file: LogFile) -> Iterator[dict[str, Any]]:
    """The JSON objects on the whole lines of a file's head."""
    lines = file.head.split(b"\n")
    for line in lines[:-1] if len(file.head) >= HEAD and len(lines) > 1 else lines:
        if line.strip():
            try:
                value = file.decode(line)
            except TraceError:
                continue
            if isinstance(value, dict):
                yield value


def lengths_and_hashes(rows: Iterable[dict[str, Any]]) -> list[tuple[int, int]]:
    """Prompt tokens and number of hashes of the rows that have both."""
    found = []
    for row in rows:
        length, hashes = row.get("input_length", row.get("input_tokens")), row.get("hash_ids")
        if isinstance(length, int) and isinstance(hashes, list) and hashes:
            found.append((length, len(hashes)))
    return found


def block_tokens_of(found: Sequence[tuple[int, int]]) -> int:
    """The size of a block: the first in `SIZES` that fits all prompts, else the smallest that does.

    If none does, that which fits most: the other prompts are bad ones.
    """
    best = max(SIZES, key=lambda size: sum(_fits(size, *each) for each in found))
    least = max((-(-length // hashes) for length, hashes in found), default=best)
    if all(_fits(best, *each) for each in found):
        return best
    return least if all(_fits(least, *each) for each in found) else best


def _fits(size: int, length: int, hashes: int) -> bool:
    return length // size <= hashes <= -(-length // size)


def hashes_of(file: LogFile, number: int | None, name: str, value: Any) -> tuple[Hash, ...]:
    """A field of hashes.

    Raises
    ------
    TraceError
        If it is no array of integers and strings.
    """
    found = items(file, number, name, value)
    for index, each in enumerate(found):
        is_number = isinstance(each, int) and not isinstance(each, bool)
        if not (isinstance(each, str) or (is_number and -(1 << 63) <= each < 1 << 64)):
            expected = "an integer of 64 bits or a string"
            raise expect(file, number, f"{name}[{index}]", each, expected)
    return tuple(found)


def blocks_of(
    file: LogFile, number: int, hashes: tuple[Hash, ...], *, length: int, size: int, name: str
) -> tuple[Hash, ...]:
    """The blocks of a prompt. The last, not full one may have no hash: it is its own (`name`).

    Raises
    ------
    TraceError
        If there are more or fewer hashes than blocks.
    """
    if not _fits(size, length, len(hashes)):
        needed = -(-length // size)
        text = f"expected {needed} hashes of {size} tokens for {length} tokens"
        raise file.error(f"field 'hash_ids': {text}, got {len(hashes)}", number)
    return hashes if len(hashes) * size >= length else (*hashes, f"~{name}")


def required(file: LogFile, number: int | None, name: str, value: Any) -> int:
    """A count of tokens that must be there.

    Raises
    ------
    TraceError
        If it is not.
    """
    found = tokens(file, number, name, value)
    if found is None:
        raise expect(file, number, name, None, "an integer >= 0")
    return found


class SharedBlocks:
    """Which earlier prompt of a session begins with most of a prompt's hashes."""

    def __init__(self) -> None:
        self._next: dict[tuple[int, Hash], int] = {}
        self._first: list[str] = [""]

    def find(self, hashes: Sequence[Hash]) -> tuple[str, int]:
        """The first prompt that shares most blocks, and how many; an empty name if none does."""
        node = depth = 0
        for each in hashes:
            following = self._next.get((node, each))
            if following is None:
                break
            node, depth = following, depth + 1
        return self._first[node] if depth else "", depth

    def add(self, name: str, hashes: Sequence[Hash]) -> None:
        """Take a prompt."""
        node = 0
        for each in hashes:
            following = self._next.get((node, each))
            if following is None:
                following = self._next[node, each] = len(self._first)
                self._first.append(name)
            node = following


def common_blocks(one: Sequence[Hash], other: Sequence[Hash]) -> int:
    """How many hashes two prompts share from the start."""
    for index, (left, right) in enumerate(zip(one, other, strict=False)):
        if left != right:
            return index
    return min(len(one), len(other))
