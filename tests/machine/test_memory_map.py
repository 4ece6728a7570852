"""What the memory of a GPU holds adds up to the GPU's memory, as long as it fits."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentsim.machine.memory_map import memory_map
from agentsim.machine.system import System, build_system, read_config

PAGED = build_system(read_config()[0])
CONTIGUOUS = build_system(read_config(sets=["engine.kind=hf"])[0])
DRAFTED = build_system(
    read_config(sets=["engine.speculative_method=eagle", "engine.num_speculative_tokens=3"])[0]
)


@pytest.mark.parametrize("system", [PAGED, CONTIGUOUS, DRAFTED])
@given(share=st.floats(0, 1))
def test_what_fits_adds_up_to_the_gpu(system: System, share: float) -> None:
    memory = system.contiguous
    most = memory.max_tokens if memory else (system.capacity.num_gpu_blocks - 1) * 16
    found = memory_map(system, int(share * most))
    assert sum(found.values()) == system.gpu.memory_bytes
    assert min(found.values()) >= 0


def test_one_token_more_does_not_fit_contiguously() -> None:
    assert CONTIGUOUS.contiguous is not None
    most = CONTIGUOUS.contiguous.max_tokens
    assert sum(memory_map(CONTIGUOUS, most + 1).values()) > CONTIGUOUS.gpu.memory_bytes


def test_more_than_fits_is_what_would_be_needed() -> None:
    for system in (PAGED, CONTIGUOUS):
        found = memory_map(system, 10**6)
        assert found["free"] == 0
        assert found["KV in use"] == 10**6 * 192 * 1024
        assert sum(found.values()) > system.gpu.memory_bytes


def test_paging_leaves_less_than_a_block_empty() -> None:
    for tokens in (0, 1, 15, 16, 17):
        empty = memory_map(PAGED, tokens)["KV reserved, empty"]
        assert empty == -tokens % 16 * 192 * 1024
