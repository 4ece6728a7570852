"""What the prompts of a request-level run share: `prompts_of`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from agentsim.validation.cycles import Cycle, find_cycle
from agentsim.validation.draws import Segments, choices, shared_and_own
from agentsim.validation.servers import assumed
from agentsim.validation.tables import Record


@dataclass(frozen=True, slots=True)
class Prompts:
    """The prompts of a run.

    Attributes
    ----------
    of_repeat : callable
        From the number of a repeat to the prompt of each request.
    assumptions : list of dict
        What was assumed of them.
    is_drawn : bool
        Whether they differ between repeats.
    """

    of_repeat: Callable[[int], list[Segments]]
    assumptions: list[dict[str, Any]]
    is_drawn: bool


def prompts_of(
    run: Record, lengths: Sequence[int], seen_before: Sequence[int] = (), *, may_repeat: bool = True
) -> Prompts:
    """What the prompts of a run share.

    Parameters
    ----------
    run : Record
        May have ``system_prompt_groups`` and ``shared_system_prompt_tokens``.
    lengths : sequence of int
        Prompt tokens of each request in the order of sending; 0: not known.
    seen_before : sequence of int
        First tokens of each that an earlier prompt had too, where the source says it; else 0.
    may_repeat : bool
        Whether equal lengths in turn may be equal prompts.

    Raises
    ------
    UserError
        If no length is known.
    """
    if any(seen_before):
        source = "the latest earlier prompt that is at least as long"
        made = [assumed("whose prompt a shared prefix is of", "latest", source)]
        return Prompts(_Known(_of_earlier(lengths, seen_before)), made, is_drawn=False)
    known = [tokens for tokens in lengths if tokens]
    if not known:
        raise run.fault("run_id", "a run with at least one prompt length")
    cycle = find_cycle(lengths) if may_repeat else None
    groups = run.count_or("system_prompt_groups", 0)
    shared = run.count_or("shared_system_prompt_tokens", 0) if groups else 0
    made, hidden, run_id = [], len(lengths) - len(known), run.text("run_id")
    if groups > 1:
        source = "which group a request belongs to is not recorded: drawn, each equally likely"
        made.append(assumed("system prompt of a request", f"one of {groups}", source))
    of_groups = _Groups(run_id, max(groups, 1), shared)
    if cycle is not None:
        source = "the lengths repeat with this period, so the prompts do"
        made.append(assumed("prompts sent in turn", len(cycle.tokens), source))
        return Prompts(_InTurn(of_groups, tuple(lengths), cycle), made, is_drawn=groups > 1)
    if hidden:
        source = "the source has none for failed requests: drawn from those of the others"
        made.append(assumed("prompt lengths", f"{hidden} of {len(lengths)}", source))
    is_drawn = groups > 1 or hidden > 0
    return Prompts(_Apart(of_groups, tuple(lengths), tuple(known)), made, is_drawn)


@dataclass(frozen=True, slots=True)
class _Known:
    """Prompts of which nothing is drawn."""

    prompts: list[Segments]

    def __call__(self, repeat: int) -> list[Segments]:
        return self.prompts


@dataclass(frozen=True, slots=True)
class _Groups:
    """System prompts, one of which each prompt begins with."""

    run_id: str
    count: int
    shared: int

    def draw(self, repeat: int, num_prompts: int) -> list[int]:
        """The group of each prompt."""
        return choices(repeat, "group", self.run_id, num_prompts, self.count)


@dataclass(frozen=True, slots=True)
class _Apart:
    """Prompts that share no more than their system prompt; unknown lengths are some known one."""

    groups: _Groups
    lengths: tuple[int, ...]
    known: tuple[int, ...]

    def __call__(self, repeat: int) -> list[Segments]:
        count = len(self.lengths)
        others = choices(repeat, "prompt", self.groups.run_id, count, len(self.known))
        drawn = zip(self.lengths, self.groups.draw(repeat, count), others, strict=True)
        return [
            shared_and_own(group, self.groups.shared, tokens or self.known[other])
            for tokens, group, other in drawn
        ]


@dataclass(frozen=True, slots=True)
class _InTurn:
    """Prompts of a list, again and again: those of the same place are the same."""

    groups: _Groups
    lengths: tuple[int, ...]
    cycle: Cycle

    def __call__(self, repeat: int) -> list[Segments]:
        listed = self.cycle.tokens
        groups = self.groups.draw(repeat, len(listed))
        places = ((self.cycle.place(n, tokens), tokens) for n, tokens in enumerate(self.lengths))
        return [
            shared_and_own(groups[k], self.groups.shared, tokens or listed[k], f"question-{k}")
            for k, tokens in places
        ]


def _of_earlier(lengths: Sequence[int], seen_before: Sequence[int]) -> list[Segments]:
    """Prompts of which each begins with as much of an earlier one as the source says."""
    prompts: list[Segments] = []
    for number, (tokens, before) in enumerate(zip(lengths, seen_before, strict=True)):
        shared = min(before, tokens)
        head: Segments = ()
        if shared:
            earlier = (n for n in range(number - 1, -1, -1) if lengths[n] >= shared)
            found = next(earlier, None)
            head = () if found is None else _first_of(prompts[found], shared)
        own = tokens - sum(length for _, length in head)
        prompts.append((*head, (f"own-{number}", own)) if own else head)
    return prompts


def _first_of(prompt: Segments, tokens: int) -> Segments:
    kept = []
    for name, length in prompt:
        take = min(length, tokens)
        if take:
            kept.append((name, take))
        tokens -= take
    return tuple(kept)
