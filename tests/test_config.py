"""Settings: the order of their sources, and one clear line for each mistake."""

from __future__ import annotations

from pathlib import Path

import pytest

from agentsim.domain.config import Config, CostConfig, EngineConfig, load_config, to_plain
from agentsim.errors import ConfigError
from agentsim.machine.catalog import factor_table
from agentsim.machine.transformers import transformers_factors


def test_without_a_model_the_launch_is_the_case_study() -> None:
    config = load_config()
    assert (config.gpu, config.model) == ("l4", "qwen2.5-14b-awq")
    assert config.engine.gpu_memory_utilization == 0.90
    assert config.engine.max_model_len == 32768


def test_with_a_model_vllms_own_defaults_hold() -> None:
    assert load_config(model="qwen3-8b").engine == EngineConfig()


def test_a_later_source_replaces_an_earlier_one(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text('gpu = "a100"\n[engine]\nmax_num_seqs = 2\nblock_size = 2\nwatermark = 0.2\n')
    config = load_config(
        file,
        preset={"engine.max_num_seqs": 1, "engine.free_queue": "one-ended"},
        engine_args={"engine.block_size": 3, "gpu": "l40s"},
        gpu="h100",
        sets=["engine.watermark=0.4"],
    )
    engine = config.engine
    assert (engine.free_queue, engine.max_num_seqs, engine.block_size) == ("one-ended", 2, 3)
    assert (config.gpu, engine.watermark) == ("h100", 0.4)


def test_vllms_other_spelling_of_a_setting_is_taken() -> None:
    config = load_config(sets=["engine.num_gpu_blocks_override=99", "engine.scheduling_policy=x"])
    assert (config.engine.num_gpu_blocks, config.engine.policy) == (99, "x")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("engine.max_num_seqs=0", "--set engine.max_num_seqs: expected an integer >= 1, got 0"),
        (
            "engine.max_num_seq=1",
            "--set engine.max_num_seq: unknown key; did you mean 'max_num_seqs'?",
        ),
        ("engine.max_num_seqs=8k", "--set engine.max_num_seqs: expected an integer, got '8k'"),
        ("engine.max_num_seqs=true", "--set engine.max_num_seqs: expected an integer, got True"),
        ("engine=3", "--set engine: expected a table, got 3"),
        ("engine", "--set 'engine': expected NAME=VALUE, such as engine.max_num_seqs=1"),
        (
            "engine.kv_cache_dtype=fp7",
            "--set engine.kv_cache_dtype: expected one of auto, bfloat16, float16, fp8, fp8_e4m3, "
            "fp8_e5m2, got 'fp7'; did you mean 'fp8'?",
        ),
        (
            "agents.arrival=poisson:0",
            "--set agents.arrival: expected closed-loop, recorded or poisson:RATE (sessions a "
            "second, above 0), got 'poisson:0'",
        ),
        (
            "engine.cudagraph_capture_sizes=[1, 0]",
            "--set engine.cudagraph_capture_sizes: expected an integer >= 1, got [1, 0]",
        ),
    ],
)
def test_a_wrong_value_is_one_line_with_place_and_remedy(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(sets=[text])
    assert str(caught.value) == message


def test_a_file_is_named_in_its_errors(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text("[engine]\nmax_num_seq = 1\n")
    with pytest.raises(ConfigError, match=r"config.toml: engine.max_num_seq: unknown key; did you"):
        load_config(file)
    file.write_text("\n[engine\n")
    with pytest.raises(ConfigError, match=r"config.toml:2: not TOML"):
        load_config(file)
    with pytest.raises(ConfigError, match=r"none.toml: no such file"):
        load_config(tmp_path / "none.toml")


@pytest.mark.parametrize(
    "sets",
    [
        ["engine.max_num_seqs=8", "engine.max_num_active_seqs=9"],
        ["engine.max_num_seqs=8", "engine.max_num_batched_tokens=7"],
        ["engine.speculative_method=ngram"],
        ["engine.num_speculative_tokens=3"],
        ["engine.max_model_len=0"],
    ],
)
def test_settings_that_contradict_one_another_are_refused(sets: list[str]) -> None:
    with pytest.raises(ConfigError, match=r"^engine\."):
        load_config(sets=sets)


def test_the_echo_holds_every_setting() -> None:
    plain = to_plain(load_config(sets=["agents.ramp_s=2", "agents.num_agents=3"]))
    assert plain["agents"]["ramp_s"] == 2.0
    sections = {"engine", "agents", "cluster", "cost", "speculation"}
    assert set(plain) == {"gpu", "model", "profile", "seed", *sections}
    assert set(plain["engine"]) == set(EngineConfig.__struct_fields__)


def test_every_cost_setting_is_a_factor_and_every_factor_a_setting() -> None:
    table = factor_table()
    assert set(CostConfig.__struct_fields__) == {
        *table["general"],
        *table["offload"],
        *transformers_factors(CostConfig()),
    }


def test_a_config_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        Config().gpu = "h100"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("sets", "line"),
    [
        (["agents.num_agents=2", "agents.arrival=poisson:3"], "choose one"),
        (["agents.num_agents=2", "agents.arrival=recorded"], "choose one"),
        (["agents.ramp_s=2.0"], "needs agents.num_agents"),
    ],
)
def test_ways_of_starting_that_exclude_one_another_are_refused(sets: list[str], line: str) -> None:
    """Agents at work, and start times of their own."""
    with pytest.raises(ConfigError, match=line):
        load_config(sets=sets)
