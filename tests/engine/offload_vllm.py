"""The real scheduler with its real `OffloadingConnector`; only transfers go by a script.

A scenario says beside its configuration ``"offload": {"host_blocks": 8, "calls": 2}``: how many
blocks the host takes, and how many schedule calls after the one that formed it a transfer is over.
Like `oracle/real_vllm.py`, on which it builds, it runs alone where vLLM (0.32.0) is:

    python offload_vllm.py    answers each scenario, a line of stdin, by a line {"lines": [...]}
"""

import importlib
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "oracle"))
real = importlib.import_module("real_vllm")

Json = dict[str, Any]

PAGE_BYTES = 4096
"""A block of the host takes whole pages; those of the scenarios are smaller than one."""

CONNECTOR = "vllm.distributed.kv_transfer.kv_connector.v1.offloading.common"


class OffloadingEngine(real.Engine):  # type: ignore[misc,name-defined]
    """The engine's loop, with a worker whose transfers take a number of calls."""

    delay = 0

    def __init__(self, config: Json, requests: list[Json]) -> None:
        super().__init__(config, requests)
        self.due_jobs: dict[int, list[tuple[int, str | None]]] = defaultdict(list)
        self.finished: list[str] = []  # in order

    def _schedule(self, call: int, arrived: list[str]) -> tuple[Json, Any, bool]:
        # vLLM goes through a set of names, whose order differs from process to process
        names = sorted(self.scheduler.finished_req_ids, key=self.finished.index)
        self.scheduler.finished_req_ids = dict.fromkeys(names)
        line, output, is_shown = super()._schedule(call, arrived)
        jobs = output.kv_connector_metadata
        due = self.due_jobs[call + self.delay]
        due += [(job, entry.req_id) for job, entry in jobs.load_jobs.items()]
        due += [(job, None) for job in jobs.store_jobs]
        return line, output, is_shown

    def _update(self, line: Json, output: Any, next_call: int) -> None:
        over = [call for call in self.due_jobs if call <= line["step"]]
        self.ended = [job for call in over for job in self.due_jobs.pop(call)]
        update = self.scheduler.update_from_output

        def update_with_transfers(output: Any, made: Any) -> Any:
            made.kv_connector_output = self._transfers()
            return update(output, made)

        self.scheduler.update_from_output = update_with_transfers
        super()._update(line, output, next_call)
        self.scheduler.update_from_output = update
        self.finished += line["finished"]

    def _transfers(self) -> Any:
        """What a worker tells of the transfers that have ended."""
        told = importlib.import_module(CONNECTOR).OffloadingWorkerMetadata()
        for job, _ in self.ended:
            told.mark_completed(job)
        return importlib.import_module("vllm.v1.outputs").KVConnectorOutput(
            finished_recving={name for _, name in self.ended if name is not None},
            kv_connector_worker_meta=told,
        )


def with_connector(make: Any, host_blocks: int) -> Any:
    """A scheduler's class, with the connector in its configuration."""
    transfer = importlib.import_module("vllm.config").KVTransferConfig

    def made(**arguments: Any) -> Any:
        whole = arguments["vllm_config"]
        whole.model_config.use_mla = False
        whole.model_config.model = whole.model_config.dtype = ""
        whole.model_config.get_total_num_kv_heads = lambda: 1
        whole.kv_transfer_config = transfer(
            kv_connector="OffloadingConnector",
            kv_role="kv_both",
            kv_connector_extra_config={"cpu_bytes_to_use": host_blocks * PAGE_BYTES},
        )
        return make(**arguments)

    return made


def run(scenario: Json) -> list[Json]:
    """The lines of a scenario, as `real_vllm.run` gives them."""
    vllm, offload = real._vllm(), scenario["offload"]
    classes = {name: getattr(vllm, name) for name in ("Scheduler", "AsyncScheduler")}
    for name, make in classes.items():
        setattr(vllm, name, with_connector(make, offload["host_blocks"]))
    OffloadingEngine.delay = offload["calls"]
    try:
        lines: list[Json] = real_run(scenario)
    finally:
        for name, make in classes.items():
            setattr(vllm, name, make)
    return lines


real_run, real.run, real.Engine = real.run, run, OffloadingEngine

if __name__ == "__main__":
    real.main(["--serve"])
