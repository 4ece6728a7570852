"""The reference traces: all are read whole, and their published figures come out."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from agentsim.domain.trace import Trace
from agentsim.workload.fit import fit_to_limit
from agentsim.workload.formats import read_trace
from agentsim.workload.heads import share_heads
from agentsim.workload.inspect import Inspection, appended_tokens, inspect, quantiles

#: file -> sessions, calls, longest prompt (README there, and counted in the files as JSON).
FILES = {
    "agentcgroup-claude-code/glm-4.7-flash-local.calls.jsonl.gz": (53, 2_650, 119_023),
    "agentcgroup-claude-code/haiku-3.5-api.calls.jsonl.gz": (25, 420, 84_269),
    "agentcgroup-claude-code/haiku-4.5-api.calls.jsonl.gz": (15, 752, 106_364),
    "lmcache-agent-trace/magagent.calls.jsonl.gz": (17, 500, 10_053),
    "lmcache-agent-trace/miniswe.calls.jsonl.gz": (14, 285, 45_747),
    "lmcache-agent-trace/taubench.calls.jsonl.gz": (11, 145, 820),
    "mooncake/conversation_trace.dev.jsonl": (7_218, 7_218, 124_847),
    "mooncake/synthetic_trace.dev.jsonl": (2_395, 2_395, 191_374),
    "openhands/calls.jsonl.gz": (1, 23, 33_459),
    "swe-agent/calls.jsonl.gz": (15, 168, 13_886),
    "tau-bench/gpt-4o-airline.calls.jsonl.gz": (116, 1_413, 10_736),
    "weka-claude-code/calls.jsonl.gz": (429, 28_825, 880_502),
}
#: Reuse of prompts by earlier prompts, in percent of prompt tokens, as published for the full sets;
#: the development part is a sample of them.
PUBLISHED_REUSE = {
    "agentcgroup-claude-code/glm-4.7-flash-local.calls.jsonl.gz": 97.6,
    "agentcgroup-claude-code/haiku-3.5-api.calls.jsonl.gz": 92.5,
    "agentcgroup-claude-code/haiku-4.5-api.calls.jsonl.gz": 97.6,
    "openhands/calls.jsonl.gz": 95.8,
    "weka-claude-code/calls.jsonl.gz": 96.3,
    "lmcache-agent-trace/magagent.calls.jsonl.gz": 83.5,
    "mooncake/conversation_trace.dev.jsonl": 37.0,
}
#: The same where the published figure counts the agent's own output as reusable.
PUBLISHED_REUSE_WITH_OUTPUTS = {
    "swe-agent/calls.jsonl.gz": 88.0,
    "tau-bench/gpt-4o-airline.calls.jsonl.gz": 92.0,
}


@pytest.fixture(scope="module", params=sorted(FILES))
def named(request: pytest.FixtureRequest, shared: Path) -> tuple[str, Trace]:
    """Each of the files, read once."""
    return request.param, read_trace(shared / "traces" / request.param)


@pytest.fixture(scope="module")
def seen(named: tuple[str, Trace]) -> tuple[str, Inspection]:
    """Each of the files, inspected once."""
    name, trace = named
    return name, inspect(trace)


def test_no_trace_of_the_folder_is_forgotten(shared: Path) -> None:
    folder = shared / "traces"
    found = [*folder.glob("**/*calls.jsonl.gz"), *folder.glob("mooncake/*.jsonl")]
    assert sorted(str(path.relative_to(folder)) for path in found) == sorted(FILES)


def test_every_call_is_read(named: tuple[str, Trace]) -> None:
    name, trace = named
    longest = max(call.input_tokens for session in trace for call in session.calls)
    assert (len(trace), trace.num_calls, longest) == FILES[name]


def test_reuse_is_as_published(seen: tuple[str, Inspection]) -> None:
    """Within 2 points: the published figures are of the full sets, and rounded."""
    name, inspection = seen
    if name in PUBLISHED_REUSE:
        assert 100 * inspection.prompt_reuse == pytest.approx(PUBLISHED_REUSE[name], abs=2)
    if name in PUBLISHED_REUSE_WITH_OUTPUTS:
        expected = PUBLISHED_REUSE_WITH_OUTPUTS[name]
        assert 100 * inspection.reuse == pytest.approx(expected, abs=2)


def test_weka_reuses_96_3_percent(shared: Path) -> None:
    """Published: 96.3 % of prompt tokens, in 64-token blocks; here 429 of the 692 sessions."""
    trace = read_trace(shared / "traces" / "weka-claude-code" / "calls.jsonl.gz")
    inspection = inspect(trace)
    assert round(inspection.prompt_tokens / 1e9, 2) == 3.41
    assert 100 * inspection.prompt_reuse == pytest.approx(96.3, abs=0.3)
    assert (inspection.sub_agents, inspection.joins) == (42, 24)
    assert inspection.prefill_only_calls == 15


def test_weka_has_the_published_shape(shared: Path) -> None:
    """Published for the full set: outputs 104 / 217 / 894, appended 27 / 362 / 3.3 k."""
    trace = read_trace(shared / "traces" / "weka-claude-code" / "calls.jsonl.gz")
    inspection = inspect(trace)
    output, appended = inspection.output, inspection.appended
    assert [output.p10, output.p50, output.p90] == pytest.approx([104, 217, 894], rel=0.05)
    assert [appended.p10, appended.p50, appended.p90] == pytest.approx([27, 362, 3300], rel=0.1)


def test_swe_agent_has_the_published_shape(shared: Path) -> None:
    """Published for the full set: appended 42 / 160 / 1.1 k, outputs 29 / 81 / 153."""
    trace = read_trace(shared / "traces" / "swe-agent" / "calls.jsonl.gz")
    appended = quantiles(n for session in trace for n in appended_tokens(session) if n > 0)
    assert [appended.p10, appended.p50, appended.p90] == pytest.approx([42, 160, 1100], rel=0.15)


@pytest.mark.parametrize("mode", ["skip", "truncate", "compact"])
def test_every_trace_is_made_to_fit(named: tuple[str, Trace], mode: str) -> None:
    name, trace = named
    fitted = fit_to_limit(share_heads(trace), 32_768, mode)
    bases = {(s.id, c.id): c for s in fitted for c in s.calls}
    for session in fitted:
        for call in session.calls:
            assert call.input_tokens < 32_768
            if call.extends is not None:
                base = bases[session.id, call.extends]
                assert call.keep <= base.input_tokens + base.output_tokens
                assert call.keep <= call.input_tokens
    if mode != "skip":
        assert fitted.num_calls == FILES[name][1]


def test_an_inspection_of_a_real_trace_is_plain_json(seen: tuple[str, Inspection]) -> None:
    _, inspection = seen
    assert msgspec.json.decode(msgspec.json.encode(inspection), type=Inspection) == inspection
