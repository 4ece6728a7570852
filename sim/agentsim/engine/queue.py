"""Requests that wait, in the order of a policy."""

from __future__ import annotations

import heapq

from agentsim.engine.sequence import Sequence
from agentsim.policies.schedulers import Rank, SchedulingPolicy


class WaitingQueue:
    """Requests that wait, in the order of a policy."""

    def __init__(self, policy: SchedulingPolicy) -> None:
        self._policy = policy
        self._heap: list[tuple[Rank, Sequence]] = []
        self._num_preempted = 0
        self._aside: list[tuple[Rank, Sequence]] = []

    def __len__(self) -> int:
        return len(self._heap)

    def push(self, sequence: Sequence) -> None:
        """Add one that has arrived."""
        heapq.heappush(self._heap, (self._policy.rank(sequence), sequence))

    def push_back(self, sequence: Sequence) -> None:
        """Add one that was preempted."""
        self._num_preempted += 1
        rank = self._policy.rank_back(sequence, self._num_preempted)
        heapq.heappush(self._heap, (rank, sequence))

    def peek(self) -> Sequence:
        """The next one."""
        return self._heap[0][1]

    def pop(self) -> Sequence:
        """Take out the next one."""
        return heapq.heappop(self._heap)[1]

    def set_aside(self) -> None:
        """Pass over the next one until `put_back`."""
        self._aside.append(heapq.heappop(self._heap))

    def put_back(self) -> None:
        """Give those set aside their places again."""
        for entry in self._aside:
            heapq.heappush(self._heap, entry)
        self._aside.clear()

    def remove(self, sequence: Sequence) -> None:
        """Take out one that has ended while it waited (rare: work in the length of the queue)."""
        self._heap = [entry for entry in self._heap if entry[1] is not sequence]
        heapq.heapify(self._heap)
