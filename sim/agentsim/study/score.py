"""The case study's unified scores of a run: CompEff, EconEff, OpEff, Efficiency; and task metrics.

Every score lies between 0 and 1 and says what both mean. Times and rates are scored as a reference
over the actual value, at most 1. The reference is what the same agents would take if each call were
alone on an engine of its own with a perfect cache (`bounds`), unless a target is given.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import msgspec

from agentsim.billing import Terms, bill_of
from agentsim.domain.config import Config
from agentsim.domain.records import Run
from agentsim.domain.tally import Tally
from agentsim.domain.trace import Trace
from agentsim.domain.units import NS_PER_S
from agentsim.errors import ConfigError, UnknownName
from agentsim.machine.system import System
from agentsim.report.bill import Bill
from agentsim.report.document import package_version
from agentsim.report.figures import Quantiles
from agentsim.report.metrics import METRICS, Sample, served_chunks, served_total
from agentsim.report.summary import SHARES
from agentsim.report.where import IDLE, gpu_time
from agentsim.simulator import fit_trace, simulate
from agentsim.study.bounds import with_perfect_cache
from agentsim.study.outcomes import TaskScores, outcomes_of, task_scores
from agentsim.study.score_document import Part, Reported, Scores, Sum
from agentsim.study.toggles import Plan
from agentsim.study.weights import Weights, default_weights

#: What can be given as a target, with its unit.
TARGETS = {"latency": "s", "throughput": "token/s", "cost": "$/session"}
_REFERENCE = "each call alone with a perfect cache"
NO_OUTCOMES = "the trace carries no outcomes"


@dataclass(frozen=True, slots=True)
class Grading:
    """How a run is scored.

    Attributes
    ----------
    targets : mapping of str to float
        By the names of `TARGETS`; they replace references.
    max_interventions : int
        Of a session, at which OpEff is 0.
    """

    weights: Weights = field(default_factory=default_weights)
    targets: Mapping[str, float] = field(default_factory=dict)
    max_interventions: int = 5


def read_targets(texts: tuple[str, ...]) -> dict[str, float]:
    """Targets from ``NAME=NUMBER``.

    Raises
    ------
    ConfigError, UnknownName
    """
    found: dict[str, float] = {}
    for text in texts:
        name, _, number = text.partition("=")
        if name not in TARGETS:
            raise UnknownName("target", name, TARGETS)
        try:
            value = float(number)
        except ValueError:
            value = float("nan")
        if not 0 < value < float("inf"):
            raise ConfigError(
                f"--target {name}: expected a number > 0, in {TARGETS[name]}, got {number!r}"
            )
        found[name] = value
    return found


def score(
    trace: Trace,
    config: Config,
    system: System,
    terms: Terms,
    rules: Grading,
    *,
    progress: Callable[[int, int, int], None] | None = None,
) -> Scores:
    """Simulate a trace and score the run.

    Raises
    ------
    TraceError
        Also if an outcome is not as `outcomes.Outcome` says.
    """
    outcomes = outcomes_of(trace)
    run = simulate(trace, config, system=system, progress=progress)
    fitted = fit_trace(trace, config, system)
    bill = bill_of(run, fitted, terms, system.cost.parts)
    _, ideal = with_perfect_cache(trace, Plan(config), progress)
    task = task_scores(outcomes, rules.weights) if outcomes else None
    weights = rules.weights
    # calls too long for the model are left out before the run
    answered = _answered(run) * fitted.num_calls / trace.num_calls
    sums = [
        _sum("CompEff", weights["eff"]["comp"], _comp(run, ideal, system, rules)),
        _sum("EconEff", weights["eff"]["econ"], _econ(run, system, bill, answered, rules)),
        _sum("OpEff", weights["eff"]["op"], [_op(task, rules)]),
    ]
    known = [one for one in sums if one.score is not None and one.weight]
    weight = sum(one.weight for one in known)
    value = sum(one.weight * (one.score or 0) for one in known) / weight if weight else None
    return Scores(
        schema_version=1,
        agentsim_version=package_version(),
        efficiency=value if all(s.score is not None for s in sums if s.weight) else None,
        efficiency_known=value,
        weight_known=weight,
        sums=sums,
        task=task,
        reported=_reported(run, bill),
        weights=weights,
    )


def _comp(run: Run, ideal: Run, system: System, rules: Grading) -> list[Part]:
    weights, targets = rules.weights["comp"], rules.targets
    took = METRICS["session"].sample(run).mean()
    least = targets.get("latency", METRICS["session"].sample(ideal).mean())
    rate = METRICS["output_rate"].sample(run).mean()
    most = targets.get("throughput", METRICS["output_rate"].sample(ideal).mean())
    return [
        Part("Latency", _share(least, took), weights["lat"], "s", took, least,
             "a session never ends",
             f"a mean session takes no longer than {_source(targets, 'latency')}"),
        Part("Memory", _memory(run, system), weights["mem"], "share", _memory(run, system), 1.0,
             "no KV memory given to a call holds a token",
             "all KV memory given to calls holds tokens"),
        Part("Throughput", _share(rate, most), weights["thr"], "token/s", rate, most,
             "no output", f"as many output tokens a second as {_source(targets, 'throughput')}"),
    ]  # fmt: skip


def _econ(run: Run, system: System, bill: Bill, answered: float, rules: Grading) -> list[Part]:
    weights = rules.weights["econ"]
    own = bill.self_hosted.usd_per_session if bill.self_hosted else None
    api = bill.apis[0] if bill.apis else None
    reference = rules.targets.get("cost", api.usd_per_session if api else None)
    of_whom = "the target"
    if "cost" not in rules.targets:
        of_whom = f"its tokens at {api.model}" if api else "at an API"
    spent = gpu_time(run, system.cost.parts)
    whole = sum(spent.values())
    busy = 1 - sum(spent[kind] for kind in IDLE) / whole if whole else None
    why = "the GPU has no price" if own is None else "no API to compare with, and no target"
    return [
        Part("InferenceCost", _share(reference, own), weights["inf"], "$/session", own, reference,
             "endlessly dearer than the reference", f"a session costs no more than {of_whom}",
             why if own is None or reference is None else ""),
        Part("InfraCost", busy, weights["infra"], "share", busy, 1.0,
             "the GPUs that are paid for never work", "they never idle while the run lasts"),
        Part("ErrorCost", answered, weights["err"], "share", answered, 1.0,
             "no call is answered in full", "every call is answered in full"),
    ]  # fmt: skip


def _op(task: TaskScores | None, rules: Grading) -> Part:
    stepped_in = task.interventions if task else None
    value = None if stepped_in is None else max(0.0, 1 - stepped_in / rules.max_interventions)
    why = NO_OUTCOMES if task is None else "no outcome has interventions"
    return Part("Interventions", value, 1.0, "a session", stepped_in, None,
                f"{rules.max_interventions} or more a session", "nobody has to step in",
                why if value is None else "")  # fmt: skip


def _sum(name: str, weight: float, parts: list[Part]) -> Sum:
    parts = [
        msgspec.structs.replace(part, why=part.why or "no call was answered")
        if part.score is None
        else part
        for part in parts
    ]
    counted = [part for part in parts if part.weight]
    value = None
    if all(part.score is not None for part in counted):
        value = sum(part.weight * (part.score or 0) for part in counted)
    return Sum(name, value, weight, parts)


def _share(part: float | None, whole: float | None) -> float | None:
    """One over the other, at most 1; None where one is not known. Nothing of nothing is 1."""
    if part is None or whole is None:
        return None
    return min(1.0, part / whole) if whole else 1.0


def _source(targets: Mapping[str, float], name: str) -> str:
    return "the target" if name in targets else f"with {_REFERENCE}"


def _memory(run: Run, system: System) -> float | None:
    """Share of the KV memory given to calls that holds tokens at their end."""
    if system.contiguous is not None:
        return 1 - system.contiguous.waste
    block, held, given = system.capacity.block_size, 0, 0
    for calls in served_chunks(run, "prompt_tokens", "output_tokens"):
        tokens = calls["prompt_tokens"] + calls["output_tokens"]
        held += int(tokens.sum())
        given += int((-(-tokens // block) * block).sum())
    return held / given if given else None


def _answered(run: Run) -> float:
    """Share of the calls that were answered in full."""
    calls = done = 0
    for chunk in run.requests.chunks("status"):
        calls += len(chunk["status"])
        done += int(((chunk["status"] == "finished") | (chunk["status"] == "skipped")).sum())
    return done / calls if calls else 0.0


def _reported(run: Run, bill: Bill) -> Reported:
    prompt = served_total(run, "prompt_tokens")
    hosted = bill.self_hosted
    return Reported(
        time_to_solution=_quantiles(METRICS["session"].sample(run)),
        usd=hosted.run_usd if hosted else None,
        usd_per_session=hosted.usd_per_session if hosted else None,
        queue=_quantiles(METRICS["queue"].sample(run)),
        prefill=_quantiles(_between(run, "scheduled_ns", "first_token_ns")),
        decode=_quantiles(_between(run, "first_token_ns", "finished_ns")),
        prefix_reuse=served_total(run, "cached_tokens") / prompt if prompt else None,
    )


def _between(run: Run, start: str, end: str) -> Sample:
    tally = Tally()
    for calls in served_chunks(run, start, end):
        mask = (calls[start] >= 0) & (calls[end] >= 0)
        tally.add((calls[end] - calls[start])[mask])
    return Sample.of(tally, NS_PER_S)


def _quantiles(sample: Sample) -> Quantiles:
    return Quantiles(sample.count, sample.mean(), *sample.quantiles(SHARES))
