"""What all tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# No time limits inside tests: a busy machine must not make them fail. The same examples each time:
# what passed must not fail by chance where it is only checked again.
settings.register_profile(
    "agentsim",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    print_blob=True,
    derandomize=True,
)
# To look for what is still wrong: pytest --hypothesis-profile=thorough, other examples each time
settings.register_profile(
    "thorough", settings.get_profile("agentsim"), max_examples=500, derandomize=False
)
settings.load_profile("agentsim")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The reference data: `AGENTSIM_SHARED`, or `shared` beside the repository; else a skip."""
    beside = Path(__file__).parents[2] / "shared"
    path = Path(os.environ.get("AGENTSIM_SHARED", beside))
    if not path.is_dir():
        pytest.skip(f"no reference data at {path}: set AGENTSIM_SHARED")
    return path
