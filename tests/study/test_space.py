"""What a plan chooses from."""

from __future__ import annotations

from pathlib import Path

import pytest

from agentsim.errors import ConfigError, UnknownName
from agentsim.machine.catalog import gpus
from agentsim.report.gpu_prices import read_price_table
from agentsim.study.space import Option, Platform, Space, default_space
from agentsim.study.variants import Sources

PRICES = read_price_table(None, gpus())


def space(*sets: str, **more: object) -> Space:
    gpu = more.pop("gpu", None)
    return default_space(Sources(sets=sets, gpu=gpu), PRICES, **more)  # type: ignore[arg-type]


def test_what_the_user_set_is_no_choice() -> None:
    found = space("engine.max_num_seqs=8", "cluster.replicas=2", gpu="h100")
    assert found.rents == {"h100": 3.99}
    assert found.choices["engine.max_num_seqs"] == (8,)
    assert found.choices["cluster.replicas"] == (2,)
    assert len(found.choices["engine.max_num_batched_tokens"]) > 1


def test_what_a_file_sets_is_no_choice_either(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('gpu = "l4"\n[engine]\nkv_cache_dtype = "auto"\n')
    found = default_space(Sources(path=path), PRICES)
    assert list(found.rents) == ["l4"]
    assert found.choices["engine.kv_cache_dtype"] == ("auto",)


def test_vary_replaces_the_values_of_a_choice_and_adds_others() -> None:
    found = space(vary=["gpu=l4,l40s", "engine.enforce_eager=true,false"])
    assert list(found.rents) == ["l4", "l40s"]
    assert found.choices["engine.enforce_eager"] == (True, False)


def test_all_weight_formats_of_the_shape_or_the_model_as_it_is() -> None:
    assert set(space().choices["model"]) == {"qwen2.5-14b", "qwen2.5-14b-awq"}
    assert space(weights="same").choices["model"] == ("qwen2.5-14b-awq",)


def test_an_option_is_the_configuration_with_its_settings() -> None:
    base = space("engine.block_size=32").base
    option = Option(
        Platform("h100", "qwen2.5-14b", 2), 3, "least-load", (("engine.max_num_seqs", 64),)
    )
    config = option.config(base)
    assert (config.gpu, config.model, config.cluster.replicas) == ("h100", "qwen2.5-14b", 3)
    assert config.engine.tensor_parallel_size == 2
    assert config.engine.max_num_seqs == 64
    assert config.engine.block_size == 32
    assert option.num_gpus == 6
    assert option.name() == (
        "6x h100 qwen2.5-14b tp=2 replicas=3 routing=least-load max_num_seqs=64"
    )


def test_no_option_is_beyond_gpus_or_budget() -> None:
    found = space(max_gpus=4, budget=3.0)
    options = [
        found.option(platform, number)
        for platform in found.platforms()
        for number in found.counts(platform)
    ]
    assert options
    assert all(one.num_gpus <= 4 and found.rent(one) <= 3.0 for one in options)
    assert found.size() < space(max_gpus=4).size()


def test_platforms_come_cheapest_first() -> None:
    found = space()
    rents = [found.rent(found.option(platform)) for platform in found.platforms()]
    assert rents == sorted(rents)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"vary": ["gpu=l5"]}, "unknown gpu 'l5'"),
        ({"vary": ["agents.num_agents=3"]}, "unknown choice of --vary 'agents.num_agents'"),
        ({"vary": ["engine.max_num_seqs=0"]}, "expected an integer >= 1"),
        ({"vary": ["gpu"]}, "expected NAME=A,B"),
        ({"budget": 0.1}, "the cheapest GPU to rent is rtx4090 at"),
    ],
)
def test_what_cannot_be_chosen_is_one_line(more: dict[str, object], message: str) -> None:
    with pytest.raises((ConfigError, UnknownName), match=message):
        space(**more)


def test_a_gpu_without_a_price_is_passed_over_or_refused() -> None:
    prices = {name: rows for name, rows in PRICES.items() if name != "h100"}
    found = default_space(Sources(), prices)
    assert "no price" in found.passed_over["h100"]
    assert "h100" not in found.rents
    with pytest.raises(ConfigError, match="no price for h100: give --gpu-price"):
        default_space(Sources(gpu="h100"), prices)
    assert default_space(Sources(gpu="h100"), prices, gpu_price=2.0).rents == {"h100": 2.0}


def test_spot_prices_where_there_are_some() -> None:
    on_demand, spot = space().rents, space(spot=True).rents
    assert spot["l40s"] < on_demand["l40s"]
    assert spot["l4"] == on_demand["l4"]
