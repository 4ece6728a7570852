"""Loads whose requests are known beforehand: sweeps one after another, and an open loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from agentsim.domain.chance import uniforms
from agentsim.domain.units import seconds_to_ns
from collecting.client import Client, sleep_until
from collecting.folder import Sent


class Request(NamedTuple):
    """A request, sent `at_ns` after its group begins."""

    prompt_tokens: int
    output_tokens: int
    at_ns: int = 0


@dataclass(frozen=True, slots=True)
class Plan:
    """A load.

    Attributes
    ----------
    name : str
        What its runs are called.
    arrival : str
        How requests arrive, for people.
    groups : tuple of tuple of Request
        A group begins when all of the one before it are answered.
    """

    name: str
    arrival: str
    groups: tuple[tuple[Request, ...], ...]

    @property
    def num_requests(self) -> int:
        """Requests in all groups."""
        return sum(map(len, self.groups))


def prefill_plan(lengths: Sequence[int]) -> Plan:
    """Prompts alone, one after another, one output token each."""
    groups = tuple((Request(length, 1),) for length in lengths)
    return Plan("prefill", "one after another", groups)


def decode_plan(batches: Sequence[int], contexts: Sequence[int], output_tokens: int) -> Plan:
    """Batches of equal requests sent at once, for each context and size of the batch."""
    groups = tuple(
        (Request(context, output_tokens),) * batch for context in contexts for batch in batches
    )
    return Plan("decode", "batches one after another", groups)


def poisson_plan(
    rate: float,
    num_requests: int,
    prompt_tokens: tuple[int, int],
    output_tokens: tuple[int, int],
    seed: int,
) -> Plan:
    """An open loop of `rate` requests a second with lengths drawn evenly from bounds, included.

    The first request is sent at once; the same seed gives the same load.
    """

    def lengths(purpose: str, bounds: tuple[int, int]) -> list[int]:
        low, high = bounds
        shares = uniforms(seed, purpose, "poisson", num_requests)
        return [low + int(share * (high - low + 1)) for share in shares]

    gaps = -np.log1p(-uniforms(seed, "gap", "poisson", num_requests)) / rate
    gaps[:1] = 0.0
    arrivals = [seconds_to_ns(float(at)) for at in np.cumsum(gaps)]
    requests = zip(
        lengths("prompt", prompt_tokens), lengths("output", output_tokens), arrivals, strict=True
    )
    return Plan(
        f"poisson-{rate:g}", f"Poisson, {rate:g} requests/s", (tuple(map(Request._make, requests)),)
    )


async def run_plan(plan: Plan, client: Client, progress: Callable[[], None]) -> list[Sent]:
    """Send a load.

    Parameters
    ----------
    progress : callable
        Called when a request is answered.
    """
    sent: list[Sent] = []
    for place, group in enumerate(plan.groups):
        start_ns = client.now_ns()

        async def one(
            number: int, request: Request, start_ns: int = start_ns, place: int = place
        ) -> None:
            prompt = client.tokens.first(f"{place}/{number}", request.prompt_tokens)
            body = client.body(prompt, request.output_tokens)
            await sleep_until(start_ns + request.at_ns)
            answer = await client.complete(body)
            sent.append(Sent(request.prompt_tokens, request.output_tokens, answer))
            progress()

        await asyncio.gather(*(one(number, request) for number, request in enumerate(group)))
    return sent
