"""How often drafts are accepted where nobody measured: the defaults of each method, with sources.

Start at `resolve`. A rate is the chance of a draft token to be accepted when those before it were.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from agentsim.domain.config import Config
from agentsim.domain.speculation import SpeculationConfig
from agentsim.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Acceptance:
    """An acceptance model with its numbers.

    Attributes
    ----------
    model : str
        Name in `agentsim.policies.drafters.DRAFTERS`.
    method : str
        Which method drafts; the model ``trace`` looks for what a trace says of it.
    rate, rates, spread : float, tuple of float, float
        As in `SpeculationConfig`.
    proposal : float
        Chance that anything is proposed after a step.
    source : str
        Where the numbers come from.
    """

    model: str
    method: str = "none"
    rate: float = 0.0
    rates: tuple[float, ...] = ()
    spread: float = 0.0
    proposal: float = 1.0
    source: str = ""


#: Standard deviation of the rates of sequences where `drawn` is asked for without one.
SPREAD = 0.1

#: method -> default rate, and where it is from
DEFAULT_RATES: dict[str, tuple[float, str]] = {
    "ngram": (
        0.001,
        "about 0.1 % of the n-gram drafts of agents were accepted (Columbia case study, 2025)",
    ),
    "draft_model": (
        0.71,
        "LaMDA 137B drafted by LaMDA 2B on dialogue: alpha 0.71 (Leviathan et al., ICML 2023, "
        "table 3); chat, not agents",
    ),
    "medusa": (
        0.6,
        "top-1 accuracy of the first head about 60 % (Cai et al., Medusa, 2024), taken for each "
        "head when those before it were right; chat, not agents",
    ),
    "medusa tree": (
        0.8,
        "top-5 accuracy of the first head over 80 % (Cai et al., Medusa, 2024), taken for each "
        "level of the tree; chat, not agents",
    ),
    "eagle": (
        0.8,
        "draft accuracy about 0.8, against 0.6 of Medusa (Li et al., EAGLE, ICML 2024); chat, not "
        "agents",
    ),
    "eagle3": (0.8, "as EAGLE; the paper of EAGLE-3 (Li et al., 2025) promises more"),
    "mtp": (
        0.85,
        "second token accepted in 85 to 90 % of cases (DeepSeek-V3 technical report, 2024, 5.4.3), "
        "taken for each further token too",
    ),
    "lookahead": (
        0.46,
        "4 drafts accepted at 0.46 give 1.8 tokens a step, the speed-up stated for MT-Bench "
        "(Fu et al., Lookahead decoding, ICML 2024); chat, not agents",
    ),
}


def resolve(config: Config) -> Acceptance:
    """The acceptance model of a run, with the numbers it was given or the method's own.

    Raises
    ------
    ConfigError
        If the method has no default and no rate is given.
    """
    given, method = config.speculation, config.engine.speculative_method
    base = Acceptance(
        model=given.acceptance or _model_of(given),
        method=method,
        proposal=1.0 if given.proposal is None else given.proposal,
        source="given",
    )
    if given.rates is not None:
        return _checked(replace(base, rates=given.rates), given)
    if base.model == "drawn":
        base = replace(base, spread=SPREAD if given.spread is None else given.spread)
    if given.rate is not None:
        return _checked(replace(base, rate=given.rate), given)
    key = "medusa tree" if method == "medusa" and given.tree_tokens else method
    if base.model == "trace":
        return replace(base, source="fields of the trace's calls")
    if method == "none":
        return base
    if key not in DEFAULT_RATES:
        raise ConfigError(
            f"speculation.rate: no default is known for speculative_method {method!r}; give one, "
            "such as speculation.rate=0.5"
        )
    rate, source = DEFAULT_RATES[key]
    return _checked(replace(base, rate=rate, source=source), given)


def _model_of(given: SpeculationConfig) -> str:
    """The model that the numbers given stand for."""
    if given.rates is not None:
        return "per-position"
    return "drawn" if given.spread is not None else "fixed"


def _checked(found: Acceptance, given: SpeculationConfig) -> Acceptance:
    """`found`, if its model reads what was given."""
    reads = {
        "fixed": ("rate",),
        "per-position": ("rates",),
        "drawn": ("rate", "spread"),
        "trace": (),
    }.get(found.model)
    for name in ("rate", "rates", "spread"):
        if reads is not None and getattr(given, name) is not None and name not in reads:
            raise ConfigError(
                f"speculation.{name}: the acceptance model {found.model!r} does not read it; leave "
                "one of the two out"
            )
    if found.model == "per-position" and not found.rates:
        raise ConfigError(
            "speculation.rates: the acceptance model 'per-position' needs one rate for each draft "
            "token, such as speculation.rates=[0.7, 0.5, 0.3]"
        )
    return found


def assumption(found: Acceptance) -> dict[str, Any]:
    """The row of a run's assumptions that says which drafts are accepted."""
    value: Any = list(found.rates) or found.rate
    if found.model == "trace":
        value = "trace"
    kind = "measured" if found.model == "trace" else "assumed"
    name = f"speculation.acceptance ({found.method}, {found.model})"
    return {"name": name, "value": value, "kind": kind, "source": found.source}
