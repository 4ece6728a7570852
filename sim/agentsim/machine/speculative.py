"""Steps that verify drafts and propose the next: `SpeculativeCost`, made by `propose_with`.

A step verifies first (the target's roofline, of all the tokens a verification computes), then
proposes (`agentsim.machine.proposal`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from agentsim.domain.batch import BatchShape
from agentsim.domain.config import CostConfig
from agentsim.domain.specs import GpuSpec, ModelSpec
from agentsim.domain.speculation import MATCHING, SpeculationConfig
from agentsim.machine.coefficients import Coefficients, Execution, work_out
from agentsim.machine.drafting import HEADS, DraftPlan, medusa_head_params
from agentsim.machine.factors import resolve_factors
from agentsim.machine.proposal import Matching, MedusaHeads, Nothing, Passes, Proposal
from agentsim.machine.roofline import FloatArray, IntArray, Roofline

#: CPU seconds of n-gram matching: each step, each sequence, each token of its context. The matcher
#: of vLLM 0.32 (v1/spec_decode/ngram_proposer.py, numba 0.68, one thread) on a Xeon core took 11 to
#: 33 us for one sequence of 1,000 to 30,000 tokens, 830 us for 32 of 30,000.
MATCHING_S = {"match_step_s": 1e-5, "match_sequence_s": 1e-6, "match_token_s": 9e-10}
#: Seconds of each pass of a drafter beside its kernels (metadata, argmax, copies). Assumed: a third
#: of what `step_overhead_s` says for a whole step.
PASS_OVERHEAD_S = 2e-4

_MATCHED = (
    "the n-gram matcher of vLLM 0.32 (numba, one thread) on a Xeon core; the V2 runner matches on "
    "the GPU, which takes as little"
)


class SpeculativeCost:
    """Durations of steps that verify drafts and propose the next.

    Parameters
    ----------
    verification : Roofline
        Of the target, with steps of `plan.verified_tokens` a sequence.
    proposal : Proposal
    plan : DraftPlan
    factors : sequence of dict
        The numbers of the proposal, as in `Roofline.factors`.
    """

    def __init__(
        self,
        verification: Roofline,
        proposal: Proposal,
        plan: DraftPlan,
        factors: tuple[dict[str, Any], ...] = (),
    ) -> None:
        self._verification = verification
        self._proposal = proposal
        self._plan = plan
        self._factors = factors

    def without_proposal(self) -> SpeculativeCost:
        """The same if proposing took no time."""
        return SpeculativeCost(self._verification, Nothing(), self._plan)

    def changed(self, change: Callable[[Coefficients], Coefficients]) -> SpeculativeCost:
        """The same with other coefficients of the verification."""
        verification = self._verification.changed(change)
        return SpeculativeCost(verification, self._proposal, self._plan, self._factors)

    def step_ns(self, shape: BatchShape) -> int:
        """Duration of a step of this batch in nanoseconds, at least 1."""
        verifying = -(-shape.num_drafts // self._plan.num_drafts)
        verified = shape._replace(
            num_tokens=shape.num_tokens + verifying * self._plan.extra_tokens,
            num_sampled=shape.num_sampled + verifying * self._plan.extra_rows,
        )
        gpu, cpu = self._verification.sides_ns(verified)
        more_gpu, more_cpu = self._proposal.sides_ns(shape)
        gpu, cpu = gpu + more_gpu, cpu + more_cpu
        total = max(gpu, cpu) if self._verification.coefficients.hides_cpu else gpu + cpu
        return max(1, round(total))

    def decode_steps_ns(self, shape: BatchShape, num_steps: int, window_growth: int) -> IntArray:
        """Durations of the next steps of a batch that decodes; see `Roofline.decode_steps_ns`."""
        durations = [
            self.step_ns(
                shape._replace(
                    decode_context=shape.decode_context + i * shape.num_seqs,
                    window_decode_context=shape.window_decode_context + i * window_growth,
                )
            )
            for i in range(num_steps)
        ]
        return np.array(durations, dtype=np.int64)

    def parts(self, columns: dict[str, npt.NDArray[Any]]) -> dict[str, FloatArray]:
        """Seconds of each step by cause and purpose, as `Roofline.parts`.

        ``proposal`` is one more cause. On the GPU it counts as prefill and decode by tokens, on the
        CPU as overhead.
        """
        plan = self._plan
        verifying = -(-columns["num_drafts"] // plan.num_drafts)
        verified = {
            **{name: columns[name] for name in BatchShape._fields},
            "num_tokens": columns["num_tokens"] + verifying * plan.extra_tokens,
            "num_sampled": columns["num_sampled"] + verifying * plan.extra_rows,
        }
        more = self._proposal.parts(columns)
        parts = self._verification.parts(verified, more["gpu"], more["cpu"])
        gpu, cpu = more["gpu"] * 1e-9, more["cpu"] * 1e-9
        share = columns["prefill_tokens"] / np.maximum(columns["num_tokens"], 1.0)
        parts["proposal"] = gpu + cpu
        parts["prefill_s"] = parts["prefill_s"] + share * gpu
        parts["decode_s"] = parts["decode_s"] + (1.0 - share) * gpu
        parts["overhead_s"] = parts["overhead_s"] + cpu
        whole = parts["prefill_s"] + parts["decode_s"] + parts["overhead_s"]
        for name in ("compute", "memory"):
            busy = parts[f"{name}_s"] + more[name] * 1e-9
            parts[f"{name}_s"] = np.minimum(busy, whole)
        return parts

    def factors(self) -> list[dict[str, Any]]:
        """Every number the model uses: name, value, unit, kind, source."""
        return [*self._verification.factors(), *self._factors]


def propose_with(
    plan: DraftPlan,
    given: SpeculationConfig,
    verification: Roofline,
    *,
    gpu: GpuSpec,
    target: ModelSpec,
    execution: Execution,
    cost: CostConfig,
) -> SpeculativeCost:
    """The step times of a target that verifies what a plan's drafter proposes.

    Parameters
    ----------
    verification : Roofline
        Of the target, with `execution`.
    cost : CostConfig
        Factors that replace the defaults, for the drafter too.
    """
    if plan.method == "lookahead":
        return SpeculativeCost(verification, Nothing(), plan)
    if plan.method in MATCHING:
        numbers = [
            _number(given, name, value, "measured", _MATCHED) for name, value in MATCHING_S.items()
        ]
        matching = Matching(*(seconds * 1e9 for seconds, _ in numbers))
        return SpeculativeCost(verification, matching, plan, tuple(row for _, row in numbers))
    source = "a third of step_overhead_s"
    overhead, row = _number(given, "pass_overhead_s", PASS_OVERHEAD_S, "assumed", source)
    proposal: Proposal
    if plan.model is None:
        proposal = _medusa(plan, target, verification.coefficients, overhead * 1e9)
    else:
        whole = (execution.decode_tokens, 1) if plan.method in HEADS else (0, 0)
        sizes = execution.capture_sizes
        if plan.method == "draft_model" and not given.heterogeneous_vocab:
            sizes = ()
        factors = resolve_factors(gpu, plan.model, cost)
        first, later = (
            _drafter(
                work_out(
                    gpu,
                    plan.model,
                    factors,
                    replace(execution, capture_sizes=sizes, decode_tokens=tokens),
                ),
                overhead * 1e9,
            )
            for tokens in whole
        )
        extra = 0 if plan.method in HEADS else 1
        proposal = Passes(first, later, plan.num_drafts, extra)
    return SpeculativeCost(verification, proposal, plan, (row,))


def _medusa(
    plan: DraftPlan, target: ModelSpec, whole: Coefficients, overhead_ns: float
) -> MedusaHeads:
    scale = medusa_head_params(target) / target.lm_head_params
    return MedusaHeads(
        num_heads=plan.num_drafts,
        memory=whole.head_memory * scale,
        compute=whole.head_compute * scale,
        exposed=whole.exposed,
        row=whole.row,
        fixed=overhead_ns,
    )


def _drafter(coefficients: Coefficients, overhead_ns: float) -> Roofline:
    """The passes of a drafter: no scheduling of their own, less to prepare than a whole step."""
    own = replace(
        coefficients,
        step=overhead_ns,
        sequence=0.0,
        cpu_step=0.0,
        cpu_sequence=0.0,
        hides_cpu=True,
    )
    return Roofline(own)


def _number(
    given: SpeculationConfig, name: str, default: float, kind: str, source: str
) -> tuple[float, dict[str, Any]]:
    """A number of the proposal, and its row among the factors."""
    value = getattr(given, name)
    if value is not None:
        default, kind, source = value, "assumed", f"given as speculation.{name}"
    row = {"name": f"speculation.{name}", "value": default, "unit": "s", "kind": kind}
    return default, {**row, "source": source}
