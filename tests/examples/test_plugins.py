"""The plug-ins in `examples/`, through the entry points that their pyproject.toml declares."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from agentsim.errors import TraceError
from agentsim.workload.formats import read_trace
from cli.program import agentsim
from policies import contracts
from workload.contract import FormatContract

EXAMPLES = Path(__file__).parents[2] / "examples"
TRACE = EXAMPLES.parent / "traces" / "itbench-sre.jsonl"
PROJECT: dict[str, Any] = tomllib.loads((EXAMPLES / "pyproject.toml").read_text())["project"]

ROWS = b"session,wait_s,input_tokens,output_tokens\na,0,100,10\na,1.5,150,20\n"


@pytest.fixture(scope="module", autouse=True)
def installed(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The package as `pip install ./examples` leaves it, without an index of packages."""
    site = tmp_path_factory.mktemp("site")
    info = site / f"{PROJECT['name'].replace('-', '_')}-{PROJECT['version']}.dist-info"
    info.mkdir()
    named = f"Metadata-Version: 2.1\nName: {PROJECT['name']}\nVersion: {PROJECT['version']}\n"
    (info / "METADATA").write_text(named)
    groups = (
        f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in points.items())
        for group, points in PROJECT["entry-points"].items()
    )
    (info / "entry_points.txt").write_text("".join(groups))
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(EXAMPLES))
        patch.syspath_prepend(str(site))
        yield site


def test_there_is_one_of_each_kind_and_it_is_found() -> None:
    groups = {"schedulers", "routers", "evictions", "drafters", "metrics", "formats"}
    assert {f"agentsim.{group}" for group in groups} == set(PROJECT["entry-points"])
    for group, points in PROJECT["entry-points"].items():
        for name in points:
            assert metadata.entry_points(group=group)[name].load()
            assert f"\n{name} " in agentsim("list", group.partition(".")[2]).stdout


def test_the_scheduler_keeps_what_every_one_must() -> None:
    contracts.check_scheduler("short-first")


def test_the_router_keeps_what_every_one_must() -> None:
    contracts.check_router("session-affinity")


def test_the_eviction_order_keeps_what_every_one_must() -> None:
    contracts.check_eviction("cheap-first")


def test_the_drafter_keeps_what_every_one_must() -> None:
    contracts.check_drafter("decaying")


def test_the_metric_keeps_what_every_one_must() -> None:
    contracts.check_metric("ttft_per_ktoken")


@pytest.mark.parametrize(("name", "sample"), [("csv", ROWS)])
class TestTheFormat(FormatContract):
    """It keeps what every one must."""


@pytest.mark.parametrize("row", [b"a,1,x,2\n", b"a,1,2\n", b"a,1,-5,2\n", b"a,nan,5,2\n"])
def test_a_row_that_is_none_is_named_by_its_line(row: bytes, tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(ROWS + row)
    with pytest.raises(TraceError, match=rf"^{path}:4: expected session,wait_s,"):
        read_trace(path)


@pytest.mark.parametrize(
    "args",
    [
        ["engine.policy=short-first"],
        ["cluster.routing=session-affinity", "cluster.replicas=2"],
        ["engine.eviction=cheap-first"],
        [
            "speculation.acceptance=decaying",
            "engine.speculative_method=ngram",
            "engine.num_speculative_tokens=3",
        ],
    ],
)
def test_each_policy_is_a_setting_of_the_command(args: list[str]) -> None:
    sets = [part for setting in args for part in ("--set", setting)]
    done = agentsim("replay", str(TRACE), "--samples", "0", *sets)
    assert done.exit_code == 0, done.stderr


def test_the_comparison_prints_what_the_readme_of_the_examples_shows(installed: Path) -> None:
    """In a process of its own."""
    path = ":".join([str(EXAMPLES), str(installed), *filter(None, sys.path)])
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / "compare.py")],
        capture_output=True, text=True, check=False, env={"PYTHONPATH": path},
    )  # fmt: skip
    assert not done.stderr
    shown = (EXAMPLES / "README.md").read_text().split("```\n")[1]
    assert done.stdout.strip() == shown.strip()
