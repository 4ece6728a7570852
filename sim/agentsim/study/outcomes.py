"""What became of the agents' work, where a trace says so: TaskEfficacy, Adaptivity, interventions.

A session line may carry ``"outcome"``, see `Outcome`; docs/score.md documents it. What is absent is
unknown, never 0.
"""

from __future__ import annotations

from statistics import fmean
from typing import Annotated

import msgspec

from agentsim.domain.trace import Trace
from agentsim.errors import TraceError
from agentsim.study.weights import Weights

Grade = Annotated[float, msgspec.Meta(ge=0, le=1)] | bool


class Outcome(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a session ended.

    Attributes
    ----------
    diag, root_cause, remediation : float, bool or None
        How right diagnosis, root cause and remediation were, from 0 to 1.
    penalty : float or None
        Operational penalty, from 0 to 1.
    interventions : int or None
        Times a human had to step in.
    perturbation_of : str or None
        The session whose input this one's is a perturbation of.
    """

    diag: Grade | None = None
    root_cause: Grade | None = None
    remediation: Grade | None = None
    penalty: Grade | None = None
    interventions: Annotated[int, msgspec.Meta(ge=0)] | None = None
    perturbation_of: str | None = None


class TaskScores(msgspec.Struct, frozen=True):
    """What the outcomes of a trace give; None where it carries none of the kind.

    Attributes
    ----------
    accuracy, usefulness, efficacy : float or None
        Means over the sessions that are no perturbations and carry what each needs.
    graded : int
        Sessions behind `efficacy`.
    adaptivity : float or None
        Mean over perturbed sessions of their efficacy over that of the session they perturb.
    perturbed : int
        Sessions behind `adaptivity`; one whose original has efficacy 0 has no ratio.
    interventions : float or None
        Mean over the sessions that carry them.
    """

    accuracy: float | None
    usefulness: float | None
    efficacy: float | None
    graded: int
    adaptivity: float | None
    perturbed: int
    interventions: float | None


def outcomes_of(trace: Trace) -> dict[str, Outcome]:
    """The outcomes of a trace by session; empty if it carries none.

    Raises
    ------
    TraceError
        If one is not as `Outcome` says, or perturbs a session that is not there or is a
        perturbation itself.
    """
    found = {}
    for session in trace:
        told = (session.extra or {}).get("outcome")
        if told is not None:
            try:
                found[session.id] = msgspec.convert(told, Outcome, strict=True)
            except msgspec.ValidationError as error:
                text = str(error).replace("`", "'").replace("$.", "outcome.")
                raise TraceError(f"session {session.id!r}: {text[:1].lower()}{text[1:]}") from error
    for name, outcome in found.items():
        original = outcome.perturbation_of
        if original is not None and (
            original not in found or found[original].perturbation_of is not None
        ):
            raise TraceError(
                f"session {name!r}: field 'outcome.perturbation_of': expected a session with an "
                f"outcome that is no perturbation itself, got {original!r}"
            )
    return found


def task_scores(outcomes: dict[str, Outcome], weights: Weights) -> TaskScores:
    """The study's task metrics from the outcomes of a trace."""
    plain = {n: o for n, o in outcomes.items() if o.perturbation_of is None}
    efficacy = {name: _efficacy(outcome, weights) for name, outcome in outcomes.items()}
    graded = [value for name in plain if (value := efficacy[name]) is not None]
    ratios = []
    for name, outcome in outcomes.items():
        value = efficacy[name]
        base = efficacy[outcome.perturbation_of] if outcome.perturbation_of is not None else None
        if value is not None and base:
            ratios.append(value / base)
    return TaskScores(
        accuracy=_mean([_accuracy(outcome, weights) for outcome in plain.values()]),
        usefulness=_mean([_usefulness(outcome) for outcome in plain.values()]),
        efficacy=_mean(graded),
        graded=len(graded),
        adaptivity=_mean(ratios),
        perturbed=len(ratios),
        interventions=_mean([outcome.interventions for outcome in outcomes.values()]),
    )


def _accuracy(outcome: Outcome, weights: Weights) -> float | None:
    grades = {"diag": outcome.diag, "rca": outcome.root_cause, "rem": outcome.remediation}
    return _weighted(grades, weights["acc"])


def _usefulness(outcome: Outcome) -> float | None:
    return None if outcome.penalty is None else 1 - float(outcome.penalty)


def _efficacy(outcome: Outcome, weights: Weights) -> float | None:
    parts = {"accuracy": _accuracy(outcome, weights), "usefulness": _usefulness(outcome)}
    return _weighted(parts, weights["task"])


def _weighted(parts: dict[str, float | None], weights: dict[str, float]) -> float | None:
    """The weighted sum; None if a part that counts is not known."""
    total = 0.0
    for name, weight in weights.items():
        value = parts[name]
        if weight and value is None:
            return None
        total += weight * float(value or 0)
    return total


def _mean(values: list[float | None] | list[float] | list[int | None]) -> float | None:
    known = [float(value) for value in values if value is not None]
    return fmean(known) if known else None
