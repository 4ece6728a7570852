"""What a run did: columns of requests, steps and sessions. The only thing a report reads.

Simulated and measured runs are written in the same columns, so one definition of each metric
serves both. Tables may be longer than memory: go over their chunks.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy.typing as npt

from agentsim.domain.table import Table

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
        "finished; skipped (no prompt); cut (max_model_len); timeout (the client gave up); "
        "too-long (session ended)",
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


def dtypes(columns: Mapping[str, tuple[str, str]]) -> dict[str, str]:
    """Names and types of the columns of a table."""
    return {name: dtype for name, (dtype, _) in columns.items()}


class Served(NamedTuple):
    """A call at the moment it is answered; times in nanoseconds.

    `session` is the number of the session's run, `started_ns` its start; `first_token_ns` is -1
    where there is no output.
    """

    session: int
    started_ns: int
    submitted_ns: int
    first_token_ns: int
    finished_ns: int
    output_tokens: int


@dataclass(frozen=True, slots=True)
class Run:
    """One simulated (or measured) run.

    Attributes
    ----------
    requests, steps, sessions : Table
        Columns as `REQUEST_COLUMNS`, `STEP_COLUMNS`, `SESSION_COLUMNS` name them; a dict of
        columns is made into a table. A chunk of requests holds all requests of the sessions in the
        chunk of sessions with the same number. Steps of a replica are in the order of time.
        `steps` may be empty for a measured run.
    config : dict
        The whole configuration of the run, plain data.
    facts : dict
        What was derived: KV capacity (``num_gpu_blocks``, ``block_size``, ``kv_log`` lines, ...),
        totals, versions. ``interrupted`` (``calls_done``, ``calls``) of a run that was stopped.
    assumptions : tuple of dict
        One for each assumption: ``name``, ``value``, ``kind`` (measured, fitted, datasheet,
        assumed), ``source``.
    notes : dict of str to int
        Repairs and losses, each with a count (calls skipped, prompts truncated ...).
    makespan_ns : int
        From the start of the run to the last answer.
    """

    requests: Table
    steps: Table
    sessions: Table
    config: dict[str, Any] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    assumptions: tuple[dict[str, Any], ...] = ()
    notes: dict[str, int] = field(default_factory=dict)
    makespan_ns: int = field(init=False, repr=False)

    def __post_init__(self) -> None:
        for name in ("requests", "steps", "sessions"):
            table = getattr(self, name)
            if not isinstance(table, Table):
                object.__setattr__(self, name, Table.of(table))
        ends = (chunk["finished_ns"] for chunk in self.sessions.chunks("finished_ns"))
        latest = max((int(end.max()) for end in ends if len(end)), default=0)
        object.__setattr__(self, "makespan_ns", latest)

    def by_session(
        self, *names: str, where: Mapping[str, Collection[str]] | None = None
    ) -> Iterator[tuple[Columns, Columns]]:
        """Sessions, all columns, and these columns of the requests of the same sessions.

        Parameters
        ----------
        *names, where
            Of requests, as in `Table.chunks`.
        """
        if self.sessions.num_chunks != self.requests.num_chunks:  # divided by somebody else
            yield self.sessions.columns(), self.requests.columns(*names, where=where)
            return
        requests = self.requests.chunks(*names, where=where)
        yield from zip(self.sessions.chunks(), requests, strict=True)
