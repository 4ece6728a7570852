"""How the prompt of an agent goes on from call to call: it grows, shrinks, breaks, begins anew."""

from __future__ import annotations

from typing import NamedTuple

from agentsim.workload.generate.distribution import Distribution
from agentsim.workload.generate.draws import Draws
from agentsim.workload.generate.profile import Change, Compaction, Early, Shrink


class Rules(NamedTuple):
    """What an agent's prompts are drawn from.

    Attributes
    ----------
    head : int
        Tokens at their start that are shared with other agents of the kind.
    limit : int
        Most tokens of prompt and output.
    """

    head: int
    limit: int
    first: Distribution
    appended: Distribution
    appended_user: Distribution
    output: Distribution
    early: Early | None = None
    shrink: Shrink | None = None
    breaks: Change | None = None
    compaction: Compaction | None = None


class Sizes(NamedTuple):
    """Tokens of one call.

    Attributes
    ----------
    keep : int
        What the prompt has in common with the last call's prompt and answer.
    appended : int
        What it adds to them.
    full_at : float
        Prompt and answer together with which the context is compacted.
    """

    prompt: int
    keep: int
    appended: int
    output: int
    full_at: float


def first_sizes(rules: Rules, draws: Draws, draw: float | None = None) -> Sizes:
    """The first prompt of an agent: the head, and something behind it.

    Parameters
    ----------
    draw : float or None
        Chooses its length; by default a draw of its own.
    """
    behind = rules.first.value_at(draws.uniform("first", 0) if draw is None else draw)
    prompt = min(rules.head + max(1, round(behind)), rules.limit - 1)
    output = _output(rules, draws, 0, prompt)
    return Sizes(prompt, 0, prompt, output, _full_at(rules, draws, 0, prompt + output))


def next_sizes(
    rules: Rules, draws: Draws, turn: int, before: Sizes, *, from_user: bool
) -> Sizes | None:
    """The prompt after another one; None if the context is full and nothing compacts it."""
    adds = rules.appended_user if from_user else rules.appended
    if rules.early is not None and turn <= rules.early.calls:
        adds = rules.early.appended
    appended = draws.whole("appended", turn, adds)
    whole = before.prompt + before.output
    prompt, keep = whole + appended, whole
    if rules.shrink is not None and draws.happens("shrink", turn, rules.shrink.chance):
        dropped = draws.whole("dropped", turn, rules.shrink.dropped)
        prompt, appended = max(rules.head + 1, whole - dropped), 0
        keep = min(before.prompt, prompt)
    if rules.breaks is not None and draws.happens("break", turn, rules.breaks.chance):
        share = draws.value("kept", turn, rules.breaks.kept)
        keep = min(keep, max(rules.head, round(share * before.prompt)))
    if rules.compaction is None and prompt >= rules.limit:
        return None
    wanted = draws.whole("output", turn, rules.output, 1)
    fits = whole < before.full_at and prompt + wanted <= rules.limit
    if rules.compaction is None or fits:
        output = min(wanted, rules.limit - prompt)
        return Sizes(prompt, keep, appended, output, before.full_at)
    share = draws.value("remains", turn, rules.compaction.kept)
    prompt = min(max(rules.head + 1, round(share * before.prompt)), rules.limit - 1)
    output = _output(rules, draws, turn, prompt)
    full_at = _full_at(rules, draws, turn, prompt + output)
    return Sizes(prompt, min(rules.head, prompt), 0, output, full_at)


def _output(rules: Rules, draws: Draws, turn: int, prompt: int) -> int:
    return min(draws.whole("output", turn, rules.output, 1), rules.limit - prompt)


def _full_at(rules: Rules, draws: Draws, turn: int, tokens: int) -> float:
    """How long a context gets that begins with so many tokens."""
    if rules.compaction is None:
        return float(rules.limit)
    below = rules.compaction.at.quantile_of(tokens)
    draw = below + (1 - below) * draws.uniform("full", turn)
    return max(rules.compaction.at.value_at(draw), tokens + 1)
