"""Which tokens of a prompt were sent before: `Prompts`, one for each session.

What the log shows counts, in this order: a stated base and length, block hashes, messages; where it
shows none of these, the growth of the prompt.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from agentsim.workload.importers.logged import LoggedCall, Piece, SessionFacts

Standing = Literal["measured", "estimated", "missing"]

#: A prompt below this share of the one before has another base: compaction, /clear (0.56 % of the
#: calls of 692 recorded Claude Code sessions drop by more than 30 %).
LEAST_KEPT = 0.7
#: Earlier calls that a prompt of messages is compared with, the last ones first.
REACH = 64
#: Messages of a first prompt that get a name of their own, so that sessions may share them.
NAMED_PIECES = 8


@dataclass(frozen=True, slots=True)
class Identity:
    """What a prompt is made of: exactly one of the ways of `agentsim.domain.trace.Call`, or none.

    Attributes
    ----------
    standing : str
        ``measured``: the log shows it; ``estimated``: from sizes; ``missing``: nothing is known.
    base : str or None
        Id, in the output, of the call that it extends.
    """

    standing: Standing
    segments: tuple[tuple[str, int], ...] | None = None
    base: str | None = None
    keep: int = 0
    blocks: tuple[int | str, ...] | None = None


class Prompts:
    """The prompts of one session, in order.

    Parameters
    ----------
    facts : SessionFacts
    name_of : callable
        A name, in the output, for what a digest stands for.
    """

    def __init__(self, facts: SessionFacts, name_of: Callable[[int], str]) -> None:
        self._facts, self._name_of = facts, name_of
        self._last: dict[str, LoggedCall] = {}
        self._last_of: dict[tuple[str, str | None], LoggedCall] = {}
        self._by_id: dict[str, LoggedCall] = {}
        self._with_pieces: list[LoggedCall] = []
        self._ids: dict[str, str] = {}

    def add(self, call: LoggedCall, name: str) -> Identity:
        """The identity of the next prompt, of a call that the output names so."""
        self._ids[call.id] = name
        found = self._identify(call)
        self._last[call.agent] = self._last_of[call.agent, call.model] = self._by_id[call.id] = call
        if call.pieces:
            self._with_pieces = [*self._with_pieces[1 - REACH :], call]
        return found

    def _identify(self, call: LoggedCall) -> Identity:
        if call.blocks is not None:
            blocks = call.blocks
            if call.hides_blocks:
                blocks = tuple(self._name_of(int(block)) for block in blocks)
            return Identity("measured", blocks=blocks)
        base = self._by_id.get(call.base) if call.base is not None else self._before(call)
        if call.keep is not None and base is not None:
            whole = base.input_tokens + base.output_tokens
            keep = min(call.keep, call.input_tokens, whole)
            if whole <= call.input_tokens and keep + call.seen_to > base.input_tokens:
                keep = whole if call.seen_to else keep
            return self._of(base, keep, "measured")
        if call.pieces and (base is None or base.pieces is not None):
            return self._by_pieces(call, call.pieces)
        if base is None:
            return Identity("missing")
        return self._by_growth(call, base)

    def _before(self, call: LoggedCall) -> LoggedCall | None:
        """The agent's last call; rather its last to the same model, where that was no longer.

        Logs that put all calls of a session in one row mix contexts: those of other models are
        titles or sub-agents.
        """
        last, same = self._last.get(call.agent), self._last_of.get((call.agent, call.model))
        return same if same is not None and same.input_tokens <= call.input_tokens else last

    def _by_growth(self, call: LoggedCall, base: LoggedCall) -> Identity:
        """From sizes: an answer is taken as sent back where the prompt grew by as much, as a reader
        of a trace with ``keep_covers: input`` takes it."""
        if call.is_reset or call.input_tokens < LEAST_KEPT * base.input_tokens:
            head = min(self._facts.system_tokens + self._facts.tool_tokens, call.input_tokens)
            head = min(head, base.input_tokens)
            return self._of(base, head, "estimated" if head else "missing")
        keep = min(base.input_tokens, call.input_tokens)
        whole = base.input_tokens + base.output_tokens
        if call.input_tokens >= whole:
            keep = whole
        return self._of(base, keep, "estimated")

    def _of(self, base: LoggedCall, keep: int, standing: Standing) -> Identity:
        return Identity(standing, base=self._ids[base.id] if keep else None, keep=keep)

    def _by_pieces(self, call: LoggedCall, pieces: tuple[Piece, ...]) -> Identity:
        best: LoggedCall | None = None
        longest = 0
        for earlier in reversed(self._with_pieces):
            keep = _common(earlier, call, pieces)
            if keep > longest:
                best, longest = earlier, keep
        if best is not None:
            return self._of(best, min(longest, call.input_tokens), "measured")
        return Identity("measured", segments=self._named(call, pieces))

    def _named(self, call: LoggedCall, pieces: tuple[Piece, ...]) -> tuple[tuple[str, int], ...]:
        """The first messages by name, so that another session may begin with them; the rest."""
        parts: list[tuple[str, int]] = []
        around = _around(call, pieces)
        if around > 0:  # tool definitions and the chat's template stand at the head
            parts.append((f"head:{self._name_of(pieces[0].digest ^ around)}", around))
        left = call.input_tokens - max(around, 0)
        for piece in pieces[:NAMED_PIECES]:
            tokens = min(piece.tokens, left)
            if tokens:
                parts.append((f"text:{self._name_of(piece.digest)}", tokens))
            left -= tokens
        if left:
            parts.append((f"~rest:{self._ids[call.id]}", left))
        return tuple(parts)


def _around(call: LoggedCall, pieces: tuple[Piece, ...]) -> int:
    """Tokens of a prompt that are in none of its messages; negative where they count too many."""
    return call.input_tokens - sum(piece.tokens for piece in pieces)


def _common(earlier: LoggedCall, call: LoggedCall, pieces: tuple[Piece, ...]) -> int:
    """Tokens that a prompt of messages has in common with an earlier call, its answer included."""
    old = earlier.pieces or ()
    same = 0
    for one, other in zip(old, pieces, strict=False):
        if one.digest != other.digest:
            break
        same += 1
    if not same:
        return 0
    if same == len(old):
        is_back = len(pieces) > same and pieces[same].digest == earlier.answer
        whole = earlier.input_tokens + (earlier.output_tokens if is_back else 0)
        return min(whole, call.input_tokens)
    around = max(0, min(_around(earlier, old), _around(call, pieces)))
    return min(around + sum(piece.tokens for piece in pieces[:same]), earlier.input_tokens)
