"""Why agents are dominated by prefill: the work of each turn with and without the prefix cache.

Without a cache a session of T turns that starts at N0 tokens and grows by d a turn computes
T N0 + d T (T - 1) / 2 prompt tokens, which grows with the square of T; with one it computes what is
new in each turn, N0 + (T - 1) d. Both curves here are sums over the calls of a run, not formulas.
"""

from __future__ import annotations

from collections import Counter
from textwrap import fill
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from agentsim.domain.records import Run
from agentsim.errors import UserError
from agentsim.report.layout import on_screen, plain_table

IntArray = npt.NDArray[np.int64]

#: Rows of the table, at most.
_ROWS = 12


class PrefillCurves(NamedTuple):
    """Cumulative prompt tokens of one session by turn.

    Attributes
    ----------
    session : str
        The one with the most calls.
    turns : ndarray of int64
        1, 2, ...
    whole : ndarray of int64
        Tokens of all prompts up to the turn: what a server without a prefix cache computes.
    computed : ndarray of int64
        Tokens this run computed for them.
    """

    session: str
    turns: IntArray
    whole: IntArray
    computed: IntArray


def prefill_curves(run: Run) -> PrefillCurves:
    """The two curves of the session with the most calls.

    Raises
    ------
    UserError
        If the run holds no call with a prompt.
    """
    counts = Counter[str]()
    for calls in run.requests.chunks("session", "prompt_tokens"):
        counts.update(calls["session"][calls["prompt_tokens"] > 0].tolist())
    if not counts:
        raise UserError("--explain: expected at least one call with a prompt, the run has none")
    session = min(counts, key=lambda name: (-counts[name], name))
    names = ("submitted_ns", "prompt_tokens", "cached_tokens")
    mine = run.requests.columns(*names, where={"session": (session,)})
    order = np.argsort(mine["submitted_ns"], kind="stable")
    order = order[mine["prompt_tokens"][order] > 0]
    whole, cached = (mine[name][order] for name in names[1:])
    turns = np.arange(1, len(whole) + 1)
    return PrefillCurves(session, turns, np.cumsum(whole), np.cumsum(whole - cached))


def prefill_text(run: Run) -> str:
    """The curves as a table of 80 columns, and what they say."""
    curves = prefill_curves(run)
    num_turns = len(curves.turns)
    shown = np.unique(np.linspace(0, num_turns - 1, min(_ROWS, num_turns)).round().astype(int))
    table = plain_table(("turns", "without cache", "computed", "ratio"))
    for column in table.columns:
        column.justify = "right"
    for i in shown.tolist():
        ratio = curves.whole[i] / max(1, curves.computed[i])
        row = (str(curves.turns[i]), f"{curves.whole[i]:,}", f"{curves.computed[i]:,}")
        table.add_row(*row, f"{ratio:.1f}")
    whole = computed = 0
    for calls in run.requests.chunks("prompt_tokens", "cached_tokens"):
        whole += int(calls["prompt_tokens"].sum())
        computed += int((calls["prompt_tokens"] - calls["cached_tokens"]).sum())
    ratio = whole / max(1, computed)
    why = (
        "Without a prefix cache every turn computes its whole history: while a prompt only grows, "
        "the sum grows with the square of the turns. With one it grows with what is new. "
        f"All sessions: {whole:,} tokens without, {computed:,} here, {ratio:.1f} times less."
    )
    head = f"Prompt tokens to prefill up to a turn, session {curves.session}"
    return f"{head}\n{on_screen(table)}{fill(why, 80)}\n"
