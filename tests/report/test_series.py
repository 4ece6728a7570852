"""A run over time keeps means, peaks and sums, whatever the number of points."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentsim.domain.records import Run
from agentsim.report.lanes import lanes, slices
from agentsim.report.series import binned
from agentsim.report.summary import summarize
from report.runs import S, request, run, session, step, two_turns


def test_two_turns_in_four_stretches_as_on_paper() -> None:
    """20 s in stretches of 5 s; blocks are held while a call is there: 2-8 and 12-20."""
    found = binned(two_turns(), max_bins=4)
    assert (found.bin_ns, found.is_downsampled) == (5 * S, True)
    assert found.means["used_blocks"].tolist() == [[4.0, 14.0, 18.0, 42.0]]
    assert found.peaks["used_blocks"].tolist() == [[10, 30, 30, 50]]
    assert found.means["num_seqs"].tolist() == [[0.4, 0.6, 0.6, 1.0]]
    assert found.sums["prefill_tokens"].tolist() == [[100, 0, 0, 100]]
    assert found.sums["prompt_tokens"].tolist() == [[100, 0, 300, 0]]
    assert found.sums["cached_tokens"].tolist() == [[0, 0, 100, 0]]
    assert found.edges_s.tolist() == [0, 5, 10, 15, 20]


@pytest.mark.parametrize(("most", "bin_ns"), [(1, 20 * S), (7, 5 * S), (20, S), (1000, S // 50)])
def test_stretches_are_1_2_or_5_times_a_power_of_ten(most: int, bin_ns: int) -> None:
    found = binned(two_turns(), max_bins=most)
    assert found.bin_ns == bin_ns
    assert len(found.lengths_s) <= most


def two_replicas(ends_s: list[int], blocks: list[int]) -> Run:
    """Steps in a row, in turn on two replicas, each serving a call of its own."""
    edges = np.cumsum([1, *ends_s]).tolist()
    pairs = list(zip(edges[:-1], edges[1:], blocks, strict=True))
    steps = [
        step(a, b, used_blocks=n, replica=i % 2, evicted_blocks=n, num_seqs=n)
        for i, (a, b, n) in enumerate(pairs)
    ]
    calls = [request("s", f"{i}", (a, a, b, b), replica=i % 2) for i, (a, b, _) in enumerate(pairs)]
    facts = {"num_gpu_blocks": 101, "block_size": 16}
    lives = [session("s", 0, edges[-1])]
    return run(calls, steps, lives, facts=facts, config={"cluster": {"replicas": 2}})


@given(st.lists(st.tuples(st.integers(1, 40), st.integers(1, 99)), min_size=1), st.integers(1, 60))
def test_means_and_sums_do_not_depend_on_the_points(rows: list[tuple[int, int]], most: int) -> None:
    made = two_replicas(*map(list, zip(*rows, strict=True)))
    found = binned(made, max_bins=most)
    kv = summarize(made).kv
    assert kv is not None
    mean = (found.means["used_blocks"] @ found.lengths_s).sum() / (made.makespan_ns / S) / 2
    assert mean == pytest.approx(kv.mean_share * kv.usable_blocks)
    assert found.peaks["used_blocks"].max() == kv.peak_blocks
    assert found.sums["evicted_blocks"].sum() == kv.evicted_blocks
    busy = (found.means["num_seqs"] @ found.lengths_s).sum()
    assert busy == pytest.approx(sum(last * seqs for last, seqs in rows))


@given(
    st.lists(
        st.tuples(st.integers(0, 9), st.integers(0, 3), st.integers(0, 9), st.sampled_from("abc")),
        max_size=30,
    )
)
def test_tracks_never_overlap_and_no_more_than_needed(
    rows: list[tuple[int, int, int, str]],
) -> None:
    """Any calls of a session, on a coarse grid: as many tracks as calls run at once, at most."""
    calls = [
        request("s", f"{i}", (a + w, a + w, a + w, a + w + n), delay_ns=w * S, agent=agent)
        for i, (a, w, n, agent) in enumerate(rows)
    ]
    made = run(calls, [], [session("s", 0, 30)])
    (part,) = lanes(made)
    for lane in range(max(part.lanes, default=-1) + 1):
        mine = part.lanes == lane
        assert (part.edges[0][mine][1:] >= part.edges[-1][mine][:-1]).all()
    at_once = [sum(a <= t < a + w + n for a, w, n, _ in rows) for t in range(30)]
    # what takes no time counts where something else begins
    moments = sum(w + n == 0 for _, w, n, _ in rows)
    assert max(part.lanes, default=-1) < max(at_once) + min(1, moments)


def test_too_many_slices_become_a_grid_of_the_longest_phases() -> None:
    """In 5 s the first turn prefills 2 and queues 1; a stretch mostly without a phase has none."""
    whole, grid = slices(two_turns()), slices(two_turns(), max_slices=4)
    assert (whole.grid_ns, grid.grid_ns) == (0, 5 * S)
    shown = zip(grid.phase.tolist(), grid.start_ns // S, grid.end_ns // S, strict=True)
    assert list(shown) == [(3, 0, 5), (4, 5, 10), (3, 10, 15), (4, 15, 20)]


def test_rows_beyond_the_first_are_counted() -> None:
    calls = [request(f"s{i}", "a", (0, 0, 1, 2), slot=i) for i in range(5)]
    lives = [session(f"s{i}", 0, 2, slot=i) for i in range(5)]
    found = slices(run(calls, [], lives), max_tracks=3)
    assert (len(found.tracks), found.num_tracks, set(found.track.tolist())) == (3, 5, {0, 1, 2})
