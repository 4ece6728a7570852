"""What a source hides, drawn by address: arrival times, groups, lengths.

The repeat is the seed, the run and the purpose are the rest of the address, so that a draw depends
on nothing but these.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from agentsim.domain.chance import uniforms
from agentsim.domain.trace import Call, Session
from agentsim.domain.units import seconds_to_ns

#: The named stretches of tokens that a prompt is made of.
Segments = tuple[tuple[str, int], ...]

#: How often a run is simulated, each time with other draws.
NUM_REPEATS = 3


@dataclass(frozen=True, slots=True)
class Lengths:
    """A lognormal law of lengths in tokens, cut at both ends.

    Attributes
    ----------
    sigma : float
        Spread of the logarithm.
    """

    sigma: float
    least: int
    most: int


#: ShareGPT as vLLM's benchmark samples it: the first two turns, prompts of 4 to 1024 tokens, at
#: most 2048 in all. The spreads are assumed.
PROMPTS, OUTPUTS = Lengths(1.4, 4, 1024), Lengths(0.9, 4, 1024)


def arrivals_in(repeat: int, run_id: str, stage: int, rate: float, duration_s: float) -> list[int]:
    """Arrivals of an open loop that sends ``rate * duration_s`` requests in `duration_s`.

    Given their number, the arrivals of a Poisson process are uniform.

    Returns
    -------
    list of int
        Nanoseconds since the start of the stage, in order.
    """
    shares = uniforms(repeat, "arrival", f"{run_id}/{stage}", round(rate * duration_s))
    return [seconds_to_ns(float(share) * duration_s) for share in np.sort(shares)]


def poisson(repeat: int, run_id: str, rate: float, count: int) -> list[int]:
    """`count` arrivals with exponential gaps, the first at 0; all at 0 for an infinite rate."""
    if not np.isfinite(rate):
        return [0] * count
    gaps = -np.log1p(-uniforms(repeat, "gap", run_id, count)) / rate
    gaps[:1] = 0.0
    return [seconds_to_ns(float(at)) for at in np.cumsum(gaps)]


def choices(repeat: int, purpose: str, run_id: str, count: int, among: int) -> list[int]:
    """`count` numbers from 0 to `among` - 1, each equally likely."""
    return [int(share * among) for share in uniforms(repeat, purpose, run_id, count)]


def lengths(repeat: int, key: str, count: int, total: int, law: Lengths) -> list[int]:
    """`count` lengths of a law, scaled so that they add up to about `total`.

    Raises
    ------
    ValueError
        If `count` is below 1.
    """
    if count < 1:
        raise ValueError(f"expected a count >= 1, got {count}")
    mean, normal = total / count, NormalDist()
    shares = np.clip(uniforms(repeat, "length", key, count), 1e-12, 1 - 1e-12)
    shape = np.exp([law.sigma * normal.inv_cdf(float(share)) for share in shares])
    least, most = min(law.least, mean), max(law.most, 1.5 * mean)
    drawn = np.clip(shape * _scale(shape, mean, least, most), least, most)
    return [max(1, round(float(length))) for length in drawn]


def _scale(shape: npt.NDArray[np.float64], mean: float, least: float, most: float) -> float:
    """The factor with which the clipped lengths have this mean, by bisection."""
    low, high = 0.0, most / float(shape.min())
    for _ in range(60):
        middle = (low + high) / 2
        if float(np.clip(shape * middle, least, most).mean()) < mean:
            low = middle
        else:
            high = middle
    return high


def shared_and_own(group: int, shared_tokens: int, tokens: int, question: str = "~own") -> Segments:
    """A prompt that begins with its group's system prompt and goes on with a question.

    At least one token is the question's. Equal names of questions are equal questions; ``~own`` is
    the request's alone.
    """
    shared = max(0, min(shared_tokens, tokens - 1))
    head = ((f"system-{group}", shared),) if shared else ()
    return (*head, (question, tokens - shared))


def one_call(name: str, at_ns: int, segments: Segments, output_tokens: int) -> Session:
    """A session of a single request."""
    tokens = sum(length for _, length in segments)
    call = Call(
        id="main/0",
        input_tokens=tokens,
        output_tokens=output_tokens,
        segments=segments,
        delay_ns=0,
    )
    return Session(name, (call,), at_ns=at_ns)
