"""Scripted loads for the scheduler alone: no clock, only numbered scheduling calls.

Reads a scenario of the scheduler oracle and yields what the real scheduler's recordings hold, so
that every decision can be compared (``tests/oracle``).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from typing import Any

from agentsim.engine.batch import Batch
from agentsim.engine.batcher import Batcher
from agentsim.engine.rules import Rules
from agentsim.engine.sequence import Sequence
from agentsim.errors import TraceError
from agentsim.machine.blocks import BlockTable

#: keys of a scenario's configuration, in the order in which the header repeats them
CONFIG_KEYS = (
    "block_size", "num_gpu_blocks", "max_num_seqs", "max_num_batched_tokens", "max_model_len",
    "enable_prefix_caching", "enable_chunked_prefill", "long_prefill_token_threshold", "policy",
    "watermark", "scheduler_reserve_full_isl", "max_num_active_seqs", "num_speculative_tokens",
    "async_scheduling",
)  # fmt: skip

#: what a summary counts
TOTALS = (
    "steps_with_work", "last_step", "scheduled_tokens", "preemptions", "evicted_blocks",
    "cache_hit_tokens_first_schedule",
)  # fmt: skip

#: a request that ends by a stop token is allowed this many tokens more
STOP_SLACK = 64


class ScriptedDrafter:
    """Drafts as a scenario lists them."""

    def __init__(self, draft_len: list[int], accept: list[int], most: int) -> None:
        self._lengths = draft_len or [most]
        self._accepts = accept or [0]
        self._most = most
        self._proposals = 0
        self._verifications = 0

    def propose(self) -> int:
        """The next length of the list."""
        self._proposals += 1
        return min(self._lengths[(self._proposals - 1) % len(self._lengths)], self._most)

    def accept(self, num_drafts: int, position: int) -> int:
        """The next acceptance of the list."""
        self._verifications += 1
        return min(self._accepts[(self._verifications - 1) % len(self._accepts)], num_drafts)


class ScenarioRun:
    """A scenario in progress.

    Parameters
    ----------
    scenario : dict
        As `oracle/README.md` describes it.

    Raises
    ------
    TraceError
        If the scenario names unknown settings or requests.
    """

    def __init__(self, scenario: dict[str, Any]) -> None:
        config = dict(scenario.get("config", {}))
        for key in config:
            if key not in CONFIG_KEYS:
                raise TraceError(f"scenario: config.{key}: unknown setting")
        self.rules = Rules(**config)
        self.batcher = Batcher(self.rules)
        self.requests: list[dict[str, Any]] = scenario["requests"]
        self._name = scenario.get("name", "")
        self._place = {request["id"]: i for i, request in enumerate(self.requests)}
        self._due: dict[int, list[int]] = {}
        self._followers: dict[str, list[int]] = {}
        self._call = 0
        self._in_flight: list[tuple[dict[str, Any], Batch, bool]] = []
        self._announce = False
        self._left = len(self.requests)
        self._stories: dict[str, dict[str, Any]] = {}
        self._totals = dict.fromkeys(TOTALS, 0)
        for place, request in enumerate(self.requests):
            after = request.get("after")
            if after is None:
                self._due.setdefault(request["arrival_step"], []).append(place)
            elif after["request"] in self._place:
                self._followers.setdefault(after["request"], []).append(place)
            else:
                raise TraceError(
                    f"scenario: request {request['id']!r}: field 'after': "
                    f"no request {after['request']!r}"
                )

    def lines(self) -> Iterator[dict[str, Any]]:
        """Header, steps and summary."""
        config = {field.name: getattr(self.rules, field.name) for field in fields(Rules)}
        yield {
            "type": "header",
            "scenario": self._name,
            "config": {key: config[key] for key in CONFIG_KEYS},
            "usable_blocks": self.rules.usable_blocks,
        }
        depth = 1 + self.batcher.lag
        while self._left:
            if not self._in_flight and not self.batcher.has_unfinished and not self._announce:
                self._call = max(self._call, min(self._due))
            arrived = self._arrive()
            if self.batcher.has_unfinished or self._announce:
                executed = self._schedule(arrived)
                more = executed or self.batcher.has_unfinished or self._announce
                if len(self._in_flight) < depth and more:
                    continue
            yield from self._update()
        yield {"type": "summary", **self._totals, "requests": self._in_file_order()}

    def _arrive(self) -> list[str]:
        arrived: list[str] = []
        for step in sorted(step for step in self._due if step <= self._call):
            for place in sorted(self._due.pop(step)):
                request = self.requests[place]
                self.batcher.add(self._sequence(request))
                arrived.append(request["id"])
                self._stories[request["id"]] = {"arrival_step": self._call}
        return arrived

    def _sequence(self, request: dict[str, Any]) -> Sequence:
        rules = self.rules
        name, output = request["id"], request["output_len"]
        prompt = sum(length for _, length in request["prompt"])
        tip = None
        if rules.enable_prefix_caching:
            spans = [(segment, 0, length) for segment, length in request["prompt"]]
            tip = self.batcher.pool.tree.insert([*spans, (f"out:{name}", 0, output)])
        drafter = ScriptedDrafter(
            request.get("draft_len", []), request.get("accept", []), rules.num_speculative_tokens
        )
        stops = request.get("finish", "length") == "stop"
        return Sequence(
            owner=name,
            num_prompt=prompt,
            num_output=min(output, rules.max_model_len - prompt),
            max_tokens=output + STOP_SLACK * stops,
            table=BlockTable(tip),
            priority=request.get("priority", 0),
            drafter=drafter,
        )

    def _schedule(self, arrived: list[str]) -> bool:
        """One scheduling call; whether it scheduled anything."""
        batcher = self.batcher
        batch = batcher.schedule()
        items = [(i.sequence, i.num_tokens, i.computed_before) for i in batch.items]
        listed = {item.sequence for item in batch.items}
        items += [(s, 1, batcher.group.computed(s) - 1) for s in batcher.group if s not in listed]
        items.sort(key=lambda item: item[0].admission)
        line: dict[str, Any] = {
            "type": "step",
            "step": self._call,
            "arrived": arrived,
            "scheduled": {s.owner: tokens for s, tokens, _ in items},
            "computed_before": {s.owner: before for s, _, before in items},
            "new": [s.owner for s in batch.admitted if not s.preemptions],
            "resumed": [s.owner for s in batch.admitted if s.preemptions],
            "cache_hit": {
                i.sequence.owner: i.computed_before
                for i in batch.items
                if i.sequence in batch.admitted
            },
            "preempted": [s.owner for s in batch.preempted],
            "evicted_blocks": batch.evicted,
            "free_after_schedule": batcher.pool.num_free,
        }
        shown = bool(items or arrived or batch.preempted or batcher.num_waiting)
        for name in line["new"]:
            self._stories[name]["first_sched_step"] = self._call
        self._in_flight.append((line, batch, shown))
        self._announce = False
        self._call += 1
        return bool(items)

    def _update(self) -> Iterator[dict[str, Any]]:
        """Take in the oldest output, and show its line."""
        batcher = self.batcher
        line, batch, shown = self._in_flight.pop(0)
        before = {i.sequence: i.sequence.outputs for i in batch.items}
        batcher.update(batch)
        sampled = {}
        for name in line["scheduled"]:
            sampled[name] = 1
        for sequence, outputs in before.items():
            made = sequence.outputs - outputs
            sampled[sequence.owner] = made
        line["sampled"] = {name: made for name, made in sampled.items() if made}
        spec = {
            item.sequence.owner: [item.num_drafts, item.num_accepted]
            for item in batch.items
            if item.num_drafts
        }
        if spec:
            line["spec"] = {name: spec[name] for name in line["scheduled"] if name in spec}
        finished = {sequence.owner for sequence in batch.finished}
        line["finished"] = [name for name in line["scheduled"] if name in finished]
        line["free_after_step"] = batcher.pool.num_free
        line["cached_blocks"] = batcher.memory.num_cached
        line["running"] = batcher.num_running
        line["waiting"] = batcher.num_waiting
        self._tell(line, batch)
        if shown:
            self._totals["last_step"] = line["step"]
            yield line

    def _tell(self, line: dict[str, Any], batch: Batch) -> None:
        """Add a step to the totals and to the stories of its requests."""
        self._totals["steps_with_work"] += bool(line["scheduled"])
        self._totals["scheduled_tokens"] += sum(line["scheduled"].values())
        self._totals["preemptions"] += len(line["preempted"])
        self._totals["evicted_blocks"] += line["evicted_blocks"]
        self._totals["cache_hit_tokens_first_schedule"] += sum(
            line["cache_hit"][name] for name in line["new"]
        )
        for name in line["sampled"]:
            self._stories[name].setdefault("first_token_step", line["step"])
        for sequence in batch.finished:
            self._left -= 1
            self._announce = True
            name = sequence.owner
            self._stories[name] |= {
                "finish_step": line["step"],
                "preemptions": sequence.preemptions,
                "cached_tokens": sequence.cached_tokens,
                "prompt_tokens": sequence.num_prompt,
                "output_tokens": sequence.outputs,
            }
            for place in self._followers.get(name, ()):
                due = self._call + self.requests[place]["after"]["gap_steps"]
                self._due.setdefault(due, []).append(place)

    def _in_file_order(self) -> dict[str, Any]:
        return {request["id"]: self._stories[request["id"]] for request in self.requests}


def run_scenario(scenario: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The steps of a scenario, in the golden's format: a header, step lines, a summary."""
    return ScenarioRun(scenario).lines()
