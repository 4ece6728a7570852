"""The public face of the package."""

from __future__ import annotations

import subprocess
import sys
from importlib import resources
from pathlib import Path

import agentsim

TRACE = str(Path(__file__).parents[1] / "traces" / "itbench-sre.jsonl")


def test_public_names_are_these_and_all_can_be_imported() -> None:
    """`__all__` is a promise."""
    names = ["Config", "__version__", "compare", "plan", "read_trace", "simulate", "summarize"]
    assert agentsim.__all__ == names
    for name in agentsim.__all__:
        assert getattr(agentsim, name) is not None


def test_the_readme_s_python_works() -> None:
    """In a process that has imported nothing else, whatever is imported first."""
    code = (
        "from agentsim import simulate, Config, read_trace, summarize\n"
        "import agentsim.simulator, agentsim\n"
        f"run = agentsim.simulate(read_trace({TRACE!r}), Config(gpu='h100'))\n"
        "print(summarize(run).runtime_s > 0, callable(simulate))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "True True\n"


def test_the_package_is_typed() -> None:
    """`py.typed` is shipped."""
    assert (resources.files("agentsim") / "py.typed").is_file()


def test_importing_the_package_imports_nothing_heavy() -> None:
    """So that the command starts at once."""
    heavy = ["numpy", "pandas", "pyarrow", "matplotlib", "rich", "simpy", "optuna", "jinja2"]
    code = f"import sys, agentsim.cli; print([m for m in {heavy!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
