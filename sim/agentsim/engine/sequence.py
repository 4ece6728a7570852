"""A request in flight in a replica."""

from __future__ import annotations

from enum import Enum
from typing import Any, Protocol

from agentsim.machine.blocks import BlockTable


class Status(Enum):
    """Where a sequence is. A finished one is nowhere else.

    While it is loading, its blocks are being filled from CPU memory; when loaded, it is next.
    """

    WAITING = "waiting"
    LOADING = "loading"
    LOADED = "loaded"
    RUNNING = "running"
    PREEMPTED = "preempted"
    FINISHED = "finished"


class Drafter(Protocol):
    """Drafts of one sequence: how many are proposed, how many of them the model accepts."""

    def propose(self) -> int:
        """Drafts proposed after a step that sampled; each call is the next proposal."""

    def accept(self, num_drafts: int, position: int) -> int:
        """How many of `num_drafts` are accepted, the first of them for output token `position`;
        each call is the next verification."""


class Sequence:
    """A request in flight: its lengths, how far it has come, its blocks.

    While it is in the decode group the fields of progress are those at the time it joined; the
    group knows how many steps it has made since.

    Parameters
    ----------
    owner : object
        Whose request it is; never looked at here.
    num_prompt : int
        Prompt tokens.
    num_output : int
        Tokens it will have when it stops, known to the engine alone.
    max_tokens : int
        The most output tokens the client allows: what a scheduler knows of the end.
    table : BlockTable
        Its blocks, with the path of its content.
    """

    __slots__ = (
        "accepted",
        "admission",
        "arrival",
        "cached_tokens",
        "computed",
        "drafted",
        "drafter",
        "drafts",
        "first_token_ns",
        "high_water",
        "is_prefill_chunk",
        "joined",
        "last_token_ns",
        "lost_ns",
        "max_tokens",
        "num_output",
        "num_prompt",
        "outputs",
        "owner",
        "placeholders",
        "preemptions",
        "priority",
        "recomputed",
        "recovering_ns",
        "scheduled_ns",
        "status",
        "table",
        "verifications",
        "was_dropped",
    )  # fmt: skip

    def __init__(
        self,
        owner: Any,
        *,
        num_prompt: int,
        num_output: int,
        max_tokens: int,
        table: BlockTable,
        priority: int = 0,
        drafter: Drafter | None = None,
    ) -> None:
        self.owner = owner
        self.num_prompt = num_prompt
        self.num_output = num_output
        self.max_tokens = max_tokens
        self.table = table
        self.priority = priority
        self.drafter = drafter
        self.status = Status.WAITING
        self.arrival = 0  # order of arrival
        self.admission = -1  # order of the last admission
        self.computed = 0  # tokens whose KV is there once the steps begun have run
        self.outputs = 0  # output tokens delivered
        self.placeholders = 0  # async: output tokens scheduled and not yet delivered, with drafts
        self.drafts = 0  # proposed for the next step
        self.is_prefill_chunk = False
        self.joined = -1  # clock of the decode group at which it joined; -1: not in it
        self.preemptions = 0
        self.cached_tokens = 0  # found in the prefix cache at the first admission
        self.high_water = 0  # tokens computed before a preemption, until it is as far again
        self.recomputed = 0
        self.lost_ns = -1  # when it lost its blocks, until it is as far as it was
        self.recovering_ns = 0
        self.drafted = 0
        self.accepted = 0
        self.verifications = 0
        self.scheduled_ns = -1
        self.first_token_ns = -1
        self.last_token_ns = -1
        self.was_dropped = False  # its client gave up

    @property
    def num_tokens(self) -> int:
        """Prompt and the output delivered."""
        return self.num_prompt + self.outputs

    @property
    def is_full(self) -> bool:
        """Whether every token it may have is scheduled (known only where the end is foreseen)."""
        return (
            self.placeholders > 0
            and self.computed + 2 - self.placeholders >= self.num_prompt + self.max_tokens
        )
