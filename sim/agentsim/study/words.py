"""Figures and names of a study in words."""

from __future__ import annotations

import re
from collections.abc import Sequence

from agentsim.report.durations import dollars, duration, energy, percent, significant
from agentsim.study.figures import Figure


def said(value: float, figure: Figure) -> str:
    """A figure in words, with its unit."""
    match figure.unit:
        case "s":
            return duration(value)
        case "$":
            return dollars(value)
        case "$/h":
            return f"{dollars(value)}/h"
        case "share":
            return percent(value)
        case "kWh":
            return energy(value)
    return f"{significant(value)} {figure.unit}"


def short_name(name: str) -> str:
    """Settings without the table they stand in.

    Examples
    --------
    >>> short_name("gpu=l4 engine.max_num_seqs=8")
    'gpu=l4 max_num_seqs=8'
    """
    return re.sub(r"(?<!\S)[a-z_.]+\.(?=[a-z_0-9]+=)", "", name)


def listed(names: Sequence[str]) -> str:
    """Names one after the other, the last one after "and"."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
