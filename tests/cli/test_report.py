"""``--report``: which commands write one, and what they refuse."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.program import agentsim, fails

COMMANDS = {
    "replay": ("--samples", "0"),
    "compare": ("-c", "serial", "-c", "full", "--samples", "0"),
    "explain": ("-c", "serial", "-c", "full", "--jobs", "1"),
    "plan": ("--slo", "p95 ttft < 9s", "--gpu", "l4", "--weights", "same", "--max-gpus", "1",
             "--trials", "0", "--samples", "0", "--jobs", "1"),
}  # fmt: skip


@pytest.mark.parametrize("name", COMMANDS)
def test_a_report_changes_nothing_else_and_is_not_overwritten(
    name: str, trace: str, tmp_path: Path
) -> None:
    page = tmp_path / "page.html"
    plain = agentsim(name, trace, *COMMANDS[name])
    told = agentsim(name, trace, *COMMANDS[name], "--report", str(page))
    assert told.exit_code == 0, told.output
    assert told.stdout == plain.stdout
    first = page.read_bytes()
    assert first.startswith(b'<!doctype html>\n<html lang="en">')
    assert b"trace.jsonl" in first
    refused = fails(name, trace, *COMMANDS[name], "--report", str(page))
    assert refused == f"--report {page}: exists already; --force replaces it"
    assert page.read_bytes() == first
    page.write_text("old", "utf-8")
    again = agentsim(name, trace, *COMMANDS[name], "--report", str(page), "--force")
    assert again.exit_code == 0
    assert page.read_bytes() == first
    assert sorted(path.name for path in tmp_path.iterdir()) == ["page.html", "trace.jsonl"]


def test_a_sweep_has_a_report_too(trace: str, tmp_path: Path) -> None:
    """A new name, or --force with a sweep that starts anew."""
    spec, page = tmp_path / "spec.toml", tmp_path / "page.html"
    spec.write_text(
        f"trace = {trace!r}\nfigures = ['runtime', 'cost']\n[vary]\ngpu = ['l4', 'l40s']\n", "utf-8"
    )
    args = ["sweep", str(spec), "-o", str(tmp_path / "out"), "--backend", "serial"]
    told = agentsim(*args, "--report", str(page))
    assert told.exit_code == 0, told.output
    text = page.read_text("utf-8")
    assert "is the best of 2 runs, with gpu=" in text
    assert "Runs that no other beats in both" in text
    assert "exists already" in fails(*args, "--report", str(page))
    assert agentsim(*args, "--report", str(page), "--force").exit_code == 0
    assert page.read_text("utf-8") == text
    assert "--dry-run" in fails(*args, "--report", str(tmp_path / "b.html"), "--dry-run")


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize(
    ("file", "why"),
    [("page.pdf", "expected a file name that ends in .html"), ("no/page.html", "no such folder")],
)
def test_a_file_that_cannot_be_written_is_told_before_anything_runs(
    name: str, file: str, why: str, tmp_path: Path
) -> None:
    """Even before the trace is looked at."""
    message = fails(name, "missing.jsonl", *COMMANDS[name], "--report", str(tmp_path / file))
    assert why in message
    assert message.startswith("--report ")
