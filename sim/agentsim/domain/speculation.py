"""Settings of speculative decoding beside the engine's own: which drafts are kept, what they cost.

`engine.speculative_method` and `engine.num_speculative_tokens` say which method drafts, and how
many tokens; the table ``[speculation]`` says the rest. Every field left at None takes the method's
default, with its source (`agentsim.policies.acceptance`, `agentsim.machine.drafting`).
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from agentsim.errors import ConfigError

Count = Annotated[int, msgspec.Meta(ge=1)]
Chance = Annotated[float, msgspec.Meta(ge=0, le=1)]
NonNegative = Annotated[float, msgspec.Meta(ge=0)]

#: methods that look for a match, and may find none
MATCHING = ("ngram", "suffix")


class SpeculationConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which drafts are kept, and what proposing and verifying them takes.

    Attributes
    ----------
    acceptance : str or None
        Acceptance model (`agentsim list drafters`). None: what the rates below stand for.
    rate : float or None
        Chance of a draft token to be accepted when those before it were.
    rates : tuple of float or None
        For each position the share of all verifications that accepted it, as vLLM reports them
        (``spec_decode_per_position_acceptance_rates``); they never grow.
    spread : float or None
        Standard deviation of the sequences' own rates around `rate`.
    proposal : float or None
        Chance that a match is found and anything proposed (n-gram, suffix).
    draft_model : str or None
        Name or ``config.json`` of the draft model.
    heterogeneous_vocab : bool
        Let the draft model have another vocabulary (`use_heterogeneous_vocab`).
    tree_tokens : int or None
        Nodes of a Medusa tree that are verified for each sequence, instead of one chain.
    window, guesses : int or None
        W and G of Lookahead decoding: columns of its window, n-grams verified.
    match_step_s, match_sequence_s, match_token_s : float or None
        CPU seconds of matching: each step, each sequence, each token of its context.
    pass_overhead_s : float or None
        Seconds of each pass of a drafter beside its kernels.
    """

    acceptance: str | None = None
    rate: Chance | None = None
    rates: Annotated[tuple[Chance, ...], msgspec.Meta(min_length=1)] | None = None
    spread: NonNegative | None = None
    proposal: Chance | None = None
    draft_model: str | None = None
    heterogeneous_vocab: bool = False
    tree_tokens: Count | None = None
    window: Count | None = None
    guesses: Count | None = None
    match_step_s: NonNegative | None = None
    match_sequence_s: NonNegative | None = None
    match_token_s: NonNegative | None = None
    pass_overhead_s: NonNegative | None = None


#: Settings that only some methods read.
_READ_BY = {
    "proposal": MATCHING,
    "draft_model": ("draft_model",),
    "heterogeneous_vocab": ("draft_model",),
    "tree_tokens": ("medusa",),
    "window": ("lookahead",),
    "guesses": ("lookahead",),
    "match_step_s": MATCHING,
    "match_sequence_s": MATCHING,
    "match_token_s": MATCHING,
    "pass_overhead_s": ("draft_model", "eagle", "eagle3", "mtp", "medusa"),
}


def check_speculation(settings: SpeculationConfig, method: str, num_drafts: int) -> None:
    """Refuse settings that contradict the method or one another.

    Raises
    ------
    ConfigError
        Naming the setting, and what to give instead.
    """
    for name, value in msgspec.structs.asdict(settings).items():
        if value is None or value is False:
            continue
        readers = _READ_BY.get(name)
        if method == "none":
            raise ConfigError(
                f"speculation.{name}: nothing is drafted with engine.speculative_method 'none'; "
                f"set it to {_listed(readers or ('ngram', 'draft_model', 'medusa'))}, or leave "
                f"speculation.{name} out"
            )
        if readers is not None and method not in readers:
            raise ConfigError(
                f"speculation.{name}: only for engine.speculative_method {_listed(readers)}, got "
                f"{method!r}; leave it out"
            )
    if method == "draft_model" and settings.draft_model is None:
        raise ConfigError(
            "speculation.draft_model: speculative_method 'draft_model' needs the name of one, such "
            "as qwen2.5-0.5b"
        )
    if settings.tree_tokens is not None and settings.tree_tokens <= num_drafts:
        raise ConfigError(
            f"speculation.tree_tokens: expected more than num_speculative_tokens ({num_drafts}), "
            f"the depth of the tree, got {settings.tree_tokens}"
        )
    _check_rates(settings, num_drafts)


def _check_rates(settings: SpeculationConfig, num_drafts: int) -> None:
    if settings.rates is None:
        return
    if settings.rate is not None:
        raise ConfigError("speculation.rate and speculation.rates: give one of them, not both")
    if len(settings.rates) < num_drafts:
        raise ConfigError(
            f"speculation.rates: expected one for each of the {num_drafts} draft tokens, got "
            f"{len(settings.rates)}"
        )
    if list(settings.rates) != sorted(settings.rates, reverse=True):
        raise ConfigError(
            "speculation.rates: expected numbers that never grow (shares of all verifications that "
            f"accepted the position), got {list(settings.rates)}"
        )


def _listed(names: tuple[str, ...]) -> str:
    return " or ".join(map(repr, names))
