"""Prompts sent again and again are found by their lengths."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agentsim.validation.cycles import Cycle, find_cycle
from agentsim.validation.prompts import prompts_of
from agentsim.validation.tables import Record

#: lengths that differ enough for a list to be recognised
LISTS = st.lists(st.integers(400, 600), min_size=8, max_size=40, unique=True)


@given(LISTS, st.integers(3, 6))
def test_a_list_sent_in_turn_is_found(tokens: list[int], times: int) -> None:
    assert find_cycle(tokens * times) == Cycle(tuple(tokens))


@given(LISTS, st.integers(0, 10))
def test_requests_swapped_with_a_neighbour_are_recognised(tokens: list[int], where: int) -> None:
    """Two requests sent at about the same time may be recorded the other way round."""
    sent = tokens * 6
    place = len(tokens) + where
    sent[place], sent[place + 1] = sent[place + 1], sent[place]
    found = find_cycle(sent)
    if found is None:  # two swapped of few: too many lengths are at another place
        assert len(tokens) < 20
        return
    places = [found.place(number, length) for number, length in enumerate(sent)]
    assert [found.tokens[k] for k in places] == sent


@given(st.lists(st.integers(1, 10_000), min_size=30, max_size=90, unique=True))
def test_lengths_that_do_not_repeat_are_no_list(tokens: list[int]) -> None:
    assert find_cycle(tokens) is None


def test_equal_lengths_are_no_list() -> None:
    """All prompts of one length may all be different: nothing says that they are the same."""
    assert find_cycle([512] * 100) is None


def test_unknown_lengths_are_those_of_their_place() -> None:
    """The last 10 failed, and their lengths were not recorded."""
    tokens = [500, 510, 520, 530, 540, 550, 560, 570, 580, 590]
    run = Record("runs.csv:2", {"run_id": "r"})
    prompts = prompts_of(run, [*(tokens * 3), *([0] * 10)], [0] * 40)
    segments = prompts.of_repeat(0)
    assert segments[33] == segments[3] == (("question-3", 530),)
    assert not prompts.is_drawn


def test_the_same_prompt_has_the_same_group_each_time() -> None:
    run = Record(
        "runs.csv:2",
        {"run_id": "r", "system_prompt_groups": "4", "shared_system_prompt_tokens": "100"},
    )
    tokens = [500, 510, 520, 530, 540, 550, 560, 570, 580, 590]
    prompts = prompts_of(run, tokens * 3, [0] * 30)
    first, second = prompts.of_repeat(0), prompts.of_repeat(1)
    assert first[:10] == first[10:20]
    assert first != second
    assert first[0][1] == ("question-0", 400)
