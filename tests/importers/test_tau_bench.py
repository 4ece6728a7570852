"""tau-bench's conversations: counted text against the answer key."""

from __future__ import annotations

from pathlib import Path

import pytest

from agentsim.workload.formats import read_trace
from agentsim.workload.importers.reading import import_logs
from importers.samples import sample

#: Tokens by which prompts are off where an e-mail address was replaced after the key was counted.
SCRUBBED = 4


def test_the_shared_runs_are_those_of_the_answer_key(shared: Path) -> None:
    """Calls, order, tokens counted with o200k_base, prefixes; 2 of its 116 sessions."""
    pytest.importorskip("bpe_openai")
    folder = shared / "traces" / "tau-bench"
    key = {
        session.id: session.calls
        for session in read_trace(folder / "gpt-4o-airline.calls.jsonl.gz")
    }
    trace, _ = import_logs([str(folder / "raw")])
    assert len(trace) == 2
    off = set()
    for session in trace:
        wanted = key["airline/" + session.id.partition("/")[2]]
        assert [call.output_tokens for call in session.calls] == [c.output_tokens for c in wanted]
        for call, want in zip(session.calls, wanted, strict=True):
            off.add(want.input_tokens - call.input_tokens)
            assert want.keep - call.keep in (0, SCRUBBED)
            assert (call.id, call.after, call.extends) == (want.id, want.after, want.extends)
    assert off == {0, SCRUBBED}


def test_runs_share_the_system_prompt_and_calls_have_their_tools() -> None:
    trace, report = import_logs([str(sample("tau-bench"))])
    first, second = trace
    assert [call.trigger for call in first.calls] == ["user", "tool", "user"]
    assert [tool.name for tool in first.calls[0].tools] == ["find_order"]
    assert first.calls[0].segments is not None
    assert second.calls[0].segments is not None
    assert first.calls[0].segments[0] == second.calls[0].segments[0]
    assert first.calls[0].segments[1] != second.calls[0].segments[1]
    assert report.standing["wait"] == {"measured": 0, "estimated": 0, "missing": 6}
