"""What one step of an ATIF trajectory says: `Step`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from agentsim.workload.importers.chat import Message, answer_of, messages_of
from agentsim.workload.importers.claude_calls import (
    ANSWER,
    ANSWER_CHARACTER,
    ANSWER_TOOL,
    LAST_PLACEHOLDER,
)
from agentsim.workload.importers.sources import LogFile, expect
from agentsim.workload.importers.values import items, table, timestamp, tokens

#: Calls in one step, beyond which a file is taken to be damaged.
_MOST_CALLS = 10_000


@dataclass(frozen=True, slots=True)
class Step:
    """One step; its fields are checked when they are asked for.

    Attributes
    ----------
    model : str or None
        Its own, or the trajectory's.
    """

    file: LogFile
    number: int | None
    raw: dict[str, Any]
    model: str | None

    @property
    def where(self) -> str:
        """For warnings."""
        line = "" if self.number is None else f":{self.number}"
        return f"{self.file.name}{line}: step {self.raw.get('step_id')}"

    @property
    def key(self) -> str:
        """Its number, which begins again in a continuation, and its time."""
        return f"{self.raw.get('step_id')}@{self.raw.get('timestamp')}"

    @property
    def is_user(self) -> bool:
        """A user's message."""
        return self.raw.get("source") == "user"

    @property
    def is_copy(self) -> bool:
        """Copied from an earlier trajectory, as context."""
        return self.raw.get("is_copied_context") is True

    @property
    def has_model(self) -> bool:
        """Whether a model had part in it."""
        return self.raw.get("source") == "agent" and self.raw.get("llm_call_count") != 0

    @property
    def at_ns(self) -> int | None:
        """Its one time."""
        return timestamp(self.file, self.number, "timestamp", self.raw.get("timestamp"))

    @property
    def num_calls(self) -> int:
        """How many calls its token counts are sums over."""
        name = "llm_call_count"
        found = tokens(self.file, self.number, name, self.raw.get(name))
        if found is not None and found > _MOST_CALLS:
            raise expect(self.file, self.number, name, found, f"at most {_MOST_CALLS}")
        return found or 1

    @property
    def tools(self) -> list[str]:
        """Names of the tools it calls."""
        return [str(call.get("function_name")) for call in self._tables(self.raw, "tool_calls")]

    @property
    def sub_agents(self) -> Iterator[dict[str, Any]]:
        """References to the sub-agents that it started."""
        for result in self._results():
            found = result.get("subagent_trajectory_ref")
            for each in found if isinstance(found, list) else [found] if found else []:
                yield table(self.file, self.number, "subagent_trajectory_ref", each)

    def count(self, name: str) -> int | None:
        """One of its token counts."""
        return tokens(self.file, self.number, name, self._metrics().get(name))

    def ids(self, name: str) -> list[Any]:
        """The tokens themselves, where it holds them."""
        return items(self.file, self.number, name, self._metrics().get(name))

    def said(self) -> list[Message]:
        """What it adds to the conversation, without results."""
        text = self.raw.get("message")
        if self.raw.get("source") != "agent":
            return messages_of([{"role": str(self.raw.get("source")), "content": text}])
        calls = [
            {"name": str(call.get("function_name")), "arguments": call.get("arguments")}
            for call in self._tables(self.raw, "tool_calls")
        ]
        thought = self.raw.get("reasoning_content")
        answer = answer_of({"content": text, "reasoning_content": thought, "tool_calls": calls})
        return [] if answer is None else [answer]

    def results(self) -> list[Message]:
        """What its tools returned."""
        return messages_of(
            [{"role": "tool", "content": each.get("content")} for each in self._results()]
        )

    def characters(self) -> int:
        """Of its text, thinking and tool inputs."""
        texts = (self.raw.get("message"), self.raw.get("reasoning_content"))
        inputs = (
            json.dumps(call.get("arguments"), ensure_ascii=False)
            for call in self._tables(self.raw, "tool_calls")
        )
        return sum(len(text) for text in (*texts, *inputs) if isinstance(text, str))

    def _results(self) -> list[dict[str, Any]]:
        observation = table(self.file, self.number, "observation", self.raw.get("observation"))
        return self._tables(observation, "results")

    def _metrics(self) -> dict[str, Any]:
        return table(self.file, self.number, "metrics", self.raw.get("metrics"))

    def _tables(self, of: dict[str, Any], name: str) -> list[dict[str, Any]]:
        return tables(self.file, self.number, of, name)


def tables(
    file: LogFile, number: int | None, of: dict[str, Any], name: str
) -> list[dict[str, Any]]:
    """An array of objects.

    Raises
    ------
    TraceError
        If it is something else.
    """
    found = items(file, number, name, of.get(name))
    return [table(file, number, f"{name}[]", each) for each in found]


def placeholder(parts: list[Step], answer: int) -> int | None:
    """An estimate of an answer whose count is Claude Code's placeholder; None if it is none."""
    step = parts[-1]
    if answer > LAST_PLACEHOLDER or not (step.model or "").startswith("claude"):
        return None
    written = sum(part.characters() for part in parts)
    num_tools = sum(len(part.tools) for part in parts)
    guess = round(ANSWER + ANSWER_CHARACTER * written + ANSWER_TOOL * num_tools)
    return guess if guess > answer else None


def num_equal(first: list[Any], second: list[Any]) -> int:
    """How many elements two lists have in common at their heads."""
    pairs = enumerate(zip(first, second, strict=False))
    end = min(len(first), len(second))
    return next((place for place, (one, other) in pairs if one != other), end)
