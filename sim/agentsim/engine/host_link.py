"""When transfers between GPU and CPU memory run: one queue in each direction, beside the steps.

After vLLM 0.32 (v1/kv_offload/cpu/gpu_worker.py and .../v1/offloading/worker.py): loads are sent as
their step is launched, stores as the step after theirs is; both start behind the step before, and
behind what was sent before in the same direction. A worker asks what has ended as it launches a
step, and the scheduler hears of it with that step's output; an engine without work asks all the
time. A step that preempts waits until the stores of its victims have ended.
"""

from __future__ import annotations

from collections import deque

from agentsim.engine.batch import Batch
from agentsim.engine.offload import Job, Offload


class HostLink:
    """The two directions of the link to CPU memory.

    Parameters
    ----------
    offload : Offload
    """

    def __init__(self, offload: Offload) -> None:
        self.offload = offload
        self._block_ns = offload.host.block_ns
        self._loads: deque[Job] = deque()
        self._stores: deque[Job] = deque()
        self._loads_end_ns = self._stores_end_ns = 0
        self._unsent: list[Job] = []  # stores of the last step
        self._held_ns = 0  # no step starts before
        self._is_idle = False

    def launch(self, batch: Batch, now_ns: int, start_ns: int) -> int:
        """Send what goes with a batch that is decided now and would start at `start_ns`.

        Returns
        -------
        int
            When it can start.
        """
        start_ns = max(start_ns, self._held_ns)
        self._send_stores(start_ns)
        batch.polled_ns = now_ns
        for job in self._stores:
            if job.sequence in batch.preempted and job.ends_ns > start_ns:
                start_ns = batch.polled_ns = self._held_ns = job.ends_ns
        self._send_loads(start_ns)
        self._unsent = list(self.offload.stores)
        self.offload.stores.clear()
        return start_ns

    def poll(self, until_ns: int) -> None:
        """Tell the scheduler of all transfers that had ended then."""
        for queue in (self._stores, self._loads):
            while queue and queue[0].ends_ns <= until_ns:
                self.offload.complete(queue.popleft())

    def rest(self, now_ns: int) -> int:
        """There is no step to launch: send all that is left.

        Returns
        -------
        int
            When the next transfer ends; -1 where there is none.
        """
        self._is_idle = True
        self._send_stores(now_ns)
        self.offload.store_ended()
        self._unsent = list(self.offload.stores)
        self.offload.stores.clear()
        self._send_stores(now_ns)
        self._send_loads(now_ns)
        return min((queue[0].ends_ns for queue in (self._stores, self._loads) if queue), default=-1)

    def wake(self, now_ns: int) -> None:
        """Steps are decided again, if there were none to decide."""
        if self._is_idle:
            self._is_idle = False
            self.poll(now_ns)

    def _send_stores(self, start_ns: int) -> None:
        for job in self._unsent:
            self._stores_end_ns = max(self._stores_end_ns, start_ns) + self._time_ns(job)
            job.ends_ns = self._stores_end_ns
            self._stores.append(job)
        self._unsent = []

    def _send_loads(self, start_ns: int) -> None:
        for job in self.offload.loads:
            self._loads_end_ns = max(self._loads_end_ns, start_ns) + self._time_ns(job)
            job.ends_ns = self._loads_end_ns
            self._loads.append(job)
        self.offload.loads.clear()

    def _time_ns(self, job: Job) -> int:
        return max(1, round(len(job.keys) * self._block_ns))
