"""The shape of a step's batch: the integer sums its duration depends on."""

from __future__ import annotations

from typing import NamedTuple


class BatchShape(NamedTuple):
    """Sums over the sequences of one step. All are integers, so their order does not matter.

    Attributes
    ----------
    num_tokens : int
        Tokens computed in the step, prefill and decode.
    num_seqs : int
        Sequences in the batch.
    num_sampled : int
        Rows of the LM head: one for each sequence that samples, one more for each draft verified.
    prefill_tokens : int
        Tokens of sequences that are prefilling (chunks, also a recomputation after a preemption).
    prefill_pairs : int
        Query-key pairs of the chunks: a chunk of q tokens after c computed ones has
        q * c + q * (q + 1) / 2.
    prefill_context : int
        Tokens of context the chunks attend to: c + q, summed.
    decode_context : int
        The same of the decoding sequences (context read once each, drafts included).
    window_pairs, window_prefill_context, window_decode_context : int
        The same three with each context cut at the model's sliding window; equal to them without
        one.
    num_drafts : int
        Of `num_tokens` and of `num_sampled`: draft tokens verified.
    """

    num_tokens: int
    num_seqs: int
    num_sampled: int
    prefill_tokens: int = 0
    prefill_pairs: int = 0
    prefill_context: int = 0
    decode_context: int = 0
    window_pairs: int = 0
    window_prefill_context: int = 0
    window_decode_context: int = 0
    num_drafts: int = 0


def shape_of(values: tuple[int, ...]) -> BatchShape:
    """The shape of these sums, in the order of its fields; quicker than to name them."""
    return tuple.__new__(BatchShape, values)
