"""``agentsim plot`` and the files of ``agentsim replay``: what they write, and what they refuse."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from cli.program import agentsim, fails
from report.trace_events import read_events

KINDS = ["where", "timeline", "latency", "kv", "batch", "prefill", "tokens"]


@pytest.fixture
def folder(trace: str, tmp_path: Path) -> Path:
    assert agentsim("replay", trace, "--out", str(tmp_path / "run")).exit_code == 0
    return tmp_path / "run"


def test_a_run_and_its_trace_give_the_same_figures(
    trace: str, folder: Path, tmp_path: Path
) -> None:
    """Also those for which the run's cost model is asked again."""
    made = []
    for source, name in ((str(folder), "a"), (trace, "b")):
        out = str(tmp_path / f"{name}-{{kind}}.svg")
        result = agentsim("plot", source, "--kind", "all", "-o", out)
        assert result.exit_code == 0, result.output
        paths = [tmp_path / f"{name}-{kind}.svg" for kind in KINDS]
        listed = zip(KINDS, paths, strict=True)
        assert result.stdout == "".join(f"{kind}: {path}\n" for kind, path in listed)
        made.append([path.read_bytes() for path in paths])
    assert made[0] == made[1]


def test_without_a_place_for_the_kind_all_are_on_one_page(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "page.svg"
    result = agentsim("plot", str(folder), "-o", str(out), "--kind", "kv", "--kind", "where")
    assert result.stdout == f"kv, where: {out}\n"
    text = out.read_text("utf-8")
    assert text.index("KV blocks in use and cache hits") < text.index("Time of the GPUs")


def test_timeline_and_plot_of_a_replay(trace: str, tmp_path: Path) -> None:
    events, figure = tmp_path / "t.json.gz", tmp_path / "f.pdf"
    plain = agentsim("replay", trace, "--json", "--samples", "0")
    args = ["--json", "--samples", "0", "--timeline", str(events), "--plot", str(figure)]
    assert agentsim("replay", trace, *args).stdout == plain.stdout
    decoding = [s for s in read_events(events).slices if s.name == "decode" and s.depth == 2]
    latency = json.loads(plain.stdout)["summary"]["latency"]
    expected = latency["e2e"]["mean"] - latency["ttft"]["mean"]
    spent_s = sum(s.end_ns - s.start_ns for s in decoding) / 1e9 / latency["e2e"]["count"]
    assert spent_s == pytest.approx(expected)
    assert figure.read_bytes().startswith(b"%PDF")


@pytest.mark.parametrize(
    ("option", "name"), [("--plot", "f.svg"), ("--timeline", "t.json"), ("--out", "f.png")]
)
def test_what_exists_is_replaced_only_with_force(
    option: str, name: str, trace: str, tmp_path: Path
) -> None:
    """Told before anything runs: the trace does not even exist."""
    path = tmp_path / name
    path.write_text("mine")
    command = "plot" if option == "--out" else "replay"
    line = fails(command, "no-such-trace.jsonl", option, str(path))
    assert line == f"{option} {path}: exists already; --force replaces it"
    assert path.read_text() == "mine"
    more = () if command == "plot" else ("--samples", "0")
    assert agentsim(command, trace, option, str(path), "--force", *more).exit_code == 0
    assert path.read_bytes()[:4] != b"mine"


@pytest.mark.parametrize(
    ("args", "line"),
    [
        (["replay", "x", "--timeline", "t.txt"], "--timeline t.txt: expected a file name that"),
        (["replay", "x", "--timeline", "no/t.json"], "--timeline no/t.json: no such folder: no"),
        (["replay", "x", "--plot", "no/t.svg"], "--plot no/t.svg: no such folder: no"),
        (["replay", "x", "--force"], "there is no --out, --plot, --timeline or --report"),
        (["plot", "x", "-o", "f.gif"], "--out f.gif: expected a file name that ends in .png"),
        (["plot", "x", "-o", ".png"], "--out .png: expected a file name that ends in .png"),
        (["plot", "x", "-o", "f.png", "--kind", "wher"], "did you mean 'where'?"),
        (["plot", "x", "-o", "f.png", "--width", "3"], "unknown --width '3'"),
        (["plot", "x", "-o", "f.png"], "x: no such file"),
        (["plot", "x"], "missing option '-o' / '--out'"),
    ],
)
def test_wrong_use_is_one_line(args: list[str], line: str) -> None:
    assert line in fails(*args)


def test_one_file_of_several_that_exists_stops_all(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "f-kv.png").touch()
    out = str(tmp_path / "f-{kind}.png")
    assert "f-kv.png: exists already" in fails("plot", str(folder), "-o", out, "--kind", "all")
    assert [path.name for path in tmp_path.glob("f-*")] == ["f-kv.png"]


def test_settings_belong_to_a_trace(folder: Path, tmp_path: Path) -> None:
    line = fails("plot", str(folder), "-o", str(tmp_path / "f.png"), "--agents", "3")
    assert line == f"--agents: {folder} is a run with settings of its own"


def test_a_run_of_another_version_or_without_a_column_is_one_line(
    folder: Path, tmp_path: Path
) -> None:
    out = str(tmp_path / "f.png")
    steps = folder / "steps.parquet"
    whole = pq.read_table(steps)
    pq.write_table(whole.drop_columns(["running"]), steps)
    assert fails("plot", str(folder), "-o", out).endswith("lacks the columns running")
    pq.write_table(whole, steps)
    head = folder / "run.json"
    plain = json.loads(head.read_text())
    head.write_text(json.dumps(plain | {"config": {"gpu": 3}}))
    assert "run.json: gpu: expected" in fails("plot", str(folder), "-o", out)
    head.write_text(json.dumps(plain | {"run_version": 1}))
    assert "run version 1, this agentsim reads" in fails("plot", str(folder), "-o", out)
    assert "holds no run.json" in fails("plot", str(tmp_path), "-o", out)
    assert not Path(out).exists()
