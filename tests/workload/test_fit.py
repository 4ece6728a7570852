"""Fitting to the context limit: what each mode does, on traces small enough to follow."""

from __future__ import annotations

import pytest

from agentsim.domain.trace import Call, Session, Trace
from agentsim.errors import DoesNotFit, UnknownName
from agentsim.workload.fit import fit_to_limit

LIMIT = 1000

#: A chain that passes 999 tokens at its third call, with a head of 100.
CHAIN = (
    Call("a", 400, 50),
    Call("b", 800, 50, ("a",), extends="a", keep=450),
    Call("c", 1200, 60, ("b",), extends="b", keep=850),
    Call("d", 1500, 60, ("c",), extends="c", keep=1260),
    Call("e", 500, 60, ("d",), extends="d", keep=420),
)


def _fit(mode: str, *calls: Call, compact_tokens: int | None = None, head: int = 100) -> Trace:
    trace = Trace([Session("s", calls, system_tokens=head)], notes={"before": 1})
    return fit_to_limit(trace, LIMIT, mode, compact_tokens=compact_tokens)


def _shape(trace: Trace) -> list[tuple[str, int, str | None, int]]:
    return [(c.id, c.input_tokens, c.extends, c.keep) for s in trace for c in s.calls]


@pytest.mark.parametrize("mode", ["refuse", "skip", "truncate", "compact"])
def test_a_trace_that_fits_is_left_alone(mode: str) -> None:
    trace = Trace([Session("s", (Call("a", 999, 500),))])
    assert fit_to_limit(trace, LIMIT, mode) is trace


def test_refuse_names_the_first_how_many_and_the_other_choices() -> None:
    with pytest.raises(DoesNotFit) as caught:
        _fit("refuse", *CHAIN)
    assert str(caught.value) == (
        "call s/c has a prompt of 1200 tokens and the model takes at most 999 (max_model_len 1000);"
        " 2 of 5 calls are too long: choose --too-long skip, truncate or compact, or raise"
        " max_model_len"
    )


def test_a_prompt_of_the_limit_itself_is_too_long() -> None:
    """vLLM needs room for one token: a prompt is at most max_model_len - 1."""
    with pytest.raises(DoesNotFit):
        _fit("refuse", Call("a", 1000, 1))


def test_an_unknown_mode_suggests_the_nearest() -> None:
    with pytest.raises(UnknownName, match="did you mean 'truncate'"):
        _fit("trunkate", *CHAIN)


class TestSkip:
    def test_the_session_ends_at_the_first_prompt_that_is_too_long(self) -> None:
        trace = _fit("skip", *CHAIN)
        assert _shape(trace) == [("a", 400, None, 0), ("b", 800, "a", 450)]
        assert trace.notes == {
            "before": 1,
            "calls skipped: prompt too long": 1,
            "calls skipped: after a skipped call": 2,
            "prompt tokens of skipped calls": 1200 + 1500 + 500,
        }

    def test_calls_that_do_not_wait_for_a_skipped_one_stay(self) -> None:
        side = Call("side", 300, 10, ("a",))
        join = Call("join", 300, 10, ("side", "c"))
        trace = _fit("skip", *CHAIN[:3], side, join)
        assert [call.id for call in trace.sessions[0].calls] == ["a", "b", "side"]

    def test_a_prompt_with_the_output_of_a_skipped_call_is_skipped(self) -> None:
        uses = Call("uses", 70, 10, (), segments=(("out:big", 50), ("x", 20)))
        trace = _fit("skip", Call("a", 5, 5), Call("big", 5000, 50), uses)
        assert [call.id for call in trace.sessions[0].calls] == ["a"]

    def test_a_prompt_that_extends_a_skipped_one_goes_on_from_its_base(self) -> None:
        fork = Call("fork", 900, 10, ("a",), extends="c", keep=820)
        trace = _fit("skip", *CHAIN[:3], fork)
        assert _shape(trace)[-1] == ("fork", 900, "b", 820)

    def test_a_prompt_that_extends_a_skipped_root_shares_nothing(self) -> None:
        fork = Call("fork", 900, 10, (), extends="big", keep=820)
        trace = _fit("skip", Call("big", 5000, 50), fork)
        assert _shape(trace) == [("fork", 900, None, 0)]

    def test_a_session_of_which_nothing_is_left_is_left_out(self) -> None:
        trace = _fit("skip", Call("a", 5000, 1))
        assert len(trace) == 0


class TestTruncate:
    def test_the_oldest_tokens_after_the_head_go_and_the_answer_has_room(self) -> None:
        trace = _fit("truncate", *CHAIN)
        assert _shape(trace) == [
            ("a", 400, None, 0),
            ("b", 800, "a", 450),
            ("c", 940, "b", 100),
            ("d", 940, "c", 100),
            ("e", 500, "b", 420),
        ]
        assert trace.notes == {
            "before": 1,
            "prompts truncated": 2,
            "prompt tokens truncated": 260 + 560,
        }

    def test_without_a_head_nothing_is_shared(self) -> None:
        assert _shape(_fit("truncate", *CHAIN, head=0))[2:4] == [
            ("c", 940, None, 0),
            ("d", 940, None, 0),
        ]

    def test_a_long_answer_leaves_half_the_limit_to_the_prompt(self) -> None:
        trace = _fit("truncate", Call("a", 1200, 900), Call("b", 1200, 0))
        assert [n for _, n, _, _ in _shape(trace)] == [500, 999]

    def test_segments_keep_their_shared_start(self) -> None:
        segments = (("sys", 60), ("task", 90), ("~old", 1050))
        trace = _fit("truncate", Call("a", 1200, 40, segments=segments), head=0)
        assert trace.sessions[0].calls[0].segments == (("sys", 60), ("task", 90), ("~cut:a", 810))

    def test_blocks_share_nothing_any_more(self) -> None:
        trace = _fit("truncate", Call("a", 1200, 40, blocks=(1, 2, 3), block_tokens=512), head=0)
        call = trace.sessions[0].calls[0]
        assert (call.input_tokens, call.blocks, call.block_tokens) == (960, None, 0)

    def test_a_truncated_root_hands_on_its_head(self) -> None:
        trace = _fit(
            "truncate", Call("a", 1200, 40), Call("b", 300, 1, ("a",), extends="a", keep=300)
        )
        assert _shape(trace) == [("a", 960, None, 0), ("b", 300, "a", 100)]


class TestCompact:
    def test_a_new_base_then_growth_by_what_each_call_appended(self) -> None:
        trace = _fit("compact", *CHAIN, compact_tokens=300)
        assert _shape(trace) == [
            ("a", 400, None, 0),
            ("b", 800, "a", 450),
            ("c", 300, "b", 100),
            ("d", 600, "c", 360),  # 240 appended to c's 300 + 60
            ("e", 500, "b", 420),  # began anew: drops more than the summary holds
        ]
        assert trace.notes == {
            "before": 1,
            "prompts compacted": 1,
            "prompts shortened by an earlier compaction": 1,
            "prompt tokens saved by compaction": 900 + 900,
        }

    def test_the_new_base_is_a_quarter_of_the_limit_unless_said(self) -> None:
        assert _shape(_fit("compact", *CHAIN))[2] == ("c", 250, "b", 100)

    def test_a_session_is_compacted_as_often_as_it_overflows(self) -> None:
        calls = [Call("0", 500, 0)]
        for number in range(1, 12):
            base = calls[-1]
            calls.append(
                Call(
                    str(number), base.input_tokens + 300, 0, (base.id,),
                    extends=base.id, keep=base.input_tokens,
                )
            )  # fmt: skip
        lengths = [n for _, n, _, _ in _shape(_fit("compact", *calls, compact_tokens=300))]
        assert lengths == [500, 800, 300, 600, 900, 300, 600, 900, 300, 600, 900, 300]

    def test_a_call_that_drops_the_end_of_its_base_drops_it_after_a_compaction_too(self) -> None:
        dropper = Call("d", 1250, 10, ("c",), extends="c", keep=1150)
        trace = _fit("compact", *CHAIN[:3], dropper, compact_tokens=300)
        assert _shape(trace)[-1] == ("d", 350, "c", 250)

    def test_a_head_longer_than_the_summary_is_kept(self) -> None:
        assert _shape(_fit("compact", *CHAIN, compact_tokens=50))[2] == ("c", 100, "b", 100)

    def test_segments_of_one_agent_grow_from_the_summary(self) -> None:
        first = (("sys", 100), ("~old", 1100))
        calls = (
            Call("a", 1200, 50, segments=first),
            Call("b", 1350, 5, ("a",), segments=(*first, ("out:a", 50), ("obs", 100))),
        )
        trace = _fit("compact", *calls, compact_tokens=300, head=0)
        assert trace.sessions[0].calls[0].segments == (("sys", 100), ("~summary:a", 200))
        assert _shape(trace)[1] == ("b", 450, "a", 350)

    def test_blocks_of_one_agent_grow_from_the_summary(self) -> None:
        calls = (
            Call("a", 1200, 0, blocks=(1, 2, 3), block_tokens=400),
            Call("b", 1600, 0, ("a",), blocks=(1, 2, 3, 4), block_tokens=400),
        )
        trace = _fit("compact", *calls, compact_tokens=300, head=0)
        assert _shape(trace) == [("a", 300, None, 0), ("b", 700, "a", 300)]

    @pytest.mark.parametrize("tokens", [0, 1000])
    def test_a_summary_that_cannot_be_is_told(self, tokens: int) -> None:
        with pytest.raises(DoesNotFit) as caught:
            _fit("compact", *CHAIN, compact_tokens=tokens)
        assert str(caught.value) == (
            f"compacted prompts: expected 1 to 999 tokens (max_model_len 1000), got {tokens}"
        )
