"""What drafting takes beside the target's own work: weights, KV, and who computes it.

Start at `plan_draft`, which says for a method what is loaded and how many tokens a verification
computes; `agentsim.machine.proposal` turns the plan into time. docs/speculation.md has every rule.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from agentsim.domain.config import EngineConfig
from agentsim.domain.specs import ModelSpec
from agentsim.domain.speculation import SpeculationConfig
from agentsim.errors import ConfigError
from agentsim.machine.catalog import find_model, formats

#: Columns of the window and n-grams verified: those the authors give for a 7B model (Fu et al.,
#: Lookahead decoding, ICML 2024; W 15, N 5, G 15).
LOOKAHEAD_WINDOW = 15
#: Tokens an EAGLE-3 head can draft: draft_vocab_size of the published heads for Llama-3.
EAGLE3_VOCAB = 32_000

#: Methods whose drafter is a head on the target's hidden states: one layer behind a projection.
HEADS = ("eagle", "eagle3", "mtp")


@dataclass(frozen=True, slots=True)
class DraftPlan:
    """What a method of speculation loads, and what its verification computes.

    Attributes
    ----------
    name : str
        What is loaded, in words; empty: nothing.
    verified_tokens : int
        Tokens the target computes for each sequence that verifies.
    sampled_rows : int
        Rows of the target's LM head for it.
    model : ModelSpec or None
        The draft model, or the head as a model of one layer.
    weight_bytes, kv_token_bytes : int
        On one GPU: weights, and KV of the drafter's own for each token of context.
    notes : tuple of dict
        Assumptions of the method.
    """

    method: str
    num_drafts: int
    name: str
    verified_tokens: int
    sampled_rows: int
    model: ModelSpec | None = None
    weight_bytes: int = 0
    kv_token_bytes: int = 0
    notes: tuple[dict[str, Any], ...] = ()

    @property
    def extra_tokens(self) -> int:
        """Tokens of a verification beyond the chain that the scheduler knows of."""
        return self.verified_tokens - 1 - self.num_drafts

    @property
    def extra_rows(self) -> int:
        """Rows of the LM head beyond those of the chain."""
        return self.sampled_rows - 1 - self.num_drafts


def plan_draft(
    given: SpeculationConfig, engine: EngineConfig, target: ModelSpec, kv_element_bytes: float
) -> DraftPlan | None:
    """What `engine.speculative_method` loads and verifies; None without speculation.

    Raises
    ------
    UnknownName
        No such draft model.
    ConfigError
        A draft model of another vocabulary, or with heads that cannot be divided.
    """
    method, shards = engine.speculative_method, engine.tensor_parallel_size
    if method == "none":
        return None
    num_drafts = engine.num_speculative_tokens
    chain = DraftPlan(method, num_drafts, "", 1 + num_drafts, 1 + num_drafts)
    if method == "draft_model":
        return _with_model(chain, given, target, shards, kv_element_bytes)
    if method in HEADS:
        return _with_head(chain, target, shards, kv_element_bytes)
    if method == "medusa":
        return _with_medusa(chain, given, target, shards)
    if method == "lookahead":
        return _with_branches(chain, given)
    return chain


def _with_model(
    chain: DraftPlan,
    given: SpeculationConfig,
    target: ModelSpec,
    shards: int,
    kv_element_bytes: float,
) -> DraftPlan:
    draft = find_model(given.draft_model or "")
    if draft.vocab != target.vocab and not given.heterogeneous_vocab:
        raise ConfigError(
            f"speculation.draft_model: {draft.name} has a vocabulary of {draft.vocab} and "
            f"{target.name} one of {target.vocab}, which vLLM refuses; take another draft model, "
            "or set speculation.heterogeneous_vocab=true (use_heterogeneous_vocab)"
        )
    if draft.num_heads % shards:
        raise ConfigError(
            f"speculation.draft_model: {draft.name} has {draft.num_heads} attention heads, which "
            f"tensor_parallel_size {shards} does not divide"
        )
    graphs = "eagerly (V2 runner: no CUDA graphs for draft models yet)"
    if given.heterogeneous_vocab:
        graphs = "in piecewise graphs (V1 runner, which maps the vocabularies)"
    return replace(
        chain,
        name=f"draft model {draft.name}",
        model=draft,
        weight_bytes=math.ceil(draft.weight_bytes / shards),
        kv_token_bytes=draft.kv_bytes_per_token(kv_element_bytes, shards),
        notes=(_note("draft_model", draft.name, f"vLLM 0.32 runs it {graphs}, once a token"),),
    )


def _with_head(
    chain: DraftPlan, target: ModelSpec, shards: int, kv_element_bytes: float
) -> DraftPlan:
    """EAGLE and MTP: one layer of the target's shape behind a projection of hidden states.

    Embedding and LM head are the target's; only EAGLE-3 has a head of its own, of fewer tokens
    (vLLM 0.32, model_executor/models/llama_eagle.py, llama_eagle3.py).
    """
    is_mtp, is_third = chain.method == "mtp", chain.method == "eagle3"
    group = msgspec.structs.replace(target.attention[0], num_layers=1, window=None, owns_kv=True)
    experts = None
    if is_mtp and target.experts is not None:
        experts = msgspec.structs.replace(target.experts, num_layers=1)
    projected = 2 * target.hidden * target.hidden
    if is_third:  # three hidden states are projected, and attention sees two vectors
        heads = target.num_heads + 2 * group.num_kv_heads
        projected = 3 * target.hidden * target.hidden + target.hidden * heads * group.head_dim
    vocab = min(target.vocab, EAGLE3_VOCAB) if is_third else target.vocab
    head = msgspec.structs.replace(
        target,
        name=f"{chain.method} head of {target.name}",
        attention=(group,),
        experts=experts,
        vocab=vocab,
        weight_format=target.weight_format if is_mtp else formats()["bf16"],
        table_params=0,
        extra_linear_params=projected,
        tied_embeddings=True,
    )
    own_head = head.lm_head_params * 2 if is_third else 0
    layer = head.dense_bytes + head.all_expert_params * head.bytes_per_param("experts")
    weights = math.ceil((layer + own_head) / shards)
    source = "one layer of the target behind a projection; embedding and LM head are the target's"
    if is_third:
        source = f"the same, with an LM head of {vocab} tokens of its own"
    return replace(
        chain,
        name=f"{chain.method} head",
        model=head,
        weight_bytes=weights,
        kv_token_bytes=head.kv_bytes_per_token(kv_element_bytes, shards),
        notes=(_note("head", head.name, source),),
    )


def _with_medusa(
    chain: DraftPlan, given: SpeculationConfig, target: ModelSpec, shards: int
) -> DraftPlan:
    """A residual layer and an LM head of its own for each draft token (models/medusa.py of 0.32).

    vLLM verifies the chain of the heads' first choices; a tree is the paper's.
    """
    weights = chain.num_drafts * medusa_head_params(target) * 2 / shards
    source = "vLLM 0.32 verifies a chain of the heads' first choices, not the paper's tree"
    verified = 1 + chain.num_drafts
    if given.tree_tokens is not None:
        verified = given.tree_tokens
        source = (
            "the paper's tree is not in vLLM 0.32: scheduled as a chain as deep as it, computed as "
            "all its nodes, which take no KV blocks and no token budget beyond the chain's"
        )
    return replace(
        chain,
        name=f"{chain.num_drafts} Medusa heads",
        verified_tokens=verified,
        sampled_rows=verified,
        weight_bytes=math.ceil(weights),
        notes=(_note("medusa", verified, source),),
    )


def medusa_head_params(target: ModelSpec) -> int:
    """Parameters of one Medusa head: a residual layer and an LM head."""
    return target.hidden * target.hidden + target.lm_head_params


def _with_branches(chain: DraftPlan, given: SpeculationConfig) -> DraftPlan:
    """Lookahead decoding: (W + G) (N - 1) tokens a step, with N - 1 drafts (its paper, section 3).

    Logits are needed of the window's last column, of the n-grams verified and of the last token.
    """
    window = LOOKAHEAD_WINDOW if given.window is None else given.window
    guesses = window if given.guesses is None else given.guesses
    verified = max((window + guesses) * chain.num_drafts, 1 + chain.num_drafts)
    rows = min(verified, 1 + window + guesses * chain.num_drafts)
    source = (
        f"W {window}, G {guesses}, N {chain.num_drafts + 1}: (W + G) (N - 1) tokens. Not in vLLM "
        "0.32: scheduled as n-gram drafts are (synchronous, N - 1 drafts, no KV for the branches)"
    )
    return replace(
        chain,
        verified_tokens=verified,
        sampled_rows=max(rows, 1 + chain.num_drafts),
        notes=(_note("lookahead", verified, source),),
    )


def _note(name: str, value: Any, source: str) -> dict[str, Any]:
    return {"name": f"speculation.{name}", "value": value, "kind": "assumed", "source": source}
