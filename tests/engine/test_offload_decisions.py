"""KV offloading against the real scheduler with the real connector (vLLM 0.32.0), decision by
decision; opt in with `-m vllm`, see `oracle/test_differential.py` for the environment."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agentsim.engine.batcher import Batcher
from agentsim.engine.offload import Job, Offload
from agentsim.engine.scenario import ScenarioRun
from agentsim.machine.host_memory import HostMemory
from oracle.compare import compare
from oracle.process import RealVllm, chosen_seeds, real_vllm
from oracle.scenarios_random import random_scenario

Json = dict[str, Any]

pytestmark = pytest.mark.vllm

SEEDS = chosen_seeds(os.environ.get("AGENTSIM_OFFLOAD_SEEDS", "0:200"))


class OffloadScenario(ScenarioRun):
    """A scenario whose transfers are over so many calls after they were formed."""

    def __init__(self, scenario: Json) -> None:
        super().__init__(scenario)
        self.delay = scenario["offload"]["calls"]
        self.batcher = Batcher(
            self.rules, host=HostMemory(scenario["offload"]["host_blocks"], block_ns=1.0)
        )
        assert self.batcher.offload is not None
        self.offload: Offload = self.batcher.offload
        self.jobs: list[tuple[int, Job]] = []

    def lines(self) -> Iterator[Json]:
        """As those of `ScenarioRun`, but that transfers keep the engine going."""
        plain = super().lines()
        yield next(plain)
        while self._left:
            is_busy = self.batcher.has_unfinished or self._announce or self.offload.num_jobs
            if not self._in_flight and not is_busy:
                self._call = max(self._call, min(self._due))
            arrived = self._arrive()
            if self.batcher.has_unfinished or self._announce or self.offload.num_jobs:
                self._schedule(arrived)
                if len(self._in_flight) < 1 + self.batcher.lag:
                    continue
            yield from self._update()
        yield from plain

    def _schedule(self, arrived: list[str]) -> bool:
        has_items = super()._schedule(arrived)
        due = self._call - 1 + self.delay
        self.jobs += [(due, job) for job in (*self.offload.loads, *self.offload.stores)]
        self.offload.loads.clear()
        self.offload.stores.clear()
        return has_items

    def _update(self) -> Iterator[Json]:
        call = self._in_flight[0][0]["step"]
        yield from super()._update()
        for due, job in self.jobs:
            if due <= call:
                self.offload.complete(job)
        self.jobs = [entry for entry in self.jobs if entry[0] > call]
        self.batcher.check()


@pytest.fixture(scope="module")
def vllm() -> Iterator[RealVllm]:
    """The real scheduler with its connector, or a skip that says what is missing."""
    yield from real_vllm(Path(__file__).with_name("offload_vllm.py"))


def offload_scenario(seed: int) -> Json:
    """A random scenario with prefix caching, without speculation, and with a host tier."""
    scenario = random_scenario(seed)
    rng = random.Random(f"offload {seed}")
    config = scenario["config"]
    config["enable_prefix_caching"] = True
    # vLLM loads a prompt of one token that fills a block again and again, and never runs it
    config["block_size"] = max(2, config["block_size"])
    if config.pop("num_speculative_tokens", 0):
        for request in scenario["requests"]:
            request.pop("draft_len", None)
            request.pop("accept", None)
    longest = -(-config["max_model_len"] // config["block_size"])
    host_blocks = rng.choice([1, longest // 2 + 1, longest, 2 * longest, 20 * longest])
    scenario["offload"] = {"host_blocks": host_blocks, "calls": rng.choice([0, 1, 1, 2, 3, 6])}
    return scenario


@pytest.mark.parametrize("seed", SEEDS)
def test_same_decisions_as_vllm_with_its_connector(seed: int, vllm: RealVllm) -> None:
    """Every field of every step, and the summary, are those of the real scheduler."""
    scenario = offload_scenario(seed)
    theirs = vllm.run(scenario)
    assert compare(OffloadScenario(scenario).lines(), theirs) is None
