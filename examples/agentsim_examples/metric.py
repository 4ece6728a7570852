"""A metric: time to first token for each thousand tokens of prompt."""

from __future__ import annotations

import numpy as np

from agentsim.domain.records import Run
from agentsim.domain.tally import Tally
from agentsim.domain.units import NS_PER_S
from agentsim.report.metrics import Metric, Sample, served_chunks


def ttft_per_ktoken(run: Run) -> Sample:
    """TTFT over prompt length, of the requests that have a first token."""
    tally = Tally(np.float64)
    for columns in served_chunks(run, "submitted_ns", "first_token_ns", "prompt_tokens"):
        has_one = columns["first_token_ns"] >= 0
        ttft_s = (columns["first_token_ns"] - columns["submitted_ns"])[has_one] / NS_PER_S
        tally.add(ttft_s * 1000 / columns["prompt_tokens"][has_one])
    return Sample.of(tally)


TTFT_PER_KTOKEN = Metric(
    name="ttft_per_ktoken",
    unit="s/ktoken",
    better="lower",
    sample=ttft_per_ktoken,
    meaning="time to first token by thousand prompt tokens",
)
