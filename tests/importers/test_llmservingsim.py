"""LLMServingSim's sessions and single requests."""

from __future__ import annotations

from importers.samples import sample
from importers.sessions import MS, S, read


def test_tools_run_after_the_answer() -> None:
    trace, _ = read(sample("llmservingsim"))
    for name, wait in (("swe-1", S // 2), ("swe-2", 3 * S // 2)):
        first, second = trace.find(name).calls
        assert (second.after, second.delay_ns, second.trigger) == (("main/0",), wait, "tool")
        assert [tool.duration_ns for tool in first.tools] == [wait]
    assert trace.find("swe-2").at_ns == MS


def test_token_ids_show_what_prompts_share_in_all_sessions() -> None:
    trace, _ = read(sample("llmservingsim"))
    one, two = (call.blocks for call in trace.find("swe-1").calls)
    (single,) = (s.calls[0].blocks for s in trace if not s.id.startswith("swe"))
    assert one is not None
    assert two is not None
    assert single is not None
    assert (len(one), len(two), len(single)) == (3, 5, 3)
    assert one[:2] == two[:2] == single[:2]
    assert len({one[2], two[2], single[2]}) == 3


def test_without_ids_the_growth_tells_and_is_an_estimate() -> None:
    trace, report = read(sample("llmservingsim"))
    assert trace.find("swe-2").calls[1].keep == 50
    assert report.standing["prefix"]["estimated"] == 1
    kind = "prompts without token ids; what they share is estimated"
    assert report.warnings[kind].count == 1
