"""What a log says of a call, before it is made into one of ours: `LoggedCall`.

An importer fills in what its format states and leaves the rest None; `assemble` works out order,
dependencies, waits and shared prefixes, and counts what it had to estimate.
"""

from __future__ import annotations

import msgspec


class LoggedTool(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """A tool run that a call asked for; times in nanoseconds since 1970.

    Attributes
    ----------
    duration_ns : int or None
        Where the log states a duration instead of both times.
    """

    name: str
    start_ns: int | None = None
    end_ns: int | None = None
    duration_ns: int | None = None
    result_tokens: int | None = None

    @property
    def lasts_ns(self) -> int | None:
        """How long it ran, where the log says so."""
        if self.duration_ns is not None:
            return self.duration_ns
        if self.start_ns is None or self.end_ns is None:
            return None
        return max(0, self.end_ns - self.start_ns)


class Piece(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """A stretch of a prompt by its content: equal digests are equal tokens."""

    digest: int
    tokens: int


class LoggedCall(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """One LLM request as logged; times in nanoseconds since 1970 (or any other fixed moment).

    Attributes
    ----------
    id : str
        Unique in its session.
    agent : str
        ``main``, or whose context this is.
    input_tokens, output_tokens : int
        The whole prompt, cached part included; the answer, reasoning included.
    start_ns, first_token_ns, end_ns : int or None
        Submission, first token, last token. A log with one time a call gives it as `end_ns`.
    delay_ns : int or None
        Wait from the answers that the call waited for to its submission, where the log states it.
    after : tuple of str or None
        Ids of the calls it waited for, where the log says so; None: worked out from the times.
    spawned_by : str or None
        Id of the call whose tool started this call's agent.
    base : str or None
        Id of the call whose prompt this one continues, where the log says so; None: worked out.
    pieces : tuple of Piece or None
        The prompt as messages, in order; their tokens add up to `input_tokens` at most.
    answer : int or None
        Digest that the answer would have as a piece of a later prompt.
    blocks, block_tokens : tuple or None, int
        The prompt as chained hashes of so many tokens each.
    hides_blocks : bool
        The hashes are made from text or token ids here, so they are keyed like names.
    keep : int or None
        First tokens that are those of `base` (prompt, then answer), where the log says so.
    seen_to : int
        The log shows of `keep` what is of the base's prompt only, in steps of so many tokens: an
        answer is taken as sent back where the prompt grew by as much. 0: it shows answers too.
    is_reset : bool
        The context was rewritten before this call: compaction, /clear.
    trigger : str or None
        ``user``, ``tool``, ``spawn``, ``retry``, ``resume``.
    """

    id: str
    input_tokens: int
    output_tokens: int
    agent: str = "main"
    model: str | None = None
    start_ns: int | None = None
    first_token_ns: int | None = None
    end_ns: int | None = None
    delay_ns: int | None = None
    after: tuple[str, ...] | None = None
    spawned_by: str | None = None
    base: str | None = None
    pieces: tuple[Piece, ...] | None = None
    answer: int | None = None
    blocks: tuple[int | str, ...] | None = None
    block_tokens: int = 0
    hides_blocks: bool = False
    keep: int | None = None
    seen_to: int = 0
    is_reset: bool = False
    trigger: str | None = None
    cached_tokens: int | None = None
    queue_ns: int | None = None
    finish: str | None = None
    tools: tuple[LoggedTool, ...] = ()
    input_estimated: bool = False
    output_estimated: bool = False


class SessionFacts(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """What a log says of a session beside its calls.

    Attributes
    ----------
    system_tokens, tool_tokens : int
        Length of system prompt and tool definitions at the head of its prompts, where stated.
    shares_heads : bool
        Sessions with equal `system_tokens` and `tool_tokens` have the same ones (hashes that are
        local to a session cannot show it).
    """

    system_tokens: int = 0
    tool_tokens: int = 0
    shares_heads: bool = False
    tenant: str | None = None
