"""Profiles of GPUs: those shipped, a file of the user's, and what is wrong with one."""

from __future__ import annotations

from pathlib import Path

import pytest

from agentsim.domain.config import load_config
from agentsim.errors import ConfigError, UnknownName
from agentsim.machine.catalog import find_gpu, gpus
from agentsim.machine.profiles import find_profile, profile_names
from agentsim.machine.system import build_system, read_config

GOOD = """
[profile]
gpu = "h100"
standing = "fitted"
source = "a test"
spread = 0.03
[factors.layer_overhead_s]
value = 1e-5
error = 0.1
kind = "fitted"
source = "a test"
[factors.step_overhead_s]
value = 1e-3
kind = "fitted"
source = "a test"
[correlation]
names = ["layer_overhead_s", "step_overhead_s"]
rows = [[1.0, -0.5], [-0.5, 1.0]]
"""


def write(folder: Path, text: str) -> str:
    path = folder / "mine.toml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_the_shipped_ones_are_of_gpus_of_the_tables() -> None:
    for name in profile_names():
        profile = find_profile(name)
        assert profile.gpu == name in gpus()
        assert profile.source
        assert find_gpu(name).profile == profile


def test_a_file_replaces_the_shipped_one_and_names_the_gpu(tmp_path: Path) -> None:
    config, _ = read_config(profile=write(tmp_path, GOOD))
    assert config.gpu == "h100"
    found = build_system(config)
    rows = {row["name"]: row for row in found.assumptions}
    layer, step = rows["layer_overhead_s"], rows["step_overhead_s"]
    assert (layer["value"], layer["error"]) == (1e-5, 0.1)
    assert (step["value"], step["error"]) == (1e-3, 0.08)  # that of a fitted factor
    assert found.gpu.profile.spread == 0.03


def test_what_the_user_gives_is_before_the_profile(tmp_path: Path) -> None:
    config, _ = read_config(profile=write(tmp_path, GOOD), sets=["cost.layer_overhead_s=2e-5"])
    rows = {row["name"]: row for row in build_system(config).assumptions}
    assert (rows["layer_overhead_s"]["value"], rows["layer_overhead_s"]["error"]) == (2e-5, 0.0)


def test_datasheet_takes_nothing_measured() -> None:
    own, bare = (build_system(load_config(sets=sets)) for sets in ([], ["profile=datasheet"]))
    assert own.gpu.profile.factors
    assert not bare.gpu.profile.factors


def test_a_profile_of_another_gpu_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"mine.toml: is of h100, not of l4"):
        find_gpu("l4", write(tmp_path, GOOD))


def test_an_unknown_name_answers_with_the_nearest() -> None:
    with pytest.raises(UnknownName, match="rtx4090"):
        find_profile("rtx409")


@pytest.mark.parametrize(
    ("wrong", "right", "said"),
    [
        ("[profile]", "[profil]", r"mine.toml: \[profile\]: expected a table"),
        ("value = 1e-5", "value = -1.0", r"factors.layer_overhead_s: value: expected a number > 0"),
        ('kind = "fitted"', 'kind = "guessed"', r"factors.layer_overhead_s: kind: .*'guessed'"),
        ("error = 0.1", "eror = 0.1", r"factors.layer_overhead_s: .*eror"),
        ("layer_overhead_s", "layer_overhed_s", r"did you mean 'layer_overhead_s'"),
        ("-0.5, 1.0]]", "-0.4, 1.0]]", r"correlation.rows: expected a symmetric matrix"),
        ('["layer_overhead_s", ', '["overlap_loss", ', r"'overlap_loss' is no factor"),
    ],
)
def test_what_is_wrong_with_a_file(tmp_path: Path, wrong: str, right: str, said: str) -> None:
    assert wrong in GOOD
    with pytest.raises(ConfigError, match=said):
        find_gpu("h100", write(tmp_path, GOOD.replace(wrong, right)))
