"""Every policy of ours keeps what every policy must; one that lacks a part is named."""

from __future__ import annotations

from importlib import metadata

import pytest

from agentsim.domain.config import load_config
from agentsim.errors import ConfigError, UnknownName
from agentsim.policies.drafters import DRAFTERS
from agentsim.policies.evictions import EVICTIONS, make_eviction
from agentsim.policies.routers import ROUTERS
from agentsim.policies.schedulers import SCHEDULERS
from agentsim.report.metrics import METRICS
from policies import contracts


@pytest.mark.parametrize("name", SCHEDULERS)
def test_every_scheduler(name: str) -> None:
    contracts.check_scheduler(name)


@pytest.mark.parametrize("name", ROUTERS)
def test_every_router(name: str) -> None:
    contracts.check_router(name)


@pytest.mark.parametrize("name", EVICTIONS)
def test_every_eviction_order(name: str) -> None:
    contracts.check_eviction(name)


@pytest.mark.parametrize("name", DRAFTERS)
def test_every_drafter(name: str) -> None:
    contracts.check_drafter(name)


@pytest.mark.parametrize("name", METRICS)
def test_every_metric(name: str) -> None:
    contracts.check_metric(name)


def plug_in(monkeypatch: pytest.MonkeyPatch, group: str, value: str) -> None:
    points = [metadata.EntryPoint("mine", value, group)]
    monkeypatch.setattr(
        metadata, "entry_points", lambda *, group: [p for p in points if p.group == group]
    )


def test_an_order_that_lacks_a_part_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    plug_in(monkeypatch, "agentsim.evictions", "builtins:object")
    with pytest.raises(ConfigError, match=r"eviction order 'mine': .* no sees_depth, no rank; an"):
        make_eviction("mine")
    with pytest.raises(UnknownName, match="unknown eviction order 'lr'; did you mean 'lru'"):
        make_eviction("lr")


def test_a_metric_that_is_none_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    plug_in(monkeypatch, "agentsim.metrics", "math:pi")
    with pytest.raises(ConfigError, match=r"metric 'mine': .* is a float, expected a Metric"):
        METRICS["mine"]


@pytest.mark.parametrize(
    "setting", ["kind=hf", "enable_prefix_caching=false", "free_queue=one-ended"]
)
def test_an_order_where_nothing_is_cached_in_it_is_refused(setting: str) -> None:
    with pytest.raises(ConfigError, match=r"engine\.eviction 'lfu' with engine\."):
        load_config(sets=["engine.eviction=lfu", f"engine.{setting}"])
    load_config(sets=[f"engine.{setting}"])
