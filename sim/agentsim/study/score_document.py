"""What ``agentsim score`` finds, and its JSON Schema: `Scores`."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from agentsim.report.document import schema_of
from agentsim.report.figures import Quantiles
from agentsim.study.outcomes import TaskScores


class Part(msgspec.Struct, frozen=True):
    """One score of a weighted sum.

    Attributes
    ----------
    score : float or None
        From 0 to 1; None where it is not known, and `why` says why.
    actual, reference : float or None
        What the run has, and what it is held against, in `unit`.
    zero, one : str
        What 0 and 1 mean.
    """

    name: str
    score: float | None
    weight: float
    unit: str
    actual: float | None
    reference: float | None
    zero: str
    one: str
    why: str = ""


class Sum(msgspec.Struct, frozen=True):
    """A weighted sum of scores; `score` is None where a part that counts is not known."""

    name: str
    score: float | None
    weight: float
    parts: list[Part]


class Reported(msgspec.Struct, frozen=True):
    """What the study asks every benchmark to report, in seconds and $.

    Attributes
    ----------
    time_to_solution : Quantiles
        Start of a session to its last answer.
    queue, prefill, decode : Quantiles
        Of each call: to the first step that computes any of it, from there to the first token, from
        there to the last.
    prefix_reuse : float or None
        Share of the prompt tokens that were found in the cache.
    """

    time_to_solution: Quantiles
    usd: float | None
    usd_per_session: float | None
    queue: Quantiles
    prefill: Quantiles
    decode: Quantiles
    prefix_reuse: float | None


class Scores(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What ``agentsim score --json`` prints.

    Attributes
    ----------
    efficiency : float or None
        None where a sum that counts is not known.
    efficiency_known : float or None
        That of the sums that are known, their weights scaled to add up to 1.
    weight_known : float
        What their weights add up to as given.
    task : TaskScores or None
        None: the trace carries no outcomes.
    """

    schema_version: Literal[1]
    agentsim_version: str
    efficiency: float | None
    efficiency_known: float | None
    weight_known: float
    sums: list[Sum]
    task: TaskScores | None
    reported: Reported
    weights: dict[str, dict[str, float]]


def score_schema() -> dict[str, Any]:
    """The JSON Schema of `Scores`, as published."""
    return schema_of(Scores)
