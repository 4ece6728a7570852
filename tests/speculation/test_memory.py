"""Memory of drafters: what is loaded, and the KV they write, leave fewer blocks."""

from __future__ import annotations

from typing import Any

import pytest

from agentsim.domain.config import Config, EngineConfig
from agentsim.machine.capacity import KVCapacity
from agentsim.machine.catalog import find_model
from agentsim.machine.drafting import medusa_head_params
from agentsim.machine.system import build_system
from speculation.replays import METHODS, config


def capacity(method: str = "none", num_drafts: int = 3, **more: Any) -> KVCapacity:
    # the same graphs for all: their memory is not what is looked at here
    sizes = {"engine": {"cudagraph_capture_sizes": (1, 2, 4)}}
    return build_system(config(method, num_drafts, **sizes, **more)).capacity


LOADED = [method for method in METHODS if method not in ("ngram", "suffix", "lookahead")]


@pytest.mark.parametrize("method", LOADED)
def test_what_is_loaded_lowers_the_number_of_blocks_and_what_vllm_logs(method: str) -> None:
    plain, drafted = capacity(), capacity(method)
    assert drafted.num_gpu_blocks < plain.num_gpu_blocks
    assert drafted.available_bytes == plain.available_bytes - drafted.draft_bytes
    assert drafted.log_lines()[0] != plain.log_lines()[0]
    names = [row["name"] for row in drafted.assumptions()]
    assert "kv.draft_bytes" in names


@pytest.mark.parametrize("method", ["ngram", "suffix", "lookahead"])
def test_matching_and_branches_load_nothing(method: str) -> None:
    assert capacity(method).num_gpu_blocks == capacity().num_gpu_blocks


def test_a_draft_models_weights_and_kv_are_those_of_its_shape() -> None:
    draft = find_model("qwen2.5-0.5b")
    found = capacity("draft_model")
    assert found.draft_bytes == draft.weight_bytes
    assert found.block_bytes - capacity().block_bytes == 16 * draft.kv_bytes_per_token()


def test_an_eagle_head_has_the_published_size() -> None:
    """0.24 B parameters for a Llama-2 7B (the authors' table), a layer and a projection."""
    engine = EngineConfig(speculative_method="eagle", num_speculative_tokens=2)
    found = build_system(Config(gpu="h100", model="llama-2-7b", engine=engine)).capacity
    assert found.draft_bytes / 2 == pytest.approx(0.24e9, rel=0.02)
    assert found.block_bytes == 16 * find_model("llama-2-7b").kv_bytes_per_token() * 33 // 32


def test_medusa_heads_have_a_layer_and_an_lm_head_each() -> None:
    target = find_model("qwen2.5-3b")
    per_head = 2 * (target.hidden**2 + target.vocab * target.hidden)
    assert medusa_head_params(target) * 2 == per_head
    assert capacity("medusa", 4).draft_bytes == 4 * per_head
