"""`agentsim compare`."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import msgspec
import pandas as pd
import pytest

from agentsim.study.compare_document import ComparisonDocument
from cli.program import agentsim, fails

SRE = str(Path(__file__).parents[2] / "traces" / "itbench-sre.jsonl")
STUDY = ("-c", "hf", "-c", "serial", "-c", "full", "-c", "spec")


def test_the_case_study_side_by_side() -> None:
    told = agentsim("compare", SRE, *STUDY)
    assert told.exit_code == 0, told.output
    assert told.stdout.startswith("runtime: serial is best with 7 min 13 s; full and spec are")
    assert max(map(len, told.stdout.splitlines())) <= 80
    assert agentsim("compare", SRE, *STUDY).stdout == told.stdout


def test_json_is_what_its_schema_says() -> None:
    args = ("compare", SRE, *STUDY, "--samples", "2", "--json")
    document = json.loads(agentsim(*args).stdout)
    jsonschema.validate(document, msgspec.json.schema(ComparisonDocument))
    assert document["differing"]["engine.kind"] == ["hf", "vllm", "vllm", "vllm"]
    runtime = [row["figures"]["runtime_s"] for row in document["configurations"]]
    assert [cell["best"] for cell in runtime] == [False, True, False, False]
    assert [cell["equal_to_best"] for cell in runtime] == [False, False, True, True]


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_a_table_is_written_whole(ending: str, tmp_path: Path) -> None:
    out = tmp_path / f"t.{ending}"
    args = ("compare", SRE, "--vary", "gpu=l4,h100", "--samples", "0", "-o", str(out))
    assert agentsim(*args).exit_code == 0
    frame = pd.read_csv(out) if ending == "csv" else pd.read_parquet(out)
    assert frame["name"].tolist() == ["gpu=l4", "gpu=h100"]
    assert "exists already; --force replaces it" in fails(*args)
    assert agentsim(*args, "--force").exit_code == 0
    assert [path.name for path in tmp_path.iterdir()] == [out.name]


def test_two_servers_by_their_arguments() -> None:
    servers = ("--vllm-args", "--max-num-seqs 1", "--vllm-args", "--max-num-seqs 4")
    document = json.loads(agentsim("compare", SRE, *servers, "--samples", "0", "--json").stdout)
    assert document["differing"] == {"engine.max_num_seqs": [1, 4]}


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ([], "nothing to compare: give -c twice"),
        (["-c", "hf"], "nothing to compare: give -c twice"),
        (["-c", "a", "-c", "b"], "-c 'a': expected FILE.toml"),
        (["--vary", "gpu"], "--vary 'gpu': expected NAME=A,B"),
        (["--vary", "gpu=l4,h10"], "did you mean 'h100'"),
        (["--vary", "gpu=l4,h100", "--gpu-price", "1"], "--gpu-price: the configurations name 2"),
        (["--vary", "seed=1,2", "--figure", "ttft"], "say which, such as 'p95 ttft'"),
        (["--vary", "seed=1,2", "-o", "none/t.csv"], "no such folder"),
        (["--vary", "seed=1,2", "-o", "t.txt"], "ends in .csv or .parquet"),
        (["--vary", "seed=1,2", "--force"], "--force: there is no --out"),
        (["--vary", "seed=1,2", "--agents", "0"], "--agents: expected"),
    ],
)
def test_a_bad_option_is_one_line(args: list[str], message: str) -> None:
    assert message in fails("compare", SRE, *args)
