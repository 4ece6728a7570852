"""What the memory of one GPU holds while requests of so many tokens in all are on it."""

from __future__ import annotations

import math

from agentsim.machine.system import System


def memory_map(system: System, context_tokens: int) -> dict[str, int]:
    """Bytes of one GPU by use, with one request of `context_tokens` on it.

    They add up to the GPU's memory as long as the request fits. Of one that does not, ``free`` is 0
    and they add up to what would be needed.

    Parameters
    ----------
    system : System
        With an engine of any kind.
    context_tokens : int
        Prompt and output, >= 0.

    Returns
    -------
    dict of str to int
        ``weights``, ``graphs and activations``, ``logits``, ``KV in use``, ``KV reserved, empty``,
        ``free``, ``left to others``: beyond `gpu_memory_utilization`.
    """
    return (
        _contiguous(system, context_tokens) if system.contiguous else _paged(system, context_tokens)
    )


def _contiguous(system: System, tokens: int) -> dict[str, int]:
    """One stretch a request, larger than it needs; logits of the whole prompt."""
    memory = system.contiguous
    assert memory is not None
    used = tokens * memory.kv_bytes_per_token
    found = {
        "weights": memory.weight_bytes,
        "graphs and activations": memory.other_bytes,
        "logits": tokens * memory.logit_bytes_per_token,
        "KV in use": used,
        "KV reserved, empty": round(used / (1 - memory.waste)) - used,
    }
    return {
        **found,
        "free": max(0, memory.visible_bytes - sum(found.values())),
        "left to others": 0,
    }


def _paged(system: System, tokens: int) -> dict[str, int]:
    """Blocks, of which a request leaves at most a part of the last one empty."""
    capacity = system.capacity
    token_bytes = capacity.block_bytes // capacity.block_size
    held = math.ceil(tokens / capacity.block_size) * capacity.block_bytes
    return {
        "weights": capacity.weight_bytes + capacity.draft_bytes,
        "graphs and activations": capacity.requested_bytes
        - capacity.weight_bytes
        - capacity.draft_bytes
        - capacity.available_bytes,
        "logits": 0,
        "KV in use": tokens * token_bytes,
        "KV reserved, empty": held - tokens * token_bytes,
        "free": max(0, capacity.available_bytes - held),
        "left to others": system.gpu.memory_bytes - capacity.requested_bytes,
    }
