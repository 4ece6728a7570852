"""`agentsim plan`."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from cli.program import agentsim, fails

SRE = str(Path(__file__).parents[2] / "traces" / "itbench-sre.jsonl")
QUICK = ("--vary", "gpu=l4,h100", "--trials", "2", "--samples", "2", "--jobs", "1")
TTFT = ("--slo", "p95 ttft < 2s")


def test_the_cheapest_of_two_gpus() -> None:
    told = agentsim("plan", SRE, *TTFT, *QUICK)
    assert told.exit_code == 0, told.output
    assert told.stdout.startswith("1x l4 qwen2.5-14b-awq")
    assert "h100        dearer: $3.99/h" in told.stdout
    assert max(map(len, told.stdout.splitlines())) <= 80


def test_json_and_a_table_of_all_options(tmp_path: Path) -> None:
    out = tmp_path / "options.csv"
    args = ("plan", SRE, *TTFT, *QUICK, "--json", "-o", str(out))
    document = json.loads(agentsim(*args).stdout)
    frame = pd.read_csv(out)
    assert frame["name"].tolist() == [one["name"] for one in document["options"]]
    assert "exists already" in fails(*args)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ([], "missing option '--slo'"),
        (["--slo", "p95 ttf < 2s"], "column 5: unknown figure 'ttf'; did you mean 'ttft'"),
        ([*TTFT, "--slo", "p95 ttft < 3s"], "two bounds on p95 ttft"),
        ([*TTFT, "--budget", "$0/h"], "nothing can be rented for $0"),
        ([*TTFT, "--budget", "cheap"], "--budget 'cheap': expected such as $2/h"),
        ([*TTFT, "--vary", "gpu=l5"], "unknown gpu 'l5'"),
        ([*TTFT, "--gpu", "h10"], "unknown gpu 'h10'"),
        ([*TTFT, "--agents", "0"], "--agents: expected"),
        ([*TTFT, "--gpu-price", "x"], "--gpu-price: expected a number"),
        ([*TTFT, "--force"], "--force: there is no --out"),
        ([*TTFT, "--model", "llama-3.1-70b", "--gpu", "l4", "--max-gpus", "1", "--weights",
          "same"], "no option can run: llama-3.1-70b does not fit l4"),
    ],
)  # fmt: skip
def test_a_bad_option_is_one_line(args: list[str], message: str) -> None:
    assert message in fails("plan", SRE, *args)
