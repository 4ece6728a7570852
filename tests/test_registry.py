"""A table of names: aliases, the nearest name, plugins asked last."""

from __future__ import annotations

from importlib import metadata

import pytest

from agentsim.errors import ConfigError, UnknownName
from agentsim.registry import Registry


def table() -> Registry[int]:
    return Registry("gpu", {"l4": 1, "h100": 2}, "agentsim.test", {"NVIDIA-L4": "l4"})


def test_a_name_is_found_in_any_case_and_by_its_alias() -> None:
    assert (table()["L4"], table()["nvidia-l4"]) == (1, 1)
    assert "h100" in table()
    assert list(table()) == ["l4", "h100"]


def test_an_unknown_name_answers_with_the_nearest() -> None:
    with pytest.raises(
        UnknownName, match=r"unknown gpu 'h10'; did you mean 'h100'\? Known: h100, l4"
    ):
        table()["h10"]


def test_plugins_are_asked_last_and_one_that_fails_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    points = [
        metadata.EntryPoint("mine", "math:pi", "agentsim.test"),
        metadata.EntryPoint("broken", "no_such_module:x", "agentsim.test"),
        metadata.EntryPoint("l4", "no_such_module:x", "agentsim.test"),
    ]
    monkeypatch.setattr(metadata, "entry_points", lambda *, group: points)
    assert table()["mine"] == pytest.approx(3.14159, abs=1e-4)
    assert table()["l4"] == 1
    assert list(table()) == ["l4", "h100", "broken", "mine"]
    with pytest.raises(ConfigError, match=r"gpu 'broken': plugin 'no_such_module:x' does not load"):
        table()["broken"]
