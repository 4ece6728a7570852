"""Runs on disk: whole or not at all, and read back as they were."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from pyarrow import parquet

from agentsim.errors import UserError
from agentsim.report.store import read_run, write_run
from agentsim.report.summary import summarize
from report.runs import two_turns


def test_what_is_read_is_what_was_written(tmp_path: Path) -> None:
    made = two_turns(gpu="l4")
    made.config["seed"] = 7
    write_run(made, tmp_path / "deep" / "run")
    read = read_run(tmp_path / "deep" / "run")
    for name in ("requests", "steps", "sessions"):
        before, after = getattr(made, name), getattr(read, name)
        assert list(before) == list(after)
        assert all(np.array_equal(before[column], after[column]) for column in before)
    assert (read.config, read.facts["gpu"]) == ({"seed": 7}, "l4")
    assert summarize(read) == summarize(made)


def test_the_same_run_is_written_in_the_same_bytes(tmp_path: Path) -> None:
    for name in "ab":
        write_run(two_turns(), tmp_path / name)
    files = sorted(file.name for file in (tmp_path / "a").iterdir())
    assert files == [
        "itl.parquet",
        "requests.parquet",
        "run.json",
        "sessions.parquet",
        "steps.parquet",
    ]
    for file in files:
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_each_parquet_file_carries_config_and_versions(tmp_path: Path) -> None:
    made = two_turns()
    made.config["seed"] = 7
    write_run(made, tmp_path / "run")
    for name in ("requests", "steps", "sessions"):
        metadata = parquet.read_schema(tmp_path / "run" / f"{name}.parquet").metadata
        head = json.loads(metadata[b"agentsim"])
        assert head["config"] == {"seed": 7}
        assert "agentsim" in head["versions"]


def test_a_directory_with_files_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("precious")
    for force in (False, True):
        with pytest.raises(UserError, match=r"is not empty|holds no run"):
            write_run(two_turns(), tmp_path, force=force)
    assert [file.name for file in tmp_path.iterdir()] == ["mine"]


def test_force_replaces_an_earlier_run(tmp_path: Path) -> None:
    write_run(two_turns(gpu="old"), tmp_path / "run")
    with pytest.raises(UserError, match="add --force"):
        write_run(two_turns(gpu="new"), tmp_path / "run")
    write_run(two_turns(gpu="new"), tmp_path / "run", force=True)
    assert read_run(tmp_path / "run").facts["gpu"] == "new"
    assert [file.name for file in tmp_path.iterdir()] == ["run"]


def test_a_failure_half_way_leaves_nothing_and_keeps_the_earlier_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_run(two_turns(gpu="old"), tmp_path / "run")

    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", fail)
    with pytest.raises(UserError, match="No space left on device"):
        write_run(two_turns(gpu="new"), tmp_path / "run", force=True)
    assert [file.name for file in tmp_path.iterdir()] == ["run"]
    monkeypatch.undo()
    assert read_run(tmp_path / "run").facts["gpu"] == "old"


def test_a_file_as_target_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("")
    with pytest.raises(UserError, match="is a file"):
        write_run(two_turns(), tmp_path / "run")
    with pytest.raises(UserError, match="cannot be made"):
        write_run(two_turns(), tmp_path / "run" / "below")


def test_what_is_no_run_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"holds no run\.json"):
        read_run(tmp_path)
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(UserError, match="is not the head of a run"):
        read_run(tmp_path)
    (tmp_path / "run.json").write_text('{"run_version": 99}')
    with pytest.raises(UserError, match="run version 99, this agentsim reads 2"):
        read_run(tmp_path)


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    write_run(two_turns(), tmp_path / "run")
    place = tmp_path / "run" / "steps.parquet"
    parquet.write_table(parquet.read_table(place).drop_columns(["used_blocks"]), place)
    with pytest.raises(UserError, match=r"steps\.parquet: lacks the columns used_blocks"):
        read_run(tmp_path / "run")
    place.write_bytes(b"junk")
    with pytest.raises(UserError, match=r"steps\.parquet: cannot be read"):
        read_run(tmp_path / "run")
