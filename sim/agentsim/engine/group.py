"""Sequences that only decode, advanced together.

Each member computes one token in every step, so all a step needs of them are sums: how many there
are, how many take a block now (a count for each residue modulo the block size), how much context
they attend to. Who leaves next stands at the top of a heap over step numbers. A step of the group
costs the same whether it has one member or a thousand.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator

from agentsim.engine.sequence import Sequence


class DecodeGroup:
    """The sequences that get one token in every step.

    Parameters
    ----------
    block_size : int
        Tokens in a block.
    lag : int
        Output tokens scheduled but not delivered when a step is formed: 1 with asynchronous
        scheduling, else 0.
    window : int or None
        Sliding window of the model, tokens.

    Attributes
    ----------
    clock : int
        Steps made. A member has computed ``sequence.computed + clock - sequence.joined`` tokens.
    context : int
        Tokens the members have computed, summed.
    last_admission : int
        No member was admitted later than this.
    """

    def __init__(self, block_size: int, lag: int, window: int | None) -> None:
        self.block_size = block_size
        self.lag = lag
        self.window = window
        self.clock = 0
        self.context = 0
        self.last_admission = -1
        self.num_members = 0
        self._members: dict[Sequence, None] = {}
        self._needs = [0] * block_size  # members that take a block, by clock modulo block size
        self._leaves: list[tuple[int, bool, int, Sequence]] = []
        self._saturates: list[tuple[int, int, Sequence]] = []
        self._within = 0  # members whose context is shorter than the window
        self._within_context = 0  # their tokens computed, summed

    def __iter__(self) -> Iterator[Sequence]:
        return iter(self._members)

    def __contains__(self, sequence: Sequence) -> bool:
        return sequence.joined >= 0

    @property
    def block_needs(self) -> int:
        """Blocks the next step takes."""
        return self._needs[self.clock % self.block_size]

    def needs(self, num_steps: int) -> list[int]:
        """Blocks each of the next `num_steps` steps takes."""
        at = self.clock % self.block_size
        if at + num_steps <= self.block_size:
            return self._needs[at : at + num_steps]
        cycles = (at + num_steps) // self.block_size + 1
        return (self._needs * cycles)[at : at + num_steps]

    @property
    def window_context(self) -> int:
        """Context the next step reads in sliding-window layers."""
        if self.window is None:
            return self.context + self.num_members
        outside = self.num_members - self._within
        return self._within_context + self._within + outside * self.window

    @property
    def window_growth(self) -> int:
        """By how much `window_context` grows in a step."""
        return self.num_members if self.window is None else self._within

    def computed(self, sequence: Sequence) -> int:
        """Tokens a sequence has computed, member or not."""
        if sequence.joined < 0:
            return sequence.computed
        return sequence.computed + self.clock - sequence.joined

    def steps_to_change(self) -> int:
        """Steps up to a member's last (or its last below its window), that one included.

        A member whose end is not foreseen stops with the output of the step before its last.
        """
        last, is_foreseen = self._leaves[0][:2]
        steps = last - self.clock - (not is_foreseen)
        if self.window is not None:
            while self._saturates and self._saturates[0][2].joined < 0:
                heapq.heappop(self._saturates)
            if self._saturates:
                steps = min(steps, self._saturates[0][0] - self.clock)
        return steps

    def steps_within(self, num_free: int) -> int:
        """How many steps can be made before `num_free` blocks run short."""
        cycles, left = divmod(num_free, self.num_members)
        steps = cycles * self.block_size
        for need in self.needs(self.block_size):
            left -= need
            if left < 0:
                break
            steps += 1
        return steps

    def join(self, sequence: Sequence, num_steps: int, is_foreseen: bool = True) -> None:
        """Let a sequence take part in the next `num_steps` steps.

        `is_foreseen`: the last of them brings its last token. Otherwise the one before does, and
        the last is in vain.
        """
        clock = self.clock
        sequence.joined = clock
        self._members[sequence] = None
        self.num_members += 1
        self.context += sequence.computed
        self._needs[(clock - sequence.computed) % self.block_size] += 1
        self.last_admission = max(self.last_admission, sequence.admission)
        leave = (clock + num_steps, is_foreseen, sequence.admission, sequence)
        heapq.heappush(self._leaves, leave)
        if self.window is not None and sequence.computed + 1 < self.window:
            self._within += 1
            self._within_context += sequence.computed
            full_at = clock + self.window - 1 - sequence.computed
            heapq.heappush(self._saturates, (full_at, sequence.admission, sequence))

    def advance(self, num_steps: int) -> None:
        """Make steps of all members."""
        self.clock += num_steps
        self.context += num_steps * self.num_members
        if self.window is None:
            return
        self._within_context += num_steps * self._within
        while self._saturates and self._saturates[0][0] <= self.clock:
            sequence = heapq.heappop(self._saturates)[2]
            if sequence.joined >= 0:
                self._within -= 1
                self._within_context -= self.computed(sequence)

    def take_leavers(self, undelivered: int) -> list[tuple[Sequence, int]]:
        """Members whose last step has just been formed, now out, with their steps in the group.

        Parameters
        ----------
        undelivered : int
            Steps whose output is still to come, the one just formed included.
        """
        leavers: list[tuple[Sequence, int]] = []
        while self._leaves and self._leaves[0][0] <= self.clock:
            sequence = heapq.heappop(self._leaves)[3]
            if sequence.joined < 0:  # it was dropped
                continue
            leavers.append((sequence, self.clock - sequence.joined))
            self._take_out(sequence, undelivered)
        if len(leavers) > 1:
            leavers.sort(key=_admission_of)
        return leavers

    def drop(self, sequence: Sequence) -> int:
        """Take a member out before its last step; how many steps it has made in the group."""
        num_steps = self.clock - sequence.joined
        self._take_out(sequence, self.lag)
        return num_steps

    def dissolve(self) -> list[tuple[Sequence, int]]:
        """All members, out of the group, with their steps in it."""
        members = [(sequence, self.clock - sequence.joined) for sequence in self._members]
        for sequence, _ in members:
            self._take_out(sequence, self.lag)
        self._leaves.clear()
        self._saturates.clear()
        self.last_admission = -1
        return members

    def _take_out(self, sequence: Sequence, undelivered: int) -> None:
        """Write a member's progress back; the output of `undelivered` steps is still to come."""
        del self._members[sequence]
        self._needs[(sequence.joined - sequence.computed) % self.block_size] -= 1
        self.num_members -= 1
        computed = self.computed(sequence)
        self.context -= computed
        if self.window is not None and computed + 1 < self.window:
            self._within -= 1
            self._within_context -= computed
        made = sequence.outputs + sequence.placeholders + self.clock - sequence.joined
        sequence.placeholders = undelivered * self.lag
        sequence.outputs = made - undelivered
        sequence.computed = computed
        sequence.table.held = -(-computed // self.block_size)
        sequence.joined = -1
        if not self.num_members:
            self.last_admission = -1


def _admission_of(leaver: tuple[Sequence, int]) -> int:
    return leaver[0].admission
