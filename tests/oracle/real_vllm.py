"""Runs a scenario on the real vLLM scheduler, with a script in place of the model.

The classes that decide (`Scheduler` or `AsyncScheduler`, `KVCacheManager`, `BlockPool`) are vLLM's
own. Three things are ours: what the model samples (`Script`), the engine's loop around the
scheduler (`Engine`, after `step` and `step_with_batch_queue` of vLLM's v1/engine/core.py), and the
lines that tell what happened. Start reading at `run`.

vLLM is imported at the first call, not by this module, and nothing of agentsim is imported at all:
so this file also runs alone, in another interpreter that has vLLM (0.32.0).

    python real_vllm.py SCENARIO.json    prints the golden's JSON lines
    python real_vllm.py --serve          answers each scenario, a line of stdin, by a line
                                         {"lines": [...]} or {"error": "..."}
"""

import copy
import functools
import importlib
import json
import logging
import sys
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

Json = dict[str, Any]

DEFAULTS: Json = {
    "block_size": 16,
    "num_gpu_blocks": 1024,
    "max_num_seqs": 128,
    "max_num_batched_tokens": 2048,
    "max_model_len": 8192,
    "enable_prefix_caching": True,
    "enable_chunked_prefill": True,
    "long_prefill_token_threshold": 0,
    "policy": "fcfs",
    "watermark": 0.0,
    "scheduler_reserve_full_isl": True,
    "max_num_active_seqs": None,
    "num_speculative_tokens": 0,
    "async_scheduling": False,
}

MAX_CALLS = 100_000
"""Schedule calls after which a scenario is taken to have no end."""

STOP_SLACK = 64
"""How far `max_tokens` lies beyond the stop token of a request that ends by one."""

PLACEHOLDER = -1
"""vLLM's token id for the drafts with which it pads a request: the model never sees them."""

NEEDED = {
    "AsyncScheduler": "vllm.v1.core.sched.async_scheduler",
    "CacheConfig": "vllm.config",
    "DraftTokenIds": "vllm.v1.outputs",
    "FullAttentionSpec": "vllm.v1.kv_cache_interface",
    "KVCacheConfig": "vllm.v1.kv_cache_interface",
    "KVCacheGroupSpec": "vllm.v1.kv_cache_interface",
    "ModelRunnerOutput": "vllm.v1.outputs",
    "Request": "vllm.v1.request",
    "SamplingParams": "vllm.sampling_params",
    "Scheduler": "vllm.v1.core.sched.scheduler",
    "SchedulerConfig": "vllm.config",
    "SpeculativeConfig": "vllm.config",
    "VllmConfig": "vllm.config",
    "__version__": "vllm",
    "float32": "torch",
    "get_request_block_hasher": "vllm.v1.core.kv_cache_utils",
    "init_none_hash": "vllm.v1.core.kv_cache_utils",
    "sha256": "vllm.utils.hashing",
}
"""The names used here and the modules that hold them."""


def run(scenario: Json, max_calls: int = MAX_CALLS) -> list[Json]:
    """Lines of the golden of a scenario: header, steps, summary.

    Parameters
    ----------
    scenario : dict
        As read from a scenario file.
    max_calls : int
        Schedule calls after which to give up.

    Returns
    -------
    list of dict
        One for each line, in order.

    Raises
    ------
    ValueError
        If vLLM would refuse the configuration or a request.
    RuntimeError
        If the scenario is not over after `max_calls` calls.
    """
    unknown = set(scenario["config"]) - set(DEFAULTS)
    if unknown:
        raise ValueError(f"unknown config keys {sorted(unknown)!r}")
    config = DEFAULTS | scenario["config"]
    engine = Engine(config, scenario["requests"])
    steps = list(engine.steps(max_calls))
    header = {
        "type": "header",
        "scenario": scenario["name"],
        "vllm": _vllm().__version__,
        "config": config,
        "usable_blocks": config["num_gpu_blocks"] - 1,
    }
    hits = (story["cached_tokens"] for story in engine.stories.values())
    summary = {
        "type": "summary",
        "steps_with_work": sum(bool(line["scheduled"]) for line in steps),
        "last_step": steps[-1]["step"],
        "scheduled_tokens": sum(sum(line["scheduled"].values()) for line in steps),
        "preemptions": sum(len(line["preempted"]) for line in steps),
        "evicted_blocks": sum(line["evicted_blocks"] for line in steps),
        "cache_hit_tokens_first_schedule": sum(hits),
        "requests": {name: engine.stories[name] for name in engine.specs},
    }
    return [header, *steps, summary]


@dataclass
class Script:
    """What the model samples and drafts for one request."""

    first_token: int
    draft_lens: list[int]
    accepts: list[int]
    num_proposals: int = 0
    num_verifications: int = 0

    def accept(self, drafts: list[int]) -> int:
        """Verify drafts; how many of them the model keeps."""
        if drafts[0] == PLACEHOLDER:
            return 0
        accepted = self.accepts[self.num_verifications % len(self.accepts)]
        self.num_verifications += 1
        return min(accepted, len(drafts))

    def draft(self, most: int) -> list[int]:
        """Propose drafts; which tokens they are never matters."""
        length = self.draft_lens[self.num_proposals % len(self.draft_lens)]
        self.num_proposals += 1
        return [0] * min(length, most)


class Engine:
    """vLLM's engine core: adds what arrived, calls the scheduler, hands it the model's output.

    Attributes
    ----------
    specs : dict
        The requests of the scenario by id, in the order of the file.
    stories : dict
        What the summary says of each request that has arrived.
    """

    def __init__(self, config: Json, requests: list[Json]) -> None:
        self.config = config
        self.scheduler = _make_scheduler(config)
        self.pool = self.scheduler.kv_cache_manager.block_pool
        self.specs = {spec["id"]: spec for spec in requests}
        self.place = {name: place for place, name in enumerate(self.specs)}
        self.due = {spec["id"]: spec["arrival_step"] for spec in requests if "after" not in spec}
        self.followers: dict[str, list[Json]] = {}
        for spec in requests:
            if "after" in spec:
                self.followers.setdefault(spec["after"]["request"], []).append(spec)
        self.segments: dict[str, int] = {}
        self.scripts: dict[str, Script] = {}
        self.stories: dict[str, Json] = {}
        self._watch()

    def _watch(self) -> None:
        """Note evictions and preemptions, which the scheduler's output does not tell (in order)."""
        self.num_evicted = 0
        self.preempted: list[str] = []
        evict, preempt = self.pool._maybe_evict_cached_block, self.scheduler._preempt_request

        def watched_evict(block: Any) -> bool:
            is_evicted: bool = evict(block)
            self.num_evicted += is_evicted
            return is_evicted

        def watched_preempt(request: Any, *args: Any, **kwargs: Any) -> None:
            self.preempted.append(request.request_id)
            preempt(request, *args, **kwargs)

        self.pool._maybe_evict_cached_block = watched_evict
        self.scheduler._preempt_request = watched_preempt

    def steps(self, max_calls: int) -> Iterator[Json]:
        """Run to the end of the last request; the line of each call that has one."""
        depth = 2 if self.config["async_scheduling"] else 1
        in_flight: deque[tuple[Json, Any, bool]] = deque()
        call = num_calls = 0
        while self.due or self.scheduler.has_unfinished_requests():
            if not self.scheduler.has_requests() and not in_flight:
                call = max(call, min(self.due.values()))
            arrived = self._add_arrivals(call)
            if self.scheduler.has_requests():
                num_calls += 1
                if num_calls > max_calls:
                    raise RuntimeError(f"no end after {max_calls} schedule calls, it may have none")
                in_flight.append(self._schedule(call, arrived))
                call += 1
                if len(in_flight) < depth:
                    continue
            line, output, is_shown = in_flight.popleft()
            self._update(line, output, next_call=call)
            if is_shown:
                yield line

    def _add_arrivals(self, call: int) -> list[str]:
        arrived = [name for name, due in self.due.items() if due <= call]
        arrived.sort(key=lambda name: (self.due[name], self.place[name]))
        for name in arrived:
            del self.due[name]
            self._add(self.specs[name], call)
        return arrived

    def _add(self, spec: Json, call: int) -> None:
        name, most = spec["id"], self.config["num_speculative_tokens"]
        prompt = [
            self._first_token(segment) + offset
            for segment, length in spec["prompt"]
            for offset in range(length)
        ]
        if not 0 < len(prompt) < self.config["max_model_len"]:
            raise ValueError(f"request {name!r}: vLLM takes no prompt of {len(prompt)} tokens")
        first_token = self._first_token(f"out:{name}")
        self.scripts[name] = Script(
            first_token, spec.get("draft_len", [most]), spec.get("accept", [0])
        )
        arrival_time = float(len(self.stories))
        self.scheduler.add_request(
            _make_request(self.config, spec, prompt, first_token, arrival_time)
        )
        self.stories[name] = {
            "arrival_step": call,
            "first_sched_step": None,
            "first_token_step": None,
            "finish_step": None,
            "preemptions": 0,
            "cached_tokens": 0,
            "prompt_tokens": len(prompt),
            "output_tokens": 0,
        }

    def _first_token(self, segment: str) -> int:
        """Id of the token at offset 0 of a segment; the others follow it."""
        return self.segments.setdefault(segment, len(self.segments)) << 24

    def _schedule(self, call: int, arrived: list[str]) -> tuple[Json, Any, bool]:
        """One call: the first half of its line, the scheduler's output, whether it is shown."""
        self.num_evicted, self.preempted = 0, []
        was_running = {request.request_id for request in self.scheduler.running}
        output = self.scheduler.schedule()
        scheduled = output.num_scheduled_tokens
        requests = {name: self.scheduler.requests[name] for name in scheduled}
        before = {name: requests[name].num_computed_tokens - scheduled[name] for name in scheduled}
        admitted = [name for name in scheduled if name not in was_running]
        new = [name for name in admitted if not requests[name].num_preemptions]
        for name in new:
            self.stories[name] |= {"first_sched_step": call, "cached_tokens": before[name]}
        for name in self.preempted:
            self.stories[name]["preemptions"] += 1
        line = {
            "type": "step",
            "step": call,
            "arrived": arrived,
            "scheduled": dict(scheduled),
            "computed_before": before,
            "new": new,
            "resumed": [name for name in admitted if name not in new],
            "cache_hit": {name: before[name] for name in admitted},
            "preempted": self.preempted,
            "evicted_blocks": self.num_evicted,
            "free_after_schedule": self.pool.get_num_free_blocks(),
        }
        # Whether a request samples must be asked now: the next call may change its state.
        output.samples = {name for name in scheduled if not requests[name].is_prefill_chunk}
        _, num_waiting = self.scheduler.get_request_counts()
        return line, output, bool(scheduled or arrived or self.preempted or num_waiting)

    def _update(self, line: Json, output: Any, next_call: int) -> None:
        """Process the output of a step, which completes its line."""
        drafts = output.scheduled_spec_decode_tokens
        accepted = {name: self.scripts[name].accept(drafts[name]) for name in drafts}
        names = list(output.num_scheduled_tokens)
        sampled = [
            self._sample(name, accepted.get(name, 0)) if name in output.samples else []
            for name in names
        ]
        results = self.scheduler.update_from_output(output, _model_output(names, sampled))
        if self.config["num_speculative_tokens"]:
            self._propose(names, output.samples)
        outputs = [result for client in results.values() for result in client.outputs]
        line["sampled"] = {result.request_id: len(result.new_token_ids) for result in outputs}
        if drafts:
            line["spec"] = {name: [len(drafts[name]), accepted[name]] for name in drafts}
        line["finished"] = [
            result.request_id for result in outputs if result.finish_reason is not None
        ]
        line["free_after_step"] = self.pool.get_num_free_blocks()
        line["cached_blocks"] = len(self.pool.cached_block_hash_to_block)
        line["running"], line["waiting"] = self.scheduler.get_request_counts()
        self._tell(line, next_call)

    def _sample(self, name: str, accepted: int) -> list[int]:
        request = self.scheduler.requests.get(name)
        if request is None:
            # It ended while this step was in flight: vLLM throws away what the step gave.
            return [0]
        first = self.scripts[name].first_token + request.num_output_tokens
        return list(range(first, first + accepted + 1))

    def _propose(self, names: list[str], samples: set[str]) -> None:
        most = self.config["num_speculative_tokens"]
        drafts = [self.scripts[name].draft(most) if name in samples else [] for name in names]
        self.scheduler.update_draft_token_ids(_vllm().DraftTokenIds(names, drafts))

    def _tell(self, line: Json, next_call: int) -> None:
        """Add a step to the stories of its requests, and call those who wait for an end."""
        for name, count in line["sampled"].items():
            story = self.stories[name]
            story["output_tokens"] += count
            if story["first_token_step"] is None:
                story["first_token_step"] = line["step"]
        for name in line["finished"]:
            self.stories[name]["finish_step"] = line["step"]
            for spec in self.followers.get(name, ()):
                self.due[spec["id"]] = next_call + spec["after"]["gap_steps"]


@functools.cache
def _vllm() -> SimpleNamespace:
    """The names of `NEEDED`, imported once, and vLLM's default configuration."""
    logging.getLogger("vllm").setLevel(logging.ERROR)
    names = {name: getattr(importlib.import_module(where), name) for name, where in NEEDED.items()}
    vllm = SimpleNamespace(**names)
    vllm.init_none_hash(vllm.sha256)
    vllm.default_config = vllm.VllmConfig()
    return vllm


def _make_scheduler(config: Json) -> Any:
    """The real scheduler of a configuration, over one group of full-attention layers."""
    block_size, num_blocks = config["block_size"], config["num_gpu_blocks"]
    num_drafts = config["num_speculative_tokens"]
    if config["async_scheduling"] and num_drafts:
        raise ValueError("vLLM has no async scheduling with n-gram speculation")
    if (num_blocks - 1) * block_size < config["max_model_len"]:
        raise ValueError("vLLM does not start: a request of max_model_len does not fit the pool")
    vllm = _vllm()
    whole = copy.copy(vllm.default_config)
    whole.cache_config = vllm.CacheConfig(
        block_size=block_size, enable_prefix_caching=config["enable_prefix_caching"]
    )
    whole.cache_config.num_gpu_blocks = num_blocks
    not_of_scheduler = {
        "block_size", "num_gpu_blocks", "enable_prefix_caching", "num_speculative_tokens"
    }  # fmt: skip
    whole.scheduler_config = vllm.SchedulerConfig(
        is_encoder_decoder=False,
        **{key: value for key, value in config.items() if key not in not_of_scheduler},
    )
    if num_drafts:
        whole.speculative_config = vllm.SpeculativeConfig(
            method="ngram", num_speculative_tokens=num_drafts, prompt_lookup_max=4
        )
    whole.model_config = SimpleNamespace(
        max_model_len=config["max_model_len"],
        runner_type="generate",
        is_diffusion=False,
        is_encoder_decoder=False,
        multimodal_config=None,
        return_sampling_mask=False,
        supports_multimodal_inputs=False,
        uses_mrope=False,
    )
    layer = vllm.FullAttentionSpec(
        block_size=block_size, num_kv_heads=1, head_size=1, dtype=vllm.float32
    )
    scheduler_class = vllm.AsyncScheduler if config["async_scheduling"] else vllm.Scheduler
    return scheduler_class(
        vllm_config=whole,
        kv_cache_config=vllm.KVCacheConfig(
            num_blocks=num_blocks,
            kv_cache_tensors=[],
            kv_cache_groups=[vllm.KVCacheGroupSpec(["layer"], layer)],
        ),
        structured_output_manager=SimpleNamespace(
            accept_tokens=lambda request, tokens: True,
            validate_tokens=lambda request, tokens: tokens,
        ),
        block_size=block_size,
    )


def _make_request(
    config: Json, spec: Json, prompt: list[int], first_token: int, arrival_time: float
) -> Any:
    vllm = _vllm()
    params = vllm.SamplingParams(max_tokens=spec["output_len"])
    if spec.get("finish", "length") == "stop":
        params = vllm.SamplingParams(
            max_tokens=spec["output_len"] + STOP_SLACK,
            stop_token_ids=[first_token + spec["output_len"] - 1],
        )
    hasher = None
    if config["enable_prefix_caching"]:
        hasher = vllm.get_request_block_hasher(config["block_size"], vllm.sha256)
    return vllm.Request(
        request_id=spec["id"],
        prompt_token_ids=prompt,
        sampling_params=params,
        pooling_params=None,
        arrival_time=arrival_time,
        priority=spec.get("priority", 0),
        block_hasher=hasher,
    )


def _model_output(names: list[str], sampled: list[list[int]]) -> Any:
    return _vllm().ModelRunnerOutput(
        req_ids=names,
        req_id_to_index={name: index for index, name in enumerate(names)},
        sampled_token_ids=sampled,
    )


def _serve() -> None:
    for text in sys.stdin:
        try:
            answer: Json = {"lines": run(json.loads(text))}
        except (AssertionError, RuntimeError, ValueError) as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer, separators=(",", ":")), flush=True)


def main(arguments: list[str]) -> None:
    """Print the lines of the named scenario file, or serve."""
    if arguments == ["--serve"]:
        _serve()
        return
    (path,) = arguments
    for line in run(json.loads(Path(path).read_text(encoding="utf-8"))):
        print(json.dumps(line, separators=(",", ":")))


if __name__ == "__main__":
    main(sys.argv[1:])
