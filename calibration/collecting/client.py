"""Who sends: one server, one model, one salt; and how long to sleep."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Any

from agentsim.domain.units import ns_to_seconds
from collecting.endpoint import Answer, Endpoint
from collecting.tokens import Ids, Tokens


@dataclass(frozen=True, slots=True)
class Client:
    """A client of one run.

    Attributes
    ----------
    model : str
        As the server calls it.
    tokens : Tokens
        What prompts are made of.
    timeout_s : float
        It gives up on a request after so many seconds.
    """

    endpoint: Endpoint
    model: str
    tokens: Tokens
    timeout_s: float

    def body(self, prompt: Ids, output_tokens: int, *, with_ids: bool = False) -> dict[str, Any]:
        """A request for exactly so many tokens, and for their ids where the server tells them."""
        body: dict[str, Any] = {
            "model": self.model,
            "prompt": prompt.tolist(),
            "max_tokens": output_tokens,
            "ignore_eos": True,
            "temperature": 0,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        return {**body, "return_token_ids": True} if with_ids else body

    async def complete(self, body: dict[str, Any]) -> Answer:
        """Send and wait for the answer; see `Endpoint.complete`."""
        return await self.endpoint.complete(body, self.timeout_s)

    @staticmethod
    def now_ns() -> int:
        """The clock of all answers."""
        return time.perf_counter_ns()


async def sleep_until(at_ns: int) -> None:
    """Sleep until the clock of answers shows `at_ns`; not at all if it is past."""
    left_ns = at_ns - time.perf_counter_ns()
    if left_ns > 0:
        await asyncio.sleep(ns_to_seconds(left_ns))
