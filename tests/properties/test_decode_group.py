"""The sums of the decode group, operation by operation beside one counter for each member."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from agentsim.engine.group import DecodeGroup
from agentsim.engine.sequence import Sequence
from agentsim.machine.blocks import BlockTable

#: join with so many tokens computed and steps to make, whether the end is foreseen; steps to make
#: at once, as far as nobody leaves on the way; everybody out
OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("join"), st.integers(1, 60), st.integers(1, 12), st.booleans()),
        st.tuples(st.just("advance"), st.integers(1, 40)),
        st.tuples(st.just("dissolve")),
    ),
    max_size=40,
)


class Members:
    """Sequences one by one: tokens computed, steps left and whether the end is foreseen."""

    def __init__(self, block_size: int, window: int | None) -> None:
        self.block_size = block_size
        self.window = window
        self.left: dict[Sequence, int] = {}
        self.computed: dict[Sequence, int] = {}
        self.is_foreseen: dict[Sequence, bool] = {}

    def step(self) -> int:
        """Make a step; the blocks it takes."""
        needs = sum(count % self.block_size == 0 for count in self.computed.values())
        for sequence in self.left:
            self.computed[sequence] += 1
            self.left[sequence] -= 1
        return needs

    def windowed(self) -> int:
        """Context the next step reads within the window."""
        limit = self.window or 10**9
        return sum(min(count + 1, limit) for count in self.computed.values())

    def drop(self, sequence: Sequence) -> int:
        """Take one out; the tokens it has computed."""
        del self.left[sequence], self.is_foreseen[sequence]
        return self.computed.pop(sequence)


@given(OPERATIONS, st.sampled_from([1, 4, 16]), st.sampled_from([None, 5, 30]), st.integers(0, 1))
@settings(max_examples=300)
def test_sums_are_those_of_the_members(
    operations: list[tuple[int, ...]], block_size: int, window: int | None, lag: int
) -> None:
    group, members = DecodeGroup(block_size, lag, window), Members(block_size, window)
    for number, (name, *values) in enumerate(operations):
        if name == "join":
            computed, steps, is_foreseen = values
            # what is still to come of its output is placeholders, as the scheduler has it
            sequence = Sequence(
                owner=None, num_prompt=computed, num_output=steps + 1, max_tokens=99,
                table=BlockTable(None),
            )  # fmt: skip
            sequence.admission, sequence.computed = number, computed
            group.join(sequence, steps, bool(is_foreseen))
            members.left[sequence], members.computed[sequence] = steps, computed
            members.is_foreseen[sequence] = bool(is_foreseen)
        elif name == "advance" and members.left:
            most = min(members.left.values())
            num_steps = min(values[0], most)
            needs = group.needs(num_steps)
            group.advance(num_steps)
            assert needs == [members.step() for _ in range(num_steps)]
            leavers = [sequence for sequence, _ in group.take_leavers(lag + 1)]
            gone = [sequence for sequence, left in members.left.items() if not left]
            assert leavers == sorted(gone, key=lambda sequence: sequence.admission)
            assert [s.computed for s in leavers] == [members.drop(s) for s in leavers]
        elif name == "dissolve":
            out = [sequence for sequence, _ in group.dissolve()]
            assert out == list(members.left)
            assert [s.computed for s in out] == [members.drop(s) for s in out]
        compare(group, members)


def compare(group: DecodeGroup, members: Members) -> None:
    """All sums agree."""
    assert list(group) == list(members.left)
    assert group.num_members == len(members.left)
    assert group.context == sum(members.computed.values())
    assert group.window_context == members.windowed()
    assert group.block_needs == sum(
        count % members.block_size == 0 for count in members.computed.values()
    )
    if members.left:
        last = min(left - (not members.is_foreseen[s]) for s, left in members.left.items())
        assert group.steps_to_change() <= last
        if members.window is None:
            assert group.steps_to_change() == last
