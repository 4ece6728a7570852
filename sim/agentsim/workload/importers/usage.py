"""Token counts of a call as the chat APIs write them: `usage_of`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from agentsim.workload.importers.sources import LogFile
from agentsim.workload.importers.values import table, tokens


@dataclass(frozen=True, slots=True)
class Usage:
    """Token counts of a call; `input_tokens` is the whole prompt, None where unknown.

    Attributes
    ----------
    reasoning_tokens : int or None
        The part of `output_tokens` that was thought.
    """

    input_tokens: int | None
    output_tokens: int | None
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None


_INPUT = ("prompt_tokens", "input_tokens", "promptTokens", "inputTokens", "promptTokenCount")
_OUTPUT = (
    "completion_tokens", "output_tokens", "completionTokens", "outputTokens",
    "candidatesTokenCount",
)  # fmt: skip
_CACHED = (
    "cache_read_input_tokens", "cached_tokens", "cached_input_tokens", "prompt_cache_hit_tokens",
    "cachedContentTokenCount", "prompt_cache_read_tokens", "cacheReadInputTokens",
)  # fmt: skip
_CREATED = ("cache_creation_input_tokens", "prompt_cache_write_tokens", "cacheWriteInputTokens")


def usage_of(file: LogFile, number: int | None, found: dict[str, Any]) -> Usage:
    """The token counts of a `usage` object, whichever API wrote it.

    OpenAI's prompt count includes tokens read from a cache, Anthropic's own (`input_tokens` beside
    `cache_read_input_tokens`) excludes them; so does any that is smaller than they are.

    Raises
    ------
    TraceError
        If a count is none.
    """

    def first(names: tuple[str, ...], of: dict[str, Any]) -> int | None:
        for name in names:
            if of.get(name) is not None:
                return tokens(file, number, name, of[name])
        return None

    inputs, outputs = first(_INPUT, found), first(_OUTPUT, found)
    details: dict[str, Any] = {}
    for name in ("prompt_tokens_details", "input_tokens_details"):
        details |= table(file, number, name, found.get(name))
    thoughts: dict[str, Any] = {}
    for name in ("completion_tokens_details", "output_tokens_details"):
        thoughts |= table(file, number, name, found.get(name))
    cached = first(("cached_tokens",), details)
    native = first(_CACHED, found)
    created = first(_CREATED, found) or 0
    is_apart = "input_tokens" in found and not details and (native is not None or created > 0)
    cached = native if cached is None else cached
    if inputs is not None and (is_apart or inputs < (cached or 0)):
        inputs += (cached or 0) + created
    return Usage(inputs, outputs, cached, first(("reasoning_tokens",), thoughts))
