"""The settings a scheduler decides by, under vLLM's names; defaults are those of the oracle."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rules:
    """What vLLM 0.32 lets one set about its scheduler.

    Attributes
    ----------
    num_gpu_blocks : int
        Blocks of `block_size` tokens; one of them is never usable.
    num_lookahead_tokens : int
        Slots reserved behind each allocation for a drafter that writes KV of its own (EAGLE, MTP,
        draft model); 0 for n-gram.
    num_draft_slots : int
        Budget a request takes beyond its tokens when drafts run in the same pass (draft model).
    drop_last_hit : bool
        EAGLE: the last block of a prefix hit is computed again.
    lone_prefill_exempt : bool
        Whether the long-prefill cap leaves a request alone that has no company (not in early 2025).
    two_ended_free_queue : bool
        Whether freed blocks without content are reused first (not in early 2025).
    eviction : str
        Which cached content gives way, a name in `EVICTIONS`.
    """

    block_size: int = 16
    num_gpu_blocks: int = 1024
    max_num_seqs: int = 128
    max_num_batched_tokens: int = 2048
    max_model_len: int = 8192
    enable_prefix_caching: bool = True
    enable_chunked_prefill: bool = True
    long_prefill_token_threshold: int = 0
    adaptive_long_prefill_threshold: bool = False
    policy: str = "fcfs"
    watermark: float = 0.0
    scheduler_reserve_full_isl: bool = True
    max_num_active_seqs: int | None = None
    num_speculative_tokens: int = 0
    num_lookahead_tokens: int = 0
    num_draft_slots: int = 0
    drop_last_hit: bool = False
    async_scheduling: bool = False
    lone_prefill_exempt: bool = True
    two_ended_free_queue: bool = True
    eviction: str = "lru"

    @property
    def usable_blocks(self) -> int:
        """Blocks that can hold tokens."""
        return self.num_gpu_blocks - 1

    @property
    def max_active(self) -> int:
        """Most requests running at once."""
        return self.max_num_active_seqs or self.max_num_seqs

    @property
    def watermark_blocks(self) -> int:
        """Blocks an admission leaves free while something runs."""
        return int(self.watermark * self.num_gpu_blocks)
