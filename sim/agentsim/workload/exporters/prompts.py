"""What prompts are made of, token by token: spans, what two share, and chained ids of blocks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from agentsim.domain.trace import Call, Session


class Span(NamedTuple):
    """Tokens of a named stretch, from an offset on; `owner` is empty where all sessions know it."""

    owner: str
    name: str | int
    offset: int
    tokens: int


Spans = list[Span]


class SessionPrompts:
    """The prompts of one session, spelled out.

    Parameters
    ----------
    session : Session
        Its calls come after those they go on from.
    """

    def __init__(self, session: Session) -> None:
        self._session = session.id
        self._wholes: dict[str, Spans] = {}

    def add(self, call: Call) -> Spans:
        """The prompt of the next call."""
        prompt = _merged(self._spans(call))
        answer = Span(self._session, f"out:{call.id}", 0, call.output_tokens)
        self._wholes[call.id] = _merged([*prompt, answer])
        return prompt

    def whole(self, call_id: str) -> Spans:
        """A prompt and its answer."""
        return self._wholes[call_id]

    def _spans(self, call: Call) -> Iterator[Span]:
        if call.segments is not None:
            for name, tokens in call.segments:
                is_private = name.startswith(("~", "out:"))
                yield Span(self._session if is_private else "", name, 0, tokens)
        elif call.blocks is not None:
            left = call.input_tokens
            for block in call.blocks:
                yield Span("#", block, 0, min(left, call.block_tokens))
                left -= call.block_tokens
        else:
            if call.extends is not None:
                yield from first_tokens(self._wholes[call.extends], call.keep)
            new = call.input_tokens - (call.keep if call.extends is not None else 0)
            yield Span(self._session, f"~new:{call.id}", 0, new)


def _merged(spans: Iterable[Span]) -> Spans:
    """The spans without empty ones, those that go on from one another joined."""
    found: Spans = []
    for span in spans:
        last = found[-1] if found else None
        if (
            last is not None
            and last[:2] == span[:2]
            and last.offset + last.tokens == span.offset
            and span.tokens
        ):
            found[-1] = last._replace(tokens=last.tokens + span.tokens)
        elif span.tokens:
            found.append(span)
    return found


def first_tokens(spans: Sequence[Span], tokens: int) -> Spans:
    """The spans of the first tokens."""
    found: Spans = []
    for span in spans:
        if tokens <= 0:
            break
        found.append(span._replace(tokens=min(span.tokens, tokens)))
        tokens -= span.tokens
    return found


def common_tokens(one: Sequence[Span], other: Sequence[Span]) -> int:
    """Tokens that two prompts share from the start."""
    total = 0
    for left, right in zip(one, other, strict=False):
        if left[:3] != right[:3]:
            break
        total += min(left.tokens, right.tokens)
        if left.tokens != right.tokens:
            break  # spans are joined where they could go on, so what follows differs
    return total


class BlockIds:
    """Chained ids of blocks: equal ids are equal prefixes, in all sessions.

    Parameters
    ----------
    size : int
        Tokens in a block; a prompt's last may have fewer.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._ids: dict[tuple[int, tuple[Span, ...]], int] = {}
        self._num = 0
        self._roots: dict[str | None, int] = {}

    def of(
        self, spans: Sequence[Span], adapter: str | None = None, known: Sequence[int] = ()
    ) -> list[int]:
        """The ids of a prompt; those of another adapter are others.

        Parameters
        ----------
        spans : sequence of Span
        adapter : str or None
        known : sequence of int
            The ids of the first blocks, as far as they are known already.
        """
        found = list(known)
        parent = found[-1] if found else self._roots.setdefault(adapter, -1 - len(self._roots))
        for block in _blocks(_without(spans, len(found) * self.size), self.size):
            if (parent, block) not in self._ids:
                self._ids[parent, block] = self._num
                self._num += 1
            parent = self._ids[parent, block]
            found.append(parent)
        return found

    def fresh(self, tokens: int) -> list[int]:
        """Ids that nothing else has, for so many tokens."""
        first = self._num
        self._num += -(-tokens // self.size)
        return list(range(first, self._num))


class SessionBlocks:
    """The ids of the prompts of one session, each from those of the call it goes on from."""

    def __init__(self, ids: BlockIds) -> None:
        self._ids = ids
        self._found: dict[str, tuple[Call, list[int]]] = {}

    def add(self, call: Call, prompt: Spans) -> list[int]:
        """The ids of the next prompt."""
        known: list[int] = []
        if call.extends is not None:
            base, ids = self._found[call.extends]
            if base.adapter == call.adapter:
                known = ids[: min(call.keep, base.input_tokens) // self._ids.size]
        found = self._ids.of(prompt, call.adapter, known)
        self._found[call.id] = (call, found)
        return found


def _without(spans: Sequence[Span], tokens: int) -> Iterator[Span]:
    """The spans after the first tokens."""
    for span in spans:
        if tokens < span.tokens:
            yield Span(span.owner, span.name, span.offset + tokens, span.tokens - tokens)
        tokens = max(0, tokens - span.tokens)


def _blocks(spans: Iterable[Span], size: int) -> Iterator[tuple[Span, ...]]:
    """The spans cut into blocks."""
    block: list[Span] = []
    room = size
    for span in spans:
        offset, left = span.offset, span.tokens
        while left:
            part = min(left, room)
            block.append(Span(span.owner, span.name, offset, part))
            offset, left, room = offset + part, left - part, room - part
            if not room:
                yield tuple(block)
                block, room = [], size
    if block:
        yield tuple(block)
