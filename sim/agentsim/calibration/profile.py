"""A fit as a file for ``--config``, and as text: values, errors, residuals, what fixed what."""

from __future__ import annotations

from collections.abc import Sequence

from agentsim.calibration.fit import Fit, Fitted
from agentsim.calibration.residuals import Residuals
from agentsim.domain.config import Config
from agentsim.machine.catalog import factor_table


def profile_toml(fit: Fit, config: Config, checked: Sequence[Residuals] = ()) -> str:
    """The profile: settings that `agentsim replay --config` reads, with where they are from.

    Parameters
    ----------
    checked : sequence of Residuals
        Of observations that were not fitted.
    """
    units = {name: row["unit"] for name, row in factor_table()["general"].items()}
    lines = [
        "# Factors of the step-time model, fitted by 'agentsim calibrate'.",
        f"# GPU {config.gpu}, measured with {config.model}.",
        *(f"# fitted: {line}" for line in residual_lines(fit.residuals)),
        *(f"# left out: {line}" for line in residual_lines(checked)),
        f'gpu = "{config.gpu}"',
        "",
        "[cost]",
    ]
    for factor in fit.factors:
        lines += [
            f"# {units[factor.name]}; {standing(factor)}",
            f"{factor.name} = {factor.value:.4g}",
        ]
    return "\n".join(lines) + "\n"


def standing(factor: Fitted) -> str:
    """How well a factor is known, and from what."""
    if not factor.is_identified:
        return f"not identified, near its default {factor.prior:.3g}"
    by = "; ".join(factor.fixed_by[:2]) or "all sources alike"
    return f"standard error {factor.error:.1%}; fixed by {by}"


def residual_lines(residuals: Sequence[Residuals]) -> list[str]:
    """One line for each source and regime."""
    return [
        f"{r.source}, {r.regime}: {r.num_observations:,} observations, mean error {r.mape:.1%}, "
        f"bias {r.bias:+.1%}, total {r.total:+.1%}"
        for r in residuals
    ]
