"""`agentsim calibrate`: from files to a profile that `replay` reads; each wrong use is one line."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

from cli.program import agentsim, fails

ON_A_CPU = (
    "--gpu=cpu", "--model=tiny-qwen2-82m", "--set=engine.enforce_eager=true",
    "--set=engine.async_scheduling=false", "--set=engine.num_gpu_blocks=2730",
    "--set=engine.max_model_len=8192",
)  # fmt: skip


@pytest.fixture
def steps(tmp_path: Path) -> str:
    """Decodes and prefills, 7 ms and 0.4 ms a token."""
    lines = []
    for i in range(1, 30):
        reqs = [[f"d{k}", 100 * i, 1] for k in range(i % 8 + 1)]
        lines.append({"dur": 0.007 + 4e-4 * len(reqs), "decode_reqs": len(reqs), "reqs": reqs})
        chunk = 32 * i
        lines.append({"dur": 0.007 + 4e-4 * chunk, "decode_reqs": 0, "reqs": [["p", 0, chunk]]})
    place = tmp_path / "run.steps.jsonl"
    place.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return str(place)


def test_a_profile_is_written_and_read_by_replay(steps: str, tmp_path: Path) -> None:
    profile = tmp_path / "mine.toml"
    result = agentsim("calibrate", steps, "-o", str(profile), *ON_A_CPU, "--json")
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    size = len(found["factors"])
    assert [len(row) for row in found["covariance"]] == [size] * size
    written = tomllib.loads(profile.read_text("utf-8"))
    assert written["profile"]["gpu"] == "cpu"
    assert written["profile"]["standing"] == "fitted"
    identified = {f["name"]: f for f in found["factors"] if f["is_identified"]}
    assert set(identified) <= set(written["factors"])
    held = {name for name, row in written["factors"].items() if "profile cpu" in row["source"]}
    assert held == set(written["factors"]) - set(identified)
    for name, row in written["factors"].items():
        if name in held:
            continue
        assert row["kind"] == "fitted"
        assert row["value"] == pytest.approx(identified[name]["value"], rel=1e-3)
        assert row["error"] == pytest.approx(identified[name]["error"], rel=1e-3)
    trace = tmp_path / "t.jsonl"
    call = {"type": "call", "session": "s", "id": "a", "input_tokens": 100, "output_tokens": 5}
    head = [
        {"type": "header", "format": "agentsim-trace", "version": 1},
        {"type": "session", "session": "s"},
    ]
    trace.write_text("".join(json.dumps(x) + "\n" for x in [*head, call]), encoding="utf-8")
    use = ("replay", str(trace), "--profile", str(profile), *ON_A_CPU[1:], "--json")
    replayed = agentsim(*use)
    assert replayed.exit_code == 0, replayed.stderr
    rows = {row["name"]: row for row in json.loads(replayed.stdout)["assumptions"]}
    for name, row in written["factors"].items():
        assert rows[name]["value"] == row["value"]


def test_text_has_factors_and_residuals_and_what_was_left_out(steps: str, tmp_path: Path) -> None:
    result = agentsim(
        "calibrate", steps, "-o", str(tmp_path / "p.toml"), *ON_A_CPU, "--check", steps
    )
    assert "compute_efficiency = " in result.stdout
    assert "standard error" in result.stdout
    assert "Left out\n" in result.stdout
    assert "decode: 29 observations" in result.stdout


def test_the_same_input_gives_the_same_bytes(steps: str, tmp_path: Path) -> None:
    texts = []
    for name in ("a.toml", "b.toml"):
        agentsim("calibrate", steps, "-o", str(tmp_path / name), *ON_A_CPU)
        texts.append((tmp_path / name).read_bytes())
    assert texts[0] == texts[1]


def test_wrong_uses_are_one_line_each(steps: str, tmp_path: Path) -> None:
    out = str(tmp_path / "p.toml")
    assert "no such file" in fails("calibrate", "none.jsonl", "-o", out, *ON_A_CPU)
    assert "unknown gpu 'h10'" in fails("calibrate", steps, "-o", out, "--gpu", "h10")
    assert "unknown model 'qwen'" in fails("calibrate", steps, "-o", out, "--model", "qwen")
    assert "unknown factor 'speed'" in fails(
        "calibrate", steps, "-o", out, *ON_A_CPU, "--fit", "speed"
    )
    assert "--fit allreduce_latency_s: too few points" in fails(
        "calibrate", steps, "-o", out, *ON_A_CPU, "--fit", "allreduce_latency_s"
    )
    other = tmp_path / "notes.txt"
    other.write_text("nothing\n", encoding="utf-8")
    assert "expected steps" in fails("calibrate", str(other), "-o", out, *ON_A_CPU)
    empty = tmp_path / "empty.jsonl"
    empty.write_text("", encoding="utf-8")
    assert "no step in it" in fails("calibrate", str(empty), "-o", out, *ON_A_CPU)
    few = tmp_path / "few.jsonl"
    few.write_text(Path(steps).read_text("utf-8").partition("\n")[0] + "\n", encoding="utf-8")
    assert "1 observations cannot identify" in fails("calibrate", str(few), "-o", out, *ON_A_CPU)
    assert not Path(out).exists()
    Path(out).write_text("", encoding="utf-8")
    assert "use --force" in fails("calibrate", steps, "-o", out, *ON_A_CPU)
