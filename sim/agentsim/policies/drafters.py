"""Which draft tokens are accepted: `DRAFTERS`, the acceptance models a user can name.

A drafter tells for one sequence how many drafts each step proposes and how many of them the model
accepts. Draws are by address: whether the draft of output token number n is right depends on the
request and on n alone. So a higher rate accepts all that a lower one accepts, and more.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from agentsim.domain.chance import address, uniform_at
from agentsim.errors import TraceError
from agentsim.policies.acceptance import Acceptance
from agentsim.registry import Registry


class Drafter(Protocol):
    """Drafts of one sequence; `agentsim.engine.sequence.Drafter` says the same."""

    def propose(self) -> int:
        """Drafts proposed after a step that sampled; each call is the next proposal."""

    def accept(self, num_drafts: int, position: int) -> int:
        """How many of `num_drafts` are accepted, the first of them for output token `position`."""


@dataclass(frozen=True, slots=True)
class Drafted:
    """The request that drafts are for.

    Attributes
    ----------
    num_drafts : int
        Proposed after each step, if any are.
    seed : int
        Of the run.
    name : str
        Session and call, as in ``s1/c3``.
    extra : mapping of str to object
        What the trace says of the call, or of its session, beyond the format.
    """

    num_drafts: int
    seed: int
    name: str
    extra: Mapping[str, Any] = field(default_factory=dict)


class Fixed:
    """Each draft token is accepted with the same chance, as long as those before it were.

    The independent model of Leviathan et al., "Fast inference from transformers via speculative
    decoding", ICML 2023: k drafts bring (1 - rate^(k+1)) / (1 - rate) tokens a step.
    """

    def __init__(self, acceptance: Acceptance, request: Drafted) -> None:
        self._rate = acceptance.rate
        self._proposal = acceptance.proposal
        self._num_drafts = request.num_drafts
        self._base = address(request.seed, "acceptance", request.name)
        self._matches = address(request.seed, "proposal", request.name)
        self._proposals = 0

    def propose(self) -> int:
        """All, or none where nothing matches."""
        self._proposals += 1
        found = uniform_at(self._matches, self._proposals) < self._proposal
        return self._num_drafts if found else 0

    def accept(self, num_drafts: int, position: int) -> int:
        """A run of successes."""
        accepted = 0
        while accepted < num_drafts and uniform_at(self._base, position + accepted) < self._rate:
            accepted += 1
        return accepted


class PerPosition(Fixed):
    """Each position of a draft has its own share of verifications that accept it."""

    def __init__(self, acceptance: Acceptance, request: Drafted) -> None:
        super().__init__(acceptance, request)
        self._rates = acceptance.rates

    def accept(self, num_drafts: int, position: int) -> int:
        """One draw: the positions whose share lies above it."""
        chance = uniform_at(self._base, position)
        return sum(chance < rate for rate in self._rates[:num_drafts])


class Drawn(Fixed):
    """Each sequence has a rate of its own, drawn evenly around the given one.

    Texts differ in how well they are foreseen. The sequences' rates have the given mean and
    standard deviation, less of it where they would leave [0, 1].
    """

    def __init__(self, acceptance: Acceptance, request: Drafted) -> None:
        super().__init__(acceptance, request)
        mean = acceptance.rate
        half = min(acceptance.spread * 3.0**0.5, mean, 1.0 - mean)  # of an even distribution
        chance = uniform_at(address(request.seed, "acceptance rate", request.name), 0)
        self._rate = mean + half * (2.0 * chance - 1.0)


class Traced(Fixed):
    """What the trace says of each call: accepted lengths, or a rate measured on its text.

    Fields of a call, or of its session: ``accepted_lengths``, drafts accepted by each verification
    (begun again at its end); or ``ngram_acceptance`` (the same with the name of another method), a
    rate, with an optional ``ngram_proposal``, the share of steps that propose anything.
    """

    def __init__(self, acceptance: Acceptance, request: Drafted) -> None:
        super().__init__(acceptance, request)
        method, extra = acceptance.method, request.extra
        self._verifications = 0
        self._lengths: list[int] = []
        field_name = f"{method}_acceptance"
        if "accepted_lengths" in extra:
            self._lengths = _lengths(request)
        elif field_name in extra:
            self._rate = _chance(request, field_name)
        else:
            raise TraceError(
                f"request {request.name}: the acceptance model 'trace' needs the field "
                f"'accepted_lengths' or {field_name!r} in every call (or its session); add it, or "
                "give speculation.rate instead"
            )
        if f"{method}_proposal" in extra:
            self._proposal = _chance(request, f"{method}_proposal")

    def accept(self, num_drafts: int, position: int) -> int:
        """The next accepted length, or as `Fixed`."""
        if not self._lengths:
            return super().accept(num_drafts, position)
        self._verifications += 1
        return min(self._lengths[(self._verifications - 1) % len(self._lengths)], num_drafts)


def _lengths(request: Drafted) -> list[int]:
    lengths = request.extra["accepted_lengths"]
    is_list = isinstance(lengths, list) and len(lengths) > 0
    if not is_list or not all(type(n) is int and n >= 0 for n in lengths):
        raise TraceError(
            f"request {request.name}: field 'accepted_lengths': expected a list of integers >= 0, "
            f"got {lengths!r}"
        )
    return list(lengths)


def _chance(request: Drafted, name: str) -> float:
    value = request.extra[name]
    if type(value) not in (int, float) or not 0 <= value <= 1:
        raise TraceError(
            f"request {request.name}: field {name!r}: expected a number from 0 to 1, got {value!r}"
        )
    return float(value)


DRAFTERS: Registry[Callable[[Acceptance, Drafted], Drafter]] = Registry(
    "acceptance model",
    {"fixed": Fixed, "per-position": PerPosition, "drawn": Drawn, "trace": Traced},
    entry_point_group="agentsim.drafters",
)
