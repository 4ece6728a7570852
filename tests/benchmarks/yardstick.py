"""A fixed piece of work in plain Python: about one second on the core the goals were set on.

A goal such as "under 20 seconds" is checked as 20 times this, measured in the same run, so that a
slow or a busy machine does not decide.
"""

from heapq import heapify, heapreplace

ROUNDS = 2_100_000


def work(rounds: int) -> int:
    """What a simulator does all day: a heap of times, a dictionary of counts, small tuples."""
    heap = [(index * 37 % 101, index) for index in range(64)]
    heapify(heap)
    counts: dict[int, int] = {}
    for number in range(rounds):
        time, owner = heap[0]
        counts[owner] = counts.get(owner, 0) + number % 7
        heapreplace(heap, (time + 1 + counts[owner] % 13, owner))
    return sum(counts.values())


if __name__ == "__main__":
    print(work(ROUNDS))
