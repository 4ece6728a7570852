"""Static batching: a batch is formed when the engine is idle, and runs until its last answer.

Prompts are padded to the longest, sequences that have ended go on until the batch has, and nothing
is kept from one batch to the next: every prompt is prefilled whole. With batches of one this is
Hugging Face generate as agents use it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import simpy

from agentsim.domain.batch import BatchShape
from agentsim.domain.records import STEP_COLUMNS
from agentsim.engine.clock import Clock, Phase
from agentsim.engine.ledger import Ledger
from agentsim.engine.recorder import StepRecorder
from agentsim.engine.replica import StepCost
from agentsim.engine.sequence import Sequence, Status


class StaticServer:
    """An engine that serves one batch after another.

    Parameters
    ----------
    env : Clock
    cost : StepCost
    finished : callable
        Called with each sequence when its batch has ended.
    max_batch : int
        Most sequences in a batch.
    max_tokens : int
        Most context tokens of a batch, padding included.
    block_size : int
        Tokens in a block, in which what is used is counted.
    window : int or None
        Sliding window of the model, tokens.
    ledger : Ledger
        What the steps are written down in.
    """

    def __init__(
        self,
        env: Clock,
        cost: StepCost,
        finished: Callable[[Sequence], None],
        *,
        max_batch: int,
        max_tokens: int,
        block_size: int,
        window: int | None = None,
        ledger: Ledger,
        number: int = 0,
    ) -> None:
        self.env = env
        self.cost = cost
        self.steps = StepRecorder(number, ledger)
        self.waiting: list[Sequence] = []
        self.running: list[Sequence] = []
        self._finished = finished
        self._number = number
        self._max_batch = max_batch
        self._max_tokens = max_tokens
        self._block_size = block_size
        self._window = window
        self._begins = False

    def enqueue(self, sequence: Sequence) -> None:
        """A request arrives (in `Phase.ROUTE`)."""
        self.waiting.append(sequence)
        if not self.running:
            self._begin_now()

    def _begin_now(self) -> None:
        if not self._begins and self.waiting:
            self._begins = True
            self.env.at(self.env.now_ns, Phase.BEGIN + self._number, self._begin)

    def _take_batch(self) -> None:
        """As many of those that wait, in order, as fit padded to the longest."""
        longest = 0
        while self.waiting and len(self.running) < self._max_batch:
            sequence = self.waiting[0]
            longest = max(longest, sequence.num_prompt + sequence.num_output)
            if self.running and longest * (len(self.running) + 1) > self._max_tokens:
                break
            sequence.status = Status.RUNNING
            self.running.append(self.waiting.pop(0))

    def _begin(self, _: simpy.Event) -> None:
        """Form a batch, and write down all its steps."""
        self._begins = False
        self._take_batch()
        batch, start = self.running, self.env.now_ns
        size = len(batch)
        prompt = max(sequence.num_prompt for sequence in batch)
        num_decodes = max(sequence.num_output for sequence in batch) - 1
        window = prompt if self._window is None else min(self._window, prompt)
        pairs = prompt * (prompt + 1) // 2
        beyond = prompt - window
        shape = BatchShape(
            num_tokens=size * prompt,
            num_seqs=size,
            num_sampled=size,
            prefill_tokens=size * prompt,
            prefill_pairs=size * pairs,
            prefill_context=size * prompt,
            window_pairs=size * (pairs - beyond * (beyond + 1) // 2),
            window_prefill_context=size * prompt,
        )
        first_end = start + self.cost.step_ns(shape)
        blocks = -(-size * (prompt + num_decodes + 1) // self._block_size)
        facts = (0, size, size, len(self.waiting), blocks, 0, 0)
        self.steps.add(start, first_end, shape, facts)
        ends = self._decode(size, prompt, num_decodes, first_end, facts)
        end = int(ends[-1]) if num_decodes else first_end
        for sequence in batch:
            sequence.scheduled_ns = start
            sequence.first_token_ns = first_end
            sequence.last_token_ns = end
            sequence.outputs = sequence.num_output
        self.env.at(end, Phase.END + self._number, self._end)

    def _decode(
        self, size: int, prompt: int, num_decodes: int, start: int, facts: tuple[int, ...]
    ) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        """Write the decode steps down, and return when each ends."""
        if not num_decodes:
            return np.zeros(0, dtype=np.int64)
        steps = np.arange(num_decodes)
        context = size * (prompt + 1)
        within = prompt + 1 + steps
        if self._window is not None:
            within = np.minimum(within, self._window)
        shape = BatchShape(size, size, size, decode_context=context)
        ends = start + np.cumsum(self._durations(shape, size * within))
        alive = np.sum([s.num_output - 2 >= steps for s in self.running], axis=0)
        starts = np.concatenate(([start], ends[:-1]))
        varying = {
            "start_ns": starts,
            "end_ns": ends,
            "decode_context": context + size * steps,
            "window_decode_context": size * within,
            "new_tokens": alive,
        }
        same = dict(zip(STEP_COLUMNS, (self._number, 0, start, 0, *shape, *facts), strict=True))
        self.steps.add_columns(
            {name: np.full(num_decodes, value) for name, value in same.items()} | varying
        )
        self.steps.add_gaps(ends - starts, alive)
        return ends

    def _durations(
        self, shape: BatchShape, windowed: np.ndarray[tuple[int], np.dtype[np.int64]]
    ) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        """Durations of the decode steps, in stretches of even growth of the windowed context."""
        num_steps = len(windowed)
        full = num_steps
        if self._window is not None:
            full = int(np.searchsorted(windowed, shape.num_seqs * self._window))
        parts = []
        for begin, end, growth in ((0, full, shape.num_seqs), (full, num_steps, 0)):
            if begin < end:
                at = shape._replace(
                    decode_context=shape.decode_context + begin * shape.num_seqs,
                    window_decode_context=int(windowed[begin]),
                )
                parts.append(self.cost.decode_steps_ns(at, end - begin, growth))
        return np.concatenate(parts)

    def _end(self, _: simpy.Event) -> None:
        """Answer the whole batch."""
        batch, self.running = self.running, []
        for sequence in batch:
            sequence.status = Status.FINISHED
            self._finished(sequence)
        self._begin_now()
