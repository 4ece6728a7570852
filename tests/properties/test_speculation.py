"""Speculation with any method: one step at a time or as fast as it goes, the same columns."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from agentsim.domain.records import Run
from speculation.replays import METHODS, config, replay, trace

ACCEPTANCE: list[dict[str, Any]] = [
    {"rate": 0.0},
    {"rate": 0.6},
    {"rate": None, "rates": (0.9, 0.5, 0.5, 0.1)},
    {"rate": 0.5, "spread": 0.3},
]


def columns(run: Run) -> dict[str, list[Any]]:
    tables = {"requests": run.requests, "steps": run.steps, "sessions": run.sessions}
    return {
        f"{t}.{n}": column.tolist() for t, table in tables.items() for n, column in table.items()
    }


@given(
    st.sampled_from(sorted(METHODS)),
    st.integers(1, 4),
    st.sampled_from(ACCEPTANCE),
    st.sampled_from([None, 1, 3]),
    st.fixed_dictionaries(
        {
            "num_gpu_blocks": st.sampled_from([130, 4000]),
            "max_num_batched_tokens": st.sampled_from([64, 2048]),
            "max_num_seqs": st.sampled_from([2, 8]),
        }
    ),
)
@settings(max_examples=40)
def test_one_step_at_a_time_changes_nothing(
    method: str,
    num_drafts: int,
    acceptance: dict[str, Any],
    num_agents: int | None,
    engine: dict[str, int],
) -> None:
    """Every column agrees, with tight memory (preemptions) and small budgets too."""
    engine = {**engine, "max_model_len": 1800}
    agents = {"num_agents": num_agents}
    made = config(method, num_drafts, engine=engine, agents=agents, **acceptance)
    load = trace(num_sessions=3, num_turns=3)
    exact = columns(replay(made, load, exact=True))
    fast = columns(replay(made, load))
    assert exact == fast
