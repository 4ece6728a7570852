"""The same run if no call ever met another: `run_alone`, and if calls took no time at all.

Every call takes what it takes alone on an engine of its own, from the cost model, with the cache
hits that a run found; agents wait, branch, join and take the next session as in the simulation.
Later answers never make anything earlier here, so what is sooner for each call is sooner for all.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from agentsim.domain.batch import BatchShape
from agentsim.domain.config import Config
from agentsim.domain.records import Run
from agentsim.domain.table import Table
from agentsim.domain.trace import Session, Trace
from agentsim.domain.units import seconds_to_ns
from agentsim.engine.batch import window_pairs
from agentsim.engine.rules import Rules
from agentsim.errors import InvariantBroken
from agentsim.machine.system import System
from agentsim.report.metrics import AT_SERVER, IntArray
from agentsim.simulator import rules_of


class Service(NamedTuple):
    """How long each request of a run takes from its client's send, in nanoseconds."""

    first_token_ns: IntArray
    answer_ns: IntArray


def alone(system: System, requests: Mapping[str, Any]) -> Service:
    """What each request takes on an idle engine.

    Parameters
    ----------
    requests : mapping of str to ndarray
        Columns of a run's requests: prompt, cached, output, accepted and drafted tokens, status.
    """
    names = ("prompt_tokens", "cached_tokens", "output_tokens", "accepted_tokens")
    rules, found = rules_of(system), []
    for prompt, cached, output, accepted, status in zip(
        *(requests[name].tolist() for name in names), requests["status"].tolist(), strict=True
    ):
        if status not in AT_SERVER:
            found.append((0, 0))
            continue
        first_ns = system.api.inbound_ns(prompt) + _prefill_ns(system, rules, prompt, cached)
        decode_ns = _decode_ns(system, rules, prompt, max(0, output - 1), accepted)
        stream_ns = system.api.stream_ns
        found.append((first_ns + stream_ns, first_ns + decode_ns + stream_ns))
    columns = np.array(found, np.int64).reshape(-1, 2)
    return Service(columns[:, 0], columns[:, 1])


def no_service(run: Run) -> Service:
    """Calls that take no time."""
    nothing = np.zeros(run.requests.num_rows, np.int64)
    return Service(nothing, nothing)


def run_alone(run: Run, trace: Trace, config: Config, service: Service) -> Run:
    """A run in which each call takes what `service` says; it has no steps.

    Parameters
    ----------
    run : Run
        Whose waits and arrivals are taken.
    trace : Trace
        As it was run: after `simulator.fit_trace`.
    """
    requests, sessions = run.requests.columns(), run.sessions.columns()
    took = requests["finished_ns"] - requests["submitted_ns"]
    gave_up = requests["status"] == "timeout"
    answer = np.where(gave_up, np.minimum(service.answer_ns, took), service.answer_ns)
    first = np.minimum(service.first_token_ns, answer)
    rows: dict[str, dict[str, int]] = {}
    for row, (name, call) in enumerate(
        zip(requests["session"].tolist(), requests["call"].tolist(), strict=True)
    ):
        rows.setdefault(name, {})[call] = row
    submitted = np.zeros(len(took), np.int64)
    lasts, delays = answer.tolist(), requests["delay_ns"].tolist()
    is_recorded = config.agents.arrival == "recorded"

    def end_ns(name: str, session: Session, start_ns: int) -> int:
        """Let a session run from its start, and say when it ends."""
        mine = rows.get(name, {})
        ends: dict[str, int] = {}
        for call in session.calls:
            if call.id not in mine:
                continue
            row = mine[call.id]
            at_ns = max((ends[base] for base in call.after if base in ends), default=start_ns)
            if is_recorded and call.at_ns is not None:
                at_ns = max(at_ns, start_ns + call.at_ns)
            else:
                at_ns += delays[row]
            submitted[row], ends[call.id] = at_ns, at_ns + lasts[row]
        return max(ends.values(), default=start_ns)

    places = {name: place for place, name in enumerate(sessions["session"].tolist())}
    started = sessions["started_ns"].copy()
    finished = sessions["finished_ns"].copy()
    free = _first_starts(config, len(trace))
    for number in range(max(len(trace), len(free))):
        session, again = trace.sessions[number % len(trace)], number // len(trace)
        name = f"{session.id}#{again + 1}" if again else session.id
        if name not in places:
            raise InvariantBroken(f"session {name} is not in the run")
        place = places[name]
        start_ns = heapq.heappop(free) if free else int(started[place])
        started[place] = start_ns
        finished[place] = end = end_ns(name, session, start_ns)
        if len(trace) > (config.agents.num_agents or len(trace)):
            heapq.heappush(free, end)
    has_token = requests["first_token_ns"] >= 0
    changed = {
        "submitted_ns": submitted,
        "scheduled_ns": submitted,
        "first_token_ns": np.where(has_token, submitted + first, -1),
        "finished_ns": submitted + answer,
    }
    facts = {name: fact for name, fact in run.facts.items() if not name.startswith("itl_")}
    return replace(
        run,
        requests=Table.of({**requests, **changed}),
        sessions=Table.of({**sessions, "started_ns": started, "finished_ns": finished}),
        steps=Table.of({name: np.zeros(0, np.int64) for name in run.steps}),
        facts=facts,
    )


def _first_starts(config: Config, num_sessions: int) -> list[int]:
    """When each agent starts, as a heap; none where sessions start at times of their own."""
    agents = config.agents
    return [seconds_to_ns(slot * agents.ramp_s) for slot in range(agents.num_agents or 0)]


def _prefill_ns(system: System, rules: Rules, prompt: int, cached: int) -> int:
    """The steps of a prompt alone, as large as the token budget lets them be."""
    window, total = system.model.window, 0
    is_whole = system.contiguous is not None or not rules.enable_chunked_prefill
    most = prompt if is_whole else rules.max_num_batched_tokens
    while cached < prompt:
        new = min(most, prompt - cached)
        context = cached + new
        seen = context if window is None else min(context, window + new - 1)
        pairs = new * cached + new * (new + 1) // 2
        shape = BatchShape(
            num_tokens=new,
            num_seqs=1,
            num_sampled=int(context == prompt),
            prefill_tokens=new,
            prefill_pairs=pairs,
            prefill_context=context,
            window_pairs=pairs if window is None else window_pairs(cached, new, window),
            window_prefill_context=seen,
        )
        if new == 1 and system.contiguous is None:  # computed as a decode is
            shape = BatchShape(
                1, 1, shape.num_sampled, decode_context=context, window_decode_context=seen
            )
        total += system.cost.step_ns(shape)
        cached = context
    return total


def _decode_ns(system: System, rules: Rules, prompt: int, outputs: int, accepted: int) -> int:
    """The decode steps alone of `outputs` tokens, of which drafts gave `accepted`."""
    if not outputs:
        return 0
    cost, context, window = system.cost, prompt + 1, system.model.window
    if drafts := rules.num_speculative_tokens:
        # at least one step for each token that was no accepted draft, none shorter than the first
        plain = BatchShape(1, 1, 1, decode_context=context, window_decode_context=context)
        verifies = plain._replace(num_tokens=1 + drafts, num_sampled=1 + drafts, num_drafts=drafts)
        if window is not None:
            plain = plain._replace(window_decode_context=min(context, window))
            verifies = verifies._replace(window_decode_context=min(context, window))
        return (outputs - accepted) * min(cost.step_ns(plain), cost.step_ns(verifies))
    growing = outputs if window is None else min(outputs, max(0, window - context))
    total = 0
    for begin, steps, growth in ((0, growing, 1), (growing, outputs - growing, 0)):
        if steps:
            at = context + begin
            seen = at if window is None else min(at, window)
            shape = BatchShape(1, 1, 1, decode_context=at, window_decode_context=seen)
            total += int(cost.decode_steps_ns(shape, steps, growth).sum())
    return total
