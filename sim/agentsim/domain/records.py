"""What a run did: columns of requests, steps and sessions. The only thing a report reads.

Simulated and measured runs are written in the same columns, so one definition of each metric
serves both.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

Columns = dict[str, npt.NDArray[Any]]

#: name -> (dtype, unit and meaning). A row is one LLM call.
REQUEST_COLUMNS: dict[str, tuple[str, str]] = {
    "session": ("str", "session id; a run of it again has #2, #3 ... appended"),
    "agent": ("str", "agent of the session: main or a sub-agent"),
    "call": ("str", "call id, unique in the session"),
    "slot": ("int64", "which of the agents at work ran the session"),
    "replica": ("int64", "engine that served it"),
    "status": (
        "str",
        "finished; skipped (no prompt); cut (max_model_len); too-long (session ended)",
    ),
    "delay_ns": ("int64", "wait before the submission: tool, client or human"),
    "submitted_ns": ("int64", "submission to the server"),
    "scheduled_ns": ("int64", "start of the first step that computed any of it"),
    "first_token_ns": ("int64", "first output token; -1 where there is none"),
    "finished_ns": ("int64", "answered in full"),
    "prompt_tokens": ("int64", "prompt as served, cached part included"),
    "cached_tokens": ("int64", "prompt tokens found in the prefix cache at the first admission"),
    "output_tokens": ("int64", "output tokens made"),
    "preemptions": ("int64", "times it lost its blocks"),
    "recomputed_tokens": ("int64", "tokens computed again after preemptions"),
    "recovering_ns": ("int64", "from losing its blocks until it was as far as before, summed"),
    "drafted_tokens": ("int64", "draft tokens verified"),
    "accepted_tokens": ("int64", "draft tokens accepted"),
    "verifications": ("int64", "steps that verified drafts of it"),
}

#: A row is one step (forward pass) of one replica.
STEP_COLUMNS: dict[str, tuple[str, str]] = {
    "replica": ("int64", "engine"),
    "step": ("int64", "number of the step on its replica, from 0"),
    "start_ns": ("int64", "start of its execution"),
    "end_ns": ("int64", "end of its execution: the time of its tokens"),
    "num_tokens": ("int64", "tokens computed"),
    "num_seqs": ("int64", "sequences in the batch"),
    "num_sampled": ("int64", "rows of the LM head"),
    "prefill_tokens": ("int64", "of num_tokens: prefill, recomputation included"),
    "prefill_pairs": ("int64", "query-key pairs of the chunks"),
    "prefill_context": ("int64", "context tokens of the chunks"),
    "decode_context": ("int64", "context tokens of the decoding sequences"),
    "window_pairs": ("int64", "prefill_pairs within the sliding window"),
    "window_prefill_context": ("int64", "prefill_context within the sliding window"),
    "window_decode_context": ("int64", "decode_context within the sliding window"),
    "num_drafts": ("int64", "draft tokens verified"),
    "recomputed_tokens": ("int64", "of num_tokens: computed before and lost to a preemption"),
    "new_tokens": ("int64", "output tokens delivered at its end"),
    "running": ("int64", "requests admitted, after scheduling"),
    "waiting": ("int64", "requests in the queue, after scheduling"),
    "used_blocks": ("int64", "KV blocks in use, after scheduling"),
    "evicted_blocks": ("int64", "cached blocks that lost their content to an allocation"),
    "preempted": ("int64", "requests preempted"),
}

#: A row is one session run by one agent.
SESSION_COLUMNS: dict[str, tuple[str, str]] = {
    "session": ("str", "session id; a run of it again has #2, #3 ... appended"),
    "slot": ("int64", "which of the agents at work ran it"),
    "started_ns": ("int64", "when it began (its first wait included)"),
    "finished_ns": ("int64", "when its last call was answered"),
    "num_calls": ("int64", "calls served"),
    "served_ns": ("int64", "time with at least one call at the server"),
    "waited_ns": ("int64", "time with none: tools, client, human"),
}


@dataclass(frozen=True, slots=True)
class Run:
    """One simulated (or measured) run.

    Attributes
    ----------
    requests, steps, sessions : dict of str to ndarray
        Columns as `REQUEST_COLUMNS`, `STEP_COLUMNS`, `SESSION_COLUMNS` name them. `steps` may be
        empty for a measured run.
    config : dict
        The whole configuration of the run, plain data.
    facts : dict
        What was derived: KV capacity (``num_gpu_blocks``, ``block_size``, ``kv_log`` lines, ...),
        totals, versions.
    assumptions : tuple of dict
        One for each assumption: ``name``, ``value``, ``kind`` (measured, fitted, datasheet,
        assumed), ``source``.
    notes : dict of str to int
        Repairs and losses, each with a count (calls skipped, prompts truncated ...).
    """

    requests: Columns
    steps: Columns
    sessions: Columns
    config: dict[str, Any] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    assumptions: tuple[dict[str, Any], ...] = ()
    notes: dict[str, int] = field(default_factory=dict)

    @property
    def makespan_ns(self) -> int:
        """From the start of the run to the last answer."""
        ends = self.sessions["finished_ns"] if len(self.sessions["finished_ns"]) else np.zeros(1)
        return int(ends.max())
