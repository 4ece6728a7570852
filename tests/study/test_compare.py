"""Configurations side by side."""

from __future__ import annotations

import dataclasses
import math

import pytest

from agentsim.domain.config import Config, load_config
from agentsim.errors import ConfigError, UnknownName
from agentsim.simulator import simulate
from agentsim.study.compare import UNSHARED, compare, is_within_error
from agentsim.study.compare_text import comparison_text, short_name
from agentsim.study.evaluate import Outcome, evaluate
from agentsim.study.figures import read_figure
from agentsim.study.variants import Sources, Variant, vary
from study.loads import agents

RUNTIME, REUSE = read_figure("runtime"), read_figure("reuse")


def outcome(name: str, value: float, sampled: tuple[float, ...], gpu: str = "l4") -> Outcome:
    return Outcome(
        Variant(name, Config()),
        {"runtime_s": value, "prefix_reuse": value},
        tuple({"runtime_s": each, "prefix_reuse": each} for each in sampled),
        gpu=gpu,
    )


def test_a_figure_is_that_of_the_run_alone() -> None:
    """Beside others or alone, a configuration gives the same."""
    config = load_config(sets=["engine.max_num_seqs=2"])
    found = compare(agents(3), {"a": Config(), "b": config}, ["runtime"], samples=0)
    for one, settings in zip(found.outcomes, (Config(), config), strict=True):
        assert one.values["runtime_s"] == simulate(agents(3), settings).makespan_ns / 1e9


def test_the_best_is_marked_in_each_direction() -> None:
    variants = vary(["engine.max_num_seqs=1,4"], Sources())
    found = compare(agents(4), variants, ["runtime", "output_rate"], samples=0)
    for figure in found.figures:
        assert [cell.is_best for cell in found.column(figure)] == [False, True]


def test_an_error_that_both_share_cancels() -> None:
    """Both 10 % up or both 10 % down: the difference of 20 % is certain."""
    one = outcome("a", 100.0, (90.0, 110.0, 100.0))
    other = outcome("b", 120.0, (108.0, 132.0, 120.0))
    assert not is_within_error(one, other, RUNTIME)
    assert is_within_error(one, dataclasses.replace(other, gpu="h100"), RUNTIME)


def test_a_time_has_an_error_of_its_own_and_a_count_has_none() -> None:
    small = math.exp(UNSHARED)
    one, other = outcome("a", 0.5, (0.5, 0.5)), outcome("b", 0.5 * small, (0.5 * small,) * 2)
    assert is_within_error(one, other, RUNTIME)
    assert not is_within_error(one, other, REUSE)


def test_without_samples_only_the_same_is_equal() -> None:
    assert not is_within_error(outcome("a", 1.0, ()), outcome("b", 1.0001, ()), RUNTIME)
    assert is_within_error(outcome("a", 1.0, ()), outcome("b", 1.0, ()), RUNTIME)


def test_what_cannot_run_is_a_row_that_says_why() -> None:
    variants = vary(["model=qwen2.5-14b-awq,llama-3.1-70b"], Sources())
    found = compare(agents(1), variants, ["runtime"], samples=0)
    assert found.outcomes[0].failure is None
    assert "does not fit l4" in (found.outcomes[1].failure or "")
    text = comparison_text(found)
    assert "llama-3.1-70b: cannot run: llama-3.1-70b does not fit l4" in " ".join(text.split())
    frame = found.frame()
    assert frame["runtime_s"].isna().tolist() == [False, True]


def test_when_nothing_can_run_it_is_an_error() -> None:
    variants = vary(["model=llama-3.1-70b,qwen2.5-72b"], Sources())
    with pytest.raises(ConfigError, match=r"does not fit l4.*nor can any of the others"):
        compare(agents(1), variants, ["runtime"], samples=0)


def test_an_unknown_name_is_no_row() -> None:
    with pytest.raises(UnknownName, match="unknown gpu 'l5'"):
        evaluate(agents(1), Variant("a", Config(gpu="l5")), [RUNTIME])


def test_two_of_one_name_are_refused() -> None:
    variants = [Variant("a", Config()), Variant("a", Config())]
    with pytest.raises(ConfigError, match="two configurations are named 'a'"):
        compare(agents(1), variants)


def test_the_frame_has_settings_figures_and_bounds() -> None:
    found = compare(agents(2), vary(["gpu=l4,h100", "seed=0,1"], Sources()), samples=2)
    frame = found.frame()
    assert frame["gpu"].tolist() == ["l4", "l4", "h100", "h100"]
    assert frame["seed"].tolist() == [0, 1, 0, 1]
    assert (frame["runtime_s_low"] < frame["runtime_s"]).all()
    assert (frame["runtime_s"] < frame["runtime_s_high"]).all()
    assert "model" not in frame


def test_the_text_fits_a_screen_and_says_who_is_best() -> None:
    found = compare(agents(3), vary(["gpu=l4,h100", "engine.max_num_seqs=1,8"], Sources()))
    text = comparison_text(found)
    assert max(map(len, text.splitlines())) <= 80
    assert text.startswith("runtime: gpu=h100 max_num_seqs=8")
    assert comparison_text(compare(agents(3), found_variants(found))) == text


def found_variants(found: object) -> list[Variant]:
    return [one.variant for one in found.outcomes]  # type: ignore[attr-defined]


def test_what_a_run_leaves_out_is_told() -> None:
    """Of all alike, or of whom."""
    variants = vary(["engine.max_model_len=1000,4096"], Sources(sets=("agents.too_long=skip",)))
    found = compare(agents(2), variants, ["runtime"], samples=0)
    assert found.outcomes[0].notes
    assert not found.outcomes[1].notes
    text = " ".join(comparison_text(found).split())
    assert "Note: " in text
    assert "(max_model_len=1000)." in text


def test_names_are_short_where_settings_stand_in_tables() -> None:
    assert short_name("vllm --max-num-seqs 4") == "vllm --max-num-seqs 4"
    assert short_name("agents.arrival=poisson:0.5 gpu=l4") == "arrival=poisson:0.5 gpu=l4"
