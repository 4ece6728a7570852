"""agentsim: a discrete-event simulator of LLM agents being served by vLLM.

>>> from agentsim import Config, read_trace, simulate, summarize  # doctest: +SKIP
>>> run = simulate(read_trace("traces/itbench-sre.jsonl"), Config(gpu="l4"))  # doctest: +SKIP
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agentsim.domain.config import Config
    from agentsim.report.summary import summarize
    from agentsim.simulator import simulate
    from agentsim.study.compare import compare
    from agentsim.study.plan import plan
    from agentsim.workload.formats import read_trace

__version__ = "0.1.0"

_HOME = {
    "Config": "agentsim.domain.config",
    "compare": "agentsim.study.compare",
    "plan": "agentsim.study.plan",
    "read_trace": "agentsim.workload.formats",
    "simulate": "agentsim.simulator",
    "summarize": "agentsim.report.summary",
}

__all__ = ["Config", "__version__", "compare", "plan", "read_trace", "simulate", "summarize"]


def __getattr__(name: str) -> Any:
    """Import the public names when they are first asked for, so that the command starts fast."""
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'agentsim' has no attribute {name!r}")
