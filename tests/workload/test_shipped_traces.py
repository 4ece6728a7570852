"""The traces in `traces/`: made again byte by byte, and with the figures they must have."""

from __future__ import annotations

import itertools
import subprocess
import sys
from pathlib import Path

import pytest

from agentsim.domain.trace import Trace
from agentsim.workload.formats import read_trace
from agentsim.workload.inspect import inspect

FOLDER = Path(__file__).parents[2] / "traces"
S = 1_000_000_000


@pytest.fixture(scope="module")
def sre() -> Trace:
    """The ITBench run."""
    return read_trace(FOLDER / "itbench-sre.jsonl")


@pytest.fixture(scope="module")
def swe() -> Trace:
    """The SWE-agent run."""
    return read_trace(FOLDER / "swe-agent.jsonl")


def test_the_script_makes_the_committed_bytes(tmp_path: Path) -> None:
    script = FOLDER / "make_traces.py"
    subprocess.run([sys.executable, str(script), str(tmp_path)], check=True)
    made = sorted(path.name for path in tmp_path.iterdir())
    assert made == sorted(path.name for path in FOLDER.glob("*.jsonl"))
    for name in made:
        assert (tmp_path / name).read_bytes() == (FOLDER / name).read_bytes()


def test_the_sre_run_has_the_totals_of_the_case_study(sre: Trace) -> None:
    seen = inspect(sre)
    assert (seen.sessions, seen.calls) == (1, 93)
    assert (seen.prompt_tokens, seen.output_tokens) == (648_971, 8_301)
    assert seen.longest_prompt_tokens < 8_000
    assert round(100 * seen.prefill_share, 1) == 98.7


def test_the_sre_run_is_strictly_sequential(sre: Trace) -> None:
    calls = sre.sessions[0].calls
    assert calls[0].after == ()
    assert [call.after for call in calls[1:]] == [(call.id,) for call in calls[:-1]]


def test_the_sre_run_waits_for_tools_65_seconds(sre: Trace) -> None:
    calls = sre.sessions[0].calls
    waits = [call.delay_ns for call in calls]
    assert None not in waits
    assert sum(wait or 0 for wait in waits) == 65 * S
    for before, call in itertools.pairwise(calls):
        assert call.delay_ns == sum(tool.duration_ns or 0 for tool in before.tools)


def test_every_context_of_the_sre_run_begins_with_its_agents_head(sre: Trace) -> None:
    firsts = [call for call in sre.sessions[0].calls if call.segments is not None]
    assert len(firsts) == 11
    for call in firsts:
        assert call.segments is not None
        (head, _), (task, _), (rest, _) = call.segments
        assert head == f"sys:sre-{call.agent}"
        assert task.startswith("task:")
        assert rest.startswith("~")


def test_the_swe_run_has_the_published_shape(swe: Trace) -> None:
    """Published p10 / p50 / p90; of so few calls within 15 %."""
    seen = inspect(swe)
    assert seen.sessions == 20
    assert seen.longest_prompt_tokens == 28_000
    calls, output = seen.calls_per_session, seen.output
    assert [calls.p10, calls.p50, calls.p90] == pytest.approx([4, 11, 15], rel=0.15)
    assert [output.p10, output.p50, output.p90] == pytest.approx([29, 81, 153], rel=0.15)
    first = sorted(session.calls[0].input_tokens for session in swe)
    assert [first[2], first[9], first[17]] == pytest.approx([1_100, 1_900, 2_700], rel=0.15)
    others = [s for s in swe if max(c.input_tokens for c in s.calls) < 28_000]
    appended = inspect(Trace(others)).appended
    assert [appended.p10, appended.p50, appended.p90] == pytest.approx([42, 160, 1_100], rel=0.15)
    waits = seen.delay_s
    assert [waits.p10, waits.p50] == pytest.approx([0.12, 0.24], rel=0.15)
