"""The configurations of a study."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentsim.errors import ConfigError
from agentsim.study.variants import (
    Sources,
    as_options,
    combinations,
    read_variant,
    split_outside,
    vary,
)


def test_settings_are_laid_over_those_of_all() -> None:
    base = Sources(sets=("engine.max_num_seqs=4", "seed=1"))
    found = read_variant("gpu=h100 engine.max_num_seqs=8", base)
    assert (found.config.gpu, found.config.engine.max_num_seqs, found.config.seed) == ("h100", 8, 1)
    assert found.name == "gpu=h100 engine.max_num_seqs=8"


def test_a_name_stands_in_front() -> None:
    found = read_variant("big one: gpu=h100", Sources())
    assert (found.name, found.config.gpu) == ("big one", "h100")


def test_the_case_studys_configurations_have_names() -> None:
    assert read_variant("hf", Sources()).config.engine.kind == "hf"
    assert read_variant("mine: serial", Sources()).config.engine.max_num_seqs == 1


def test_a_file_is_named_for_its_stem(tmp_path: Path) -> None:
    path = tmp_path / "fast.toml"
    path.write_text('gpu = "h100"\n')
    found = read_variant(str(path), Sources())
    assert (found.name, found.config.gpu) == ("fast", "h100")
    with pytest.raises(ConfigError, match="choose one"):
        read_variant(str(path), Sources(path=path))


def test_lists_and_texts_stay_whole() -> None:
    found = read_variant("engine.cudagraph_capture_sizes=[1, 2, 4] seed=3", Sources())
    assert found.config.engine.cudagraph_capture_sizes == (1, 2, 4)
    assert found.config.seed == 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected FILE.toml, settings such as"),
        ("fast", "expected FILE.toml, settings such as"),
        ("gpu=l4 fast", "expected FILE.toml, settings such as"),
        ("none.toml", "none: none.toml: no such file"),
        ("engine.max_seqs=1", "did you mean 'max_num_seqs'"),
        ("gpu='l4", "no closing quotation"),
    ],
)
def test_what_is_no_configuration_is_one_line(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as told:
        read_variant(text, Sources())
    assert "\n" not in str(told.value)


def test_all_combinations_the_last_changing_first() -> None:
    found = vary(["gpu=l4,h100", "engine.max_num_seqs=1,8"], Sources())
    assert [one.name for one in found] == [
        "gpu=l4 engine.max_num_seqs=1",
        "gpu=l4 engine.max_num_seqs=8",
        "gpu=h100 engine.max_num_seqs=1",
        "gpu=h100 engine.max_num_seqs=8",
    ]
    assert [(one.config.gpu, one.config.engine.max_num_seqs) for one in found] == [
        ("l4", 1), ("l4", 8), ("h100", 1), ("h100", 8),
    ]  # fmt: skip
    assert combinations([]) == []


@pytest.mark.parametrize("text", ["gpu", "gpu=", "=l4", "gpu=,"])
def test_a_variation_without_values_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="expected NAME=A,B"):
        combinations([text])


def test_a_setting_is_varied_once() -> None:
    with pytest.raises(ConfigError, match="gpu is varied twice"):
        combinations(["gpu=l4", "gpu=h100"])


@given(st.lists(st.lists(st.integers(0, 99), min_size=1, max_size=4), min_size=1, max_size=3))
def test_what_was_joined_is_split_again(values: list[list[int]]) -> None:
    """Lists are values, however deep their commas."""
    assert split_outside(",".join(map(str, values)), ",") == [str(value) for value in values]


@pytest.mark.parametrize(
    "sets",
    [
        (),
        ("gpu=h100", "model=qwen2.5-14b", "engine.max_num_seqs=8", "agents.num_agents=4"),
        ("engine.cudagraph_capture_sizes=[1, 2, 4]", "engine.enable_prefix_caching=false"),
        ("cluster.replicas=2", "cluster.routing=prefix-hash", "agents.arrival=poisson:0.5"),
    ],
)
def test_a_configuration_as_options_is_the_same_configuration(sets: tuple[str, ...]) -> None:
    import shlex

    from agentsim.cli.replay import replay_command
    from agentsim.cli.settings import configure

    config, _ = Sources(sets=sets).read()
    words = shlex.split(as_options(config))
    params = replay_command.make_context("replay", ["TRACE", *words]).params
    names = ("gpu", "model", "config_file", "sets", "vllm_args", "preset", "profile")
    given = {name: value for name, value in params.items() if name in names or "__" in name}
    assert configure(**given, seed=params["seed"])[0] == config
