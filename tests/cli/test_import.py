"""``agentsim import``: a trace written whole or not at all, and a report of what is measured."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from click.testing import Result

from agentsim.workload.formats import read_trace
from cli.program import agentsim as run

ROWS = """TIMESTAMP,ContextTokens,GeneratedTokens
2026-01-01 00:00:00,1500,13
2026-01-01 00:00:01,4808,10
"""


def agentsim(*args: object) -> Result:
    return run(*map(str, args))


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "log.csv"
    path.write_text(ROWS, encoding="utf-8")
    return path


def test_the_report_says_what_was_read_and_what_is_missing(log: Path, tmp_path: Path) -> None:
    target = tmp_path / "trace.jsonl.gz"
    result = agentsim("import", log, "-o", target)
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0].startswith("2 calls in 2 sessions from 1 file of azure: 6,308 prompt tokens")
    assert max(map(len, lines)) <= 80
    assert any(line.split()[:4] == ["end", "0", "%", "0"] for line in lines)
    assert read_trace(target).num_calls == 2


def test_the_report_as_json(log: Path, tmp_path: Path) -> None:
    result = agentsim("import", log, "-o", tmp_path / "t.jsonl", "--json")
    report = json.loads(result.stdout)
    assert (report["calls"], report["formats"]) == (2, {"azure": 1})
    assert report["standing"]["end"] == {"measured": 0, "estimated": 0, "missing": 2}


def test_replay_and_inspect_read_the_log_itself(log: Path) -> None:
    assert agentsim("replay", log, "--arrival", "recorded").stdout.startswith("2 calls of ")
    assert agentsim("inspect", log).stdout.startswith("2 calls in 2 sessions")


def test_a_file_that_is_there_is_not_replaced_unasked(log: Path, tmp_path: Path) -> None:
    target = tmp_path / "t.jsonl"
    target.write_text("mine", encoding="utf-8")
    result = agentsim("import", log, "-o", target)
    assert (result.exit_code, target.read_text("utf-8")) == (2, "mine")
    assert "--force" in result.stderr
    assert agentsim("import", log, "-o", target, "--force").exit_code == 0
    assert read_trace(target).num_calls == 2


def test_a_bad_row_names_its_line_and_nothing_is_written(log: Path, tmp_path: Path) -> None:
    log.write_text(ROWS + "2026-01-01 00:00:02,many,10\n", encoding="utf-8")
    target = tmp_path / "t.jsonl"
    result = agentsim("import", log, "-o", target)
    assert result.exit_code == 2
    assert f"{log}:4: field 'ContextTokens': expected an integer >= 0, got 'many'" in result.stderr
    assert not target.exists()
    result = agentsim("import", log, "-o", target, "--skip-bad")
    assert result.exit_code == 0
    assert "1 left out: cannot be read" in result.stdout
    assert read_trace(target).num_calls == 2


def test_a_folder_is_read_without_its_links_and_what_is_no_log(log: Path, tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "a.csv").write_text(ROWS, encoding="utf-8")
    (folder / "notes.txt").write_text("nothing", encoding="utf-8")
    os.symlink(log, folder / "link.csv")
    result = agentsim("import", folder, "-o", tmp_path / "t.jsonl")
    assert result.exit_code == 0
    said = " ".join(result.stdout.split())
    assert "1 symbolic links passed over" in said
    assert "1 files of no known format passed over" in said
    assert read_trace(tmp_path / "t.jsonl").num_calls == 2


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["nothing.csv"], "nothing.csv: no such file"),
        (["LOG", "--format", "azur"], "did you mean 'azure'?"),
        (["LOG", "--human", "some"], "--human: expected keep, drop or seconds, got 'some'"),
        (["LOG", "--tokens-scale", "0"], "--tokens-scale: expected a number above 0"),
        (["LOG", "--map-model", "x"], "--map-model 'x': expected PATTERN=NAME"),
        (["LOG", "--tokenizer", "no.json"], "--tokenizer no.json: expected"),
    ],
)
def test_bad_options_are_one_line(log: Path, tmp_path: Path, args: list[str], said: str) -> None:
    given = [str(log) if arg == "LOG" else arg for arg in args]
    result = agentsim("import", *given, "-o", tmp_path / "t.jsonl")
    assert result.exit_code == 2
    assert said in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not (tmp_path / "t.jsonl").exists()
