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


def prompts_of(run: Record, lengths: Sequence[int], seen_before: Sequence[int]) -> Prompts:
    """What the prompts of a run share.

    Parameters
    ----------
    run : Record
        May have ``system_prompt_groups`` and ``shared_system_prompt_tokens``.
    lengths : sequence of int
        Prompt tokens of each request in the order of sending; 0: not known.
    seen_before : sequence of int
        First tokens of each that an earlier prompt had too, where the source says it; else 0.

    Raises
    ------
    UserError
        If no length is known.
    """
    if any(seen_before):
        source = "the latest earlier prompt that is at least as long"
        made = [assumed("whose prompt a shared prefix is of", "latest", source)]
        prefixes = _of_earlier(lengths, seen_before)
        return Prompts(lambda _: prefixes, made, is_drawn=False)
    known = [tokens for tokens in lengths if tokens]
    if not known:
        raise run.fault("run_id", "a run with at least one prompt length")
    cycle = find_cycle(lengths)
    groups = run.count_or("system_prompt_groups", 0)
    shared = run.count_or("shared_system_prompt_tokens", 0) if groups else 0
    made, hidden, run_id = [], len(lengths) - len(known), run.text("run_id")
    if groups:
        source = "which group a request belongs to is not recorded: drawn, each equally likely"
        made.append(assumed("system prompt of a request", f"one of {groups}", source))
    if cycle is not None:
        source = "the lengths repeat with this period, so the prompts do"
        made.append(assumed("prompts sent in turn", len(cycle.tokens), source))
        return Prompts(
            _in_turn(run_id, lengths, cycle, groups, shared), made, is_drawn=bool(groups)
        )
    if hidden:
        source = "the source has none for failed requests: drawn from those of the others"
        made.append(assumed("prompt lengths", f"{hidden} of {len(lengths)}", source))

    def draw(repeat: int) -> list[Segments]:
        of_group = choices(repeat, "group", run_id, len(lengths), max(groups, 1))
        others = choices(repeat, "prompt", run_id, len(lengths), len(known))
        return [
            shared_and_own(group, shared, tokens or known[other])
            for tokens, group, other in zip(lengths, of_group, others, strict=True)
        ]

    return Prompts(draw, made, is_drawn=bool(groups or hidden))


def _in_turn(
    run_id: str, lengths: Sequence[int], cycle: Cycle, groups: int, shared: int
) -> Callable[[int], list[Segments]]:
    """Prompts of a list, again and again: those of the same place are the same."""
    places = [cycle.place(number, tokens) for number, tokens in enumerate(lengths)]

    def draw(repeat: int) -> list[Segments]:
        of_group = choices(repeat, "group", run_id, len(cycle.tokens), max(groups, 1))
        return [
            shared_and_own(of_group[k], shared, tokens or cycle.tokens[k], f"question-{k}")
            for k, tokens in zip(places, lengths, strict=True)
        ]

    return draw


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
