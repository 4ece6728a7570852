"""Measured runs of vLLM beside their simulation.

`validate` does a whole folder; `read_cases` gives its runs one by one, `compare` simulates one of
them, `simulate_case` gives the simulated `Run`. The layouts are in `agentsim.validation.layouts`.
"""

from agentsim.validation.case import Case, MeasuredCall, NotSimulated, figure, measured_run
from agentsim.validation.compare import compare, simulate_case
from agentsim.validation.folder import validate
from agentsim.validation.layouts import read_cases
from agentsim.validation.results import Comparison, Row, Score, Validation

__all__ = [
    "Case",
    "Comparison",
    "MeasuredCall",
    "NotSimulated",
    "Row",
    "Score",
    "Validation",
    "compare",
    "figure",
    "measured_run",
    "read_cases",
    "simulate_case",
    "validate",
]
