"""How long a step takes: a roofline of its parts.

``step = max(GPU, CPU)`` with asynchronous scheduling, their sum without. The GPU's part is a sum
of linear layers, attention, LM head, all-reduces and fixed costs, each a product of an integer sum
of the batch and a coefficient worked out once in `Coefficients`. docs/model.md has every formula.

`Roofline.step_ns` and `Roofline.decode_steps_ns` do the same float64 operations in the same order
(only ``+ - * max`` and one rounding), so a stride of steps and single steps agree bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from agentsim.domain.batch import BatchShape
from agentsim.machine.coefficients import Coefficients

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

_INDEX: IntArray = np.arange(1 << 10)


class Roofline:
    """Step times of one model on one GPU (or on several of them in tensor parallel).

    Parameters
    ----------
    coefficients : Coefficients
        Nanoseconds for each unit of work.
    """

    def __init__(self, coefficients: Coefficients) -> None:
        self.coefficients = coefficients

    def changed(self, change: Callable[[Coefficients], Coefficients]) -> Roofline:
        """The same model with other coefficients."""
        return Roofline(change(self.coefficients))

    def step_ns(self, shape: BatchShape) -> int:
        """Duration of a step of this batch in nanoseconds, at least 1."""
        gpu, cpu = self.sides_ns(shape)
        total = (gpu if gpu > cpu else cpu) if self.coefficients.hides_cpu else gpu + cpu
        return max(1, round(total))

    def sides_ns(self, shape: BatchShape) -> tuple[float, float]:
        """Nanoseconds of a step on the GPU and on the CPU."""
        c = self.coefficients
        fixed, launch, cpu = self._apart_from_decode_attention(shape)
        if shape.prefill_tokens:
            full, window = c.mixed_full, c.mixed_window
        else:
            full, window = c.decode_full, c.decode_window
        kernels = fixed + (shape.decode_context * full + shape.window_decode_context * window)
        return (kernels if kernels > launch else launch) + c.step, cpu

    def decode_steps_ns(self, shape: BatchShape, num_steps: int, window_growth: int) -> IntArray:
        """Durations of the next steps of a batch in which every sequence decodes.

        Parameters
        ----------
        shape : BatchShape
            The first of these steps; it holds no prefill.
        num_steps : int
            How many steps; each adds `num_seqs` to `decode_context`.
        window_growth : int
            What each step adds to `window_decode_context`.

        Returns
        -------
        ndarray of int64, shape (num_steps,)
            Nanoseconds; element i is `step_ns` of the batch grown i times.

        Raises
        ------
        ValueError
            If the batch holds a prefill.
        """
        if shape.prefill_tokens:
            raise ValueError("decode_steps_ns: the batch holds a prefill")
        c = self.coefficients
        fixed, launch, cpu = self._apart_from_decode_attention(shape)
        # each comparison is settled by the first step: what follows only becomes longer
        index = _INDEX[:num_steps] if num_steps <= len(_INDEX) else np.arange(num_steps)
        context = index * shape.num_seqs
        context += shape.decode_context
        gpu = context * c.decode_full
        if c.decode_window:
            gpu += (shape.window_decode_context + index * window_growth) * c.decode_window
        gpu += fixed
        if gpu[0] < launch:
            np.maximum(gpu, launch, out=gpu)
        gpu += c.step
        if not c.hides_cpu:
            gpu += cpu
        elif gpu[0] < cpu:
            np.maximum(gpu, cpu, out=gpu)
        result: IntArray = np.rint(gpu, out=gpu).astype(np.int64)
        return result if result[0] else np.maximum(result, 1)

    def _apart_from_decode_attention(self, shape: BatchShape) -> tuple[float, float, float]:
        """Nanoseconds of the GPU's kernels but for decode attention, of launches, of the CPU.

        These do not change while a batch only decodes.
        """
        c = self.coefficients
        n, seqs, rows, prefill_tokens, pairs, context, _, window_pairs, window_context, _, _ = shape
        rows = max(rows, seqs)
        padded = n
        launch = c.launch_eager
        if n <= c.largest_graph:
            padded, launch = c.padded[n], c.launch_piecewise
            is_decode = prefill_tokens == 0 and n == seqs * c.decode_tokens
            if is_decode and n <= c.largest_decode_graph:
                padded, launch = c.padded_decode[n], 0.0
        memory, compute = c.dense_memory, padded * c.dense_compute
        linear = memory + compute * c.exposed if memory > compute else compute + memory * c.exposed
        if c.expert_memory:
            memory = c.distinct_experts[n if n < c.last_expert_row else c.last_expert_row]
            memory, compute = memory * c.expert_memory, n * c.expert_compute
            linear += (
                memory + compute * c.exposed if memory > compute else compute + memory * c.exposed
            )
        memory, compute = c.head_memory, rows * c.head_compute
        head = memory + compute * c.exposed if memory > compute else compute + memory * c.exposed
        prefill = 0.0
        if prefill_tokens:
            compute = pairs * c.pairs_full + window_pairs * c.pairs_window
            prefill = compute + (context * c.context_full + window_context * c.context_window)
        fixed = (
            linear + head + prefill + padded * c.token + rows * c.row + seqs * c.sequence + c.layers
        )
        return fixed, launch, c.cpu_step + seqs * c.cpu_sequence

    def parts(
        self,
        columns: dict[str, npt.NDArray[Any]],
        more_gpu: FloatArray | float = 0.0,
        more_cpu: FloatArray | float = 0.0,
    ) -> dict[str, FloatArray]:
        """Seconds of each step by cause, and by what it was spent on.

        Parameters
        ----------
        columns : dict of str to ndarray
            Arrays of one length, named as the fields of `BatchShape` (the columns of a run's
            steps).
        more_gpu, more_cpu : ndarray of float64 or float
            Nanoseconds that each step takes beside this model's work, which are none of its causes.

        Returns
        -------
        dict of str to ndarray of float64
            By cause: ``weights`` (linear layers and their activations), ``attention``, ``lm_head``,
            ``communication``, ``overhead``; they add up to the step. And again the whole step as
            ``prefill_s``, ``decode_s``, ``overhead_s``: attention goes to its own side, the rest of
            the GPU's work is shared by tokens, the LM head by sequences that decode or end a
            prefill. ``compute_s`` and ``memory_s``: how long its arithmetic units and its memory
            are busy, each at most the whole step.
        """
        c = self.coefficients
        get = {name: columns[name].astype(np.float64) for name in BatchShape._fields}
        n, seqs = get["num_tokens"], get["num_seqs"]
        rows = np.maximum(get["num_sampled"], seqs)
        in_graph = n <= c.largest_graph
        sizes = np.asarray(c.padded, dtype=np.float64)
        index = np.minimum(n, c.largest_graph).astype(np.int64)
        padded = np.where(in_graph, sizes[index], n)
        is_decode = (get["prefill_tokens"] == 0) & (n == seqs * c.decode_tokens)
        is_decode &= n <= c.largest_decode_graph
        sizes = np.asarray(c.padded_decode, dtype=np.float64)
        index = np.minimum(n, c.largest_decode_graph).astype(np.int64)
        padded = np.where(is_decode, sizes[index], padded)
        weights = self._roof(np.full_like(n, c.dense_memory), padded * c.dense_compute)
        expert_memory = np.zeros_like(n)
        if c.expert_memory:
            table = np.asarray(c.distinct_experts)
            experts = table[np.minimum(n, c.last_expert_row).astype(np.int64)]
            expert_memory = experts * c.expert_memory
            weights = weights + self._roof(expert_memory, n * c.expert_compute)
        head = self._roof(np.full_like(n, c.head_memory), rows * c.head_compute) + rows * c.row
        prefill_attention = (
            get["prefill_pairs"] * c.pairs_full + get["window_pairs"] * c.pairs_window
        ) + (
            get["prefill_context"] * c.context_full
            + get["window_prefill_context"] * c.context_window
        )
        is_mixed = get["prefill_tokens"] > 0
        decode_attention = get["decode_context"] * np.where(
            is_mixed, c.mixed_full, c.decode_full
        ) + get["window_decode_context"] * np.where(is_mixed, c.mixed_window, c.decode_window)
        communication = padded * c.token_link + c.layers_link
        weights = weights + padded * (c.token - c.token_link)
        kernels = (
            weights + head + prefill_attention + decode_attention + communication
            + seqs * c.sequence + (c.layers - c.layers_link)
        )  # fmt: skip
        launch = np.where(in_graph, np.where(is_decode, 0.0, c.launch_piecewise), c.launch_eager)
        gpu = np.maximum(kernels, launch) + c.step + more_gpu
        cpu = c.cpu_step + seqs * c.cpu_sequence + more_cpu
        total = np.maximum(gpu, cpu) if c.hides_cpu else gpu + cpu
        context_memory = (get["decode_context"] + get["prefill_context"]) * c.context_full + (
            get["window_decode_context"] + get["window_prefill_context"]
        ) * c.context_window
        memory = (
            c.dense_memory + expert_memory + c.head_memory + context_memory + rows * c.row
            + padded * (c.token - c.token_link)
        )  # fmt: skip
        compute = (
            padded * c.dense_compute + n * c.expert_compute + rows * c.head_compute
            + get["prefill_pairs"] * c.pairs_full + get["window_pairs"] * c.pairs_window
        )  # fmt: skip
        work = weights + communication
        share = get["prefill_tokens"] / np.maximum(n, 1.0)
        prefill = prefill_attention + share * (work + head)
        decode = decode_attention + (1.0 - share) * (work + head)
        attention = prefill_attention + decode_attention
        overhead = total - work - head - attention - more_gpu - more_cpu
        named = {
            "weights": weights,
            "attention": attention,
            "lm_head": head,
            "communication": communication,
            "overhead": overhead,
            "prefill_s": prefill,
            "decode_s": decode,
            "overhead_s": overhead,
            "compute_s": np.minimum(compute, total),
            "memory_s": np.minimum(memory, total),
        }
        return {name: value * 1e-9 for name, value in named.items()}

    def _roof(self, memory: FloatArray, compute: FloatArray) -> FloatArray:
        longer, shorter = np.maximum(memory, compute), np.minimum(memory, compute)
        result: FloatArray = longer + shorter * self.coefficients.exposed
        return result

    def factors(self) -> list[dict[str, Any]]:
        """Every number the model uses: name, value, unit, kind, source."""
        return list(self.coefficients.factors)
