"""What a spec may say, and the points that follow from it."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentsim.domain.config import load_config
from agentsim.errors import TraceError, UserError
from agentsim.study.sweep.grid import Axis, Grid, Range, draw
from agentsim.study.sweep.points import Plan
from agentsim.study.sweep.spec import read_spec
from study.sweeps import GRID, plan_of, write_spec, write_trace

axes = st.lists(st.integers(1, 4), max_size=5).map(
    lambda sizes: tuple(
        Axis((f"a{i}", f"b{i}"), tuple((choice, -choice) for choice in range(size)))
        for i, size in enumerate(sizes)
    )
)


@given(axes)
def test_points_are_every_combination_once_the_last_axis_first(axes: tuple[Axis, ...]) -> None:
    grid = Grid(axes)
    listed = [
        {name: value for axis, row in zip(axes, rows, strict=True)
         for name, value in zip(axis.names, row, strict=True)}
        for rows in itertools.product(*(axis.rows for axis in axes))
    ]  # fmt: skip
    assert [grid.settings(number) for number in range(grid.num_points)] == listed
    assert grid.num_points == len(listed)


def test_the_number_of_points_needs_no_list_of_them() -> None:
    grid = Grid(tuple(Axis((str(i),), tuple((j,) for j in range(1000))) for i in range(20)))
    assert grid.num_points == 1000**20
    assert set(grid.settings(1000**20 - 1).values()) == {999}
    with pytest.raises(IndexError):
        grid.settings(1000**20)


@given(st.integers(-50, 50), st.integers(1, 50), st.floats(0, 1, exclude_max=True))
def test_a_range_gives_what_lies_in_it(low: int, length: int, share: float) -> None:
    whole, real = (
        Range(low, low + length).at(share),
        Range(float(low), low + length + 0.0).at(share),
    )
    assert isinstance(whole, int)
    assert isinstance(real, float)
    assert low <= whole <= low + length
    assert low <= real <= low + length
    if low > 0:
        assert low <= Range(low, low + length, is_log=True).at(share) <= low + length


@pytest.mark.parametrize("method", ["sobol", "latin", "random"])
def test_draws_are_repeated_by_their_seed_and_spread(method: str) -> None:
    ranges = [Range(0.0, 1.0), Range(1, 4)]
    first, again = (draw(method, 3, 64, ranges) for _ in range(2))  # type: ignore[arg-type]
    assert first == again != draw(method, 4, 64, ranges)  # type: ignore[arg-type]
    assert {row[1] for row in first} == {1, 2, 3, 4}
    if method != "random":  # a draw in each of 64 equal parts
        assert sorted(int(row[0] * 64) for row in first) == list(range(64))


def test_equal_draws_are_one_point() -> None:
    assert sorted(draw("latin", 0, 64, [Range(1, 3)])) == [(1,), (2,), (3,)]


def test_a_point_is_what_the_same_settings_are_elsewhere(tmp_path: Path) -> None:
    """Defaults too: without a model it is the case study's launch, with one it is not."""
    (tmp_path / "server.toml").write_text("engine.block_size = 32\n")
    text = (
        'trace = "trace.jsonl"\nconfig = "server.toml"\nvllm_args = "--max-num-seqs 7"\n'
        "[base]\nagents.tool_time_scale = 2\n"
    )
    sets = ["engine.block_size=32", "engine.max_num_seqs=7", "agents.tool_time_scale=2.0"]
    assert plan_of(tmp_path, text).point(0).config == load_config(sets=sets)
    plan = plan_of(tmp_path, text + '[vary]\nmodel = ["llama-3.1-8b", "qwen2.5-14b-awq"]\n')
    for point in plan.points():
        assert point.config is not None
        sets_all = [*sets, f"model={point.config.model}"]
        assert point.config == load_config(sets=sets_all)


def test_lists_of_a_zip_go_together_and_repeats_are_seeds(tmp_path: Path) -> None:
    text = (
        'trace = "trace.jsonl"\nrepeats = 2\n[base]\nseed = 5\n'
        '[[zip]]\ngpu = ["l4", "h100"]\nengine.max_num_seqs = [8, 64]\n'
    )
    points = [dict(point.settings) for point in plan_of(tmp_path, text).points()]
    assert [(p["gpu"], p["engine.max_num_seqs"], p["seed"]) for p in points] == [
        ("l4", 8, 5), ("l4", 8, 6), ("h100", 64, 5), ("h100", 64, 6)
    ]  # fmt: skip


def test_settings_that_contradict_are_a_point_that_fails(tmp_path: Path) -> None:
    text = 'trace = "trace.jsonl"\n[vary]\nengine.max_num_seqs = [64, 1024]\n[base]\n'
    first, second = plan_of(tmp_path, text + "engine.max_num_batched_tokens = 512\n").points()
    assert first.failure is None
    assert second.config is None
    assert "expected at least max_num_seqs (1024), got 512" in str(second.failure)


def test_a_run_is_known_by_all_that_it_follows_from(tmp_path: Path) -> None:
    """Content of files included, their names and the place in the spec not."""
    (tmp_path / "profile.toml").write_text(
        '[profile]\ngpu = "l4"\nstanding = "fitted"\nsource = "y"\n', encoding="utf-8"
    )
    base = '\n[base]\nprofile = "profile.toml"\n'
    text = 'trace = "trace.jsonl"\nfigures = ["runtime"]\n'
    varied = base + "[vary]\nagents.num_agents = "
    ids = {p.id for p in plan_of(tmp_path, text + varied + "[1, 2]").points()}
    assert len(ids) == 2
    assert {p.id for p in plan_of(tmp_path, text + varied + "[3, 2, 1]").points()} > ids
    for other in (
        text.replace("runtime", "cost") + varied + "[1, 2]",
        text + "samples = 2\n" + varied + "[1, 2]",
        text + "prices.gpu_price = 2.5\n" + varied + "[1, 2]",
    ):
        assert not {p.id for p in plan_of(tmp_path, other).points()} & ids, other
    (tmp_path / "profile.toml").write_text(
        '[profile]\ngpu = "l4"\nstanding = "fitted"\nsource = "z"\n', encoding="utf-8"
    )
    assert not {p.id for p in plan_of(tmp_path, text + varied + "[1, 2]").points()} & ids
    place = write_spec(tmp_path, GRID)
    before = Plan(read_spec(place)).point(0).id
    write_trace(tmp_path / "trace.jsonl", output_tokens=9)
    assert Plan(read_spec(place)).point(0).id != before


def test_the_same_trace_is_not_swept_twice(tmp_path: Path) -> None:
    place = write_spec(tmp_path, 'trace = ["trace.jsonl", "other.jsonl"]\n')
    write_trace(tmp_path / "other.jsonl", sessions=3)
    assert Plan(read_spec(place)).num_points == 2
    write_trace(tmp_path / "other.jsonl")
    with pytest.raises(TraceError, match=r"other\.jsonl: holds the same sessions as .*trace"):
        Plan(read_spec(place))


TRACE = 'trace = "trace.jsonl"\n'


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", r"spec.toml: trace: expected the path of a trace"),
        ("trace = 3", r"spec.toml: trace: expected text or a list, got 3"),
        ("trace = [1, 2", r"spec.toml.*: not TOML"),
        ('trace = "no.jsonl"', r"no\.jsonl: no such file"),
        (TRACE + "vari.gpu = [1]", r"spec.toml: vari: unknown key; did you mean 'vary'\?"),
        (TRACE + "vary = 3", r"vary: expected a table, got 3"),
        (TRACE + "vary.gpu = 'l4'", r"spec.toml: vary: gpu: expected a list, got 'l4'"),
        (TRACE + "vary.gpu = []", r"vary: gpu: expected a list, got \[\]"),
        (TRACE + "vary.gpu = [{}]", r"vary: gpu: expected a value, got a table"),
        (TRACE + "vary.gpu = ['l4', 'h10']", r"vary: gpu: unknown gpu 'h10'; did you mean 'h100'"),
        (TRACE + "vary.gpu = ['l4', 'l4']", r"vary: gpu: 'l4' comes twice"),
        (TRACE + "vary.engine = [1]", r"vary: engine: expected a table, got 1"),
        (TRACE + "vary.engine.max_num_seq = [1]", r"max_num_seq: unknown key; did you mean 'max_n"),
        (TRACE + "vary.engine.max_num_seqs = [4, 0]", r"max_num_seqs: expected an integer >= 1, g"),
        (TRACE + "vary.engine.policy = ['fcsf']", r"engine.policy: .*did you mean 'fcfs'"),
        (TRACE + "base.cluster.routing = 'x'", r"base: cluster.routing: unknown router 'x'"),
        (TRACE + "base.model = 'x'", r"base: model: unknown model 'x'"),
        (TRACE + "base.model = 'x.json'", r"model 'x.json': no such file"),
        (TRACE + "vary.seed = [1]\nrepeats = 2", r"spec.toml: seed: is varied twice"),
        (TRACE + "[[zip]]\ngpu = ['l4', 'h100']\nseed = [1]", r"zip\[0\]: expected lists of one l"),
        (TRACE + "[[zip]]", r"zip\[0\]: expected lists of one length, got: no list"),
        (TRACE + "samples = 1", r"samples: expected 0 or at least 2, got 1"),
        (TRACE + "repeats = 0", r"repeats: expected an integer >= 1, got 0"),
        (TRACE + "figures = []", r"figures: expected at least one"),
        (TRACE + "figures = ['p95 ttfd']", r"figures: unknown figure 'ttfd'; did you mean 'ttft'"),
        (TRACE + "figures = ['ttft']", r"figures: 'ttft': ttft has many values"),
        (TRACE + "preset = 'x'", r"unknown preset 'x'"),
        (TRACE + "config = 'x.toml'", r"x.toml: no such file"),
        (TRACE + "vllm_args = '--x'", r"--x"),
        (TRACE + "prices.gpu_price = -1", r"prices.gpu_price: expected a number >= 0"),
        (TRACE + "prices.price_table = 'x.toml'", r"x.toml: no such file"),
        (TRACE + "sample.cont = 4", r"sample.cont: unknown key; did you mean 'count'"),
        (TRACE + "sample.count = 4", r"sample: needs both count and ranges"),
        (TRACE + "sample = {count = 3, ranges = {seed = [1, 9]}}", r"power of 2 for sobol, got 3"),
        (TRACE + "sample = {count = 4, ranges = {seed = [9, 1]}}", r"seed: expected \[LOW, HIGH\]"),
        (TRACE + "sample = {count = 4, ranges = {seed = ['a', 'b']}}", r"expected \[LOW, HIGH\]"),
        (TRACE + "sample = {count = 4, ranges = {seed = [1.5, 9]}}", r"seed: expected an integer"),
        (TRACE + "sample = {count = 4, ranges = {gpu = [1, 9]}}", r"gpu: expected text, got 1"),
        (TRACE + "sample = {count = 4, ranges = {seed = [0, 9]}, log = ['seed']}", r"LOW > 0"),
        (TRACE + "sample = {count = 4, ranges = {seed = [0, 9]}, log = ['sed']}", r"unknown range"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_spec_is_told_in_one_line(
    tmp_path: Path, text: str, told: str
) -> None:
    with pytest.raises(UserError) as caught:
        plan_of(tmp_path, text)
    assert re.search(told, str(caught.value)), str(caught.value)
    assert "\n" not in str(caught.value)
