"""How many experts of a mixture a batch activates when some are more popular than others."""

from __future__ import annotations

import math

import numpy as np

from agentsim.domain.specs import Experts


def distinct_experts(experts: Experts, skew: float, rows: int) -> list[float]:
    """Expected distinct experts of 0 to `rows` tokens that choose independently.

    A token leaves out an expert with probability 1 - p. Repeated products and sums in one order,
    no powers, so that every machine gets the same bits.

    Parameters
    ----------
    skew : float
        0: all experts are alike; else the popularity falls as 1 / (1 + skew x rank).
    """
    left_out = 1.0 - np.array(popularity(experts, skew))
    missed = np.repeat(left_out[:, np.newaxis], rows + 1, axis=1)
    missed[:, 0] = 1.0
    table: list[float] = (experts.num_experts - missed.cumprod(axis=1).sum(axis=0)).tolist()
    return table


def popularity(experts: Experts, skew: float) -> list[float]:
    """Probability that a token chooses each expert, the most popular first; their sum is k.

    In proportion to 1 / (1 + skew x rank); what an expert would have above 1 goes to the others.
    """
    weights = [1.0 / (1.0 + skew * rank) for rank in range(experts.num_experts)]
    certain = 0
    share = experts.per_token / math.fsum(weights)
    while certain < experts.per_token and weights[certain] * share > 1.0:
        certain += 1
        share = (experts.per_token - certain) / math.fsum(weights[certain:])
    return [1.0] * certain + [weight * share for weight in weights[certain:]]
